"""Where this machine's own figures are kept between commands: its benchmark and its operator timings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fedtailor.client.processor import this_processor
from fedtailor.client.store import DeviceStore, folder_name
from fedtailor.protos.errors import StoreError


@contextmanager
def machine_store() -> Iterator[DeviceStore]:
    """A store in the user's cache, one for each kind of processor; where that cannot be written, one that is forgotten
    at the end.
    """
    kept = _kept()
    if kept is not None:
        yield kept
        return
    with TemporaryDirectory() as folder:
        yield DeviceStore(Path(folder))


def _kept() -> DeviceStore | None:
    try:
        store = DeviceStore(_cache() / "fedtailor" / folder_name(this_processor()[0].lower()))
        store.put("writable", b"")
    except (StoreError, RuntimeError):  # the latter: nobody knows where home is
        return None
    return store


def _cache() -> Path:
    """As the XDG base directory specification says: a relative path there does not count."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"
