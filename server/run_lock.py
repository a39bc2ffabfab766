"""One process at a time writes a run: the system holds the lock, and takes it back however that process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedtailor.protos.errors import RegistryError

LOCK = "lock"


@contextmanager
def only_writer(run: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made where it is missing. The file `lock` says nothing by being there.

    Raises:
        RegistryError: another process holds the lock, or the folder cannot be written.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RegistryError(f"{run}: cannot be written ({error.strerror}); make the folder writable") from error
    try:
        _take(descriptor, run)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, run: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held = True
    except OSError as error:
        raise RegistryError(f"{run}: cannot be locked ({error.strerror}); use a folder on another disk") from error
    else:
        held = os.fstat(descriptor).st_nlink == 0  # who held it until now has given the folder up
    if held:
        raise RegistryError(f"{run}: another process is writing this run; wait until that one has ended")
