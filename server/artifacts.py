"""Files named by the SHA-256 of their content, written whole or not at all and verified whenever they are read."""

import errno
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fedtailor.protos.errors import RegistryError

FOLDER = "artifacts"


@dataclass(frozen=True)
class Artifacts:
    """The folder `ab/abcdef…` below `folder`; equal content is kept once."""

    folder: Path

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def put(self, data: bytes) -> str:
        """Keep `data`; when this returns it is on the disk, under the name that is returned.

        Raises:
            RegistryError: the disk is full or the folder cannot be written; nothing is left half written.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        try:
            if not path.exists() or path.read_bytes() != data:
                _write_whole(path, data)
        except OSError as error:
            raise RegistryError(f"{path}: cannot be written ({error.strerror}); {_advice(error)}") from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """The content of that name.

        Raises:
            RegistryError: missing, unreadable, or its content has another hash.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RegistryError(f"{path}: cannot be read ({error.strerror}); restore it from a backup") from error
        if (got := hashlib.sha256(data).hexdigest()) != sha256:
            raise RegistryError(f"{path}: damaged, its SHA-256 is {got[:12]}…; restore it from a backup")
        return data


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # or a power cut forgets the new name
    finally:
        os.close(descriptor)


def _advice(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space and resume the run" if full else "make the folder writable and resume the run"
