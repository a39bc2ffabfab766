"""The device's own durable store: a folder that survives a power cut, a full disk and a second process.

A value is a file of header and data, replaced as a whole: temporary file in the same folder, flush, fsync, rename,
fsync of the folder. A reader finds the old value or the new one, never a mixture (POSIX rename). An artefact is a
plain file named by its SHA-256, so a runtime can open it where it lies.
"""

import contextlib
import hashlib
import os
import re
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtailor.protos.errors import StoreError

_HEADER = struct.Struct("<4sHQ32s")  # magic, version, bytes of data, SHA-256 of data
_MAGIC = b"FTDS"
_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")  # lower case only: some file systems do not tell A from a
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = ".tmp"
_ABANDONED_AFTER_S = 3600  # far longer than any write takes: no living process still owns the file
_LONGEST_FOLDER = 150
_REPAIR = "delete it, the device then starts this part anew"


def folder_name(device_id: str) -> str:
    """A safe folder name for any device id; different ids have different names, on every file system.

    Lower-case letters, digits, '-' and '_' stay, every other byte of the UTF-8 form becomes %xx. Names that would
    become too long end in '~' and the SHA-256 of the id.
    """
    if not device_id:
        raise ValueError("folder_name: the device id must not be empty")
    raw = device_id.encode("utf-8", "surrogatepass")
    kept = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
    name = "".join(chr(byte) if byte in kept else f"%{byte:02x}" for byte in raw)
    return name if len(name) <= _LONGEST_FOLDER else f"{name[:60]}~{hashlib.sha256(raw).hexdigest()}"


@dataclass(frozen=True)
class DeviceStore:
    """Named values and content-addressed artefacts under `folder`, which is made where it is missing.

    Names are lower-case letters, digits, '.', '_' and '-', at most 100, a letter or digit first; others are a
    ValueError. Whatever the disk does wrong is a StoreError, and the value from before stays.
    """

    folder: Path

    def __post_init__(self) -> None:
        for part in (self._values, self._artifacts):
            with _explained(part, "make the folder writable"):
                part.mkdir(parents=True, exist_ok=True)
                _sweep(part)

    @property
    def _values(self) -> Path:
        return self.folder / "values"

    @property
    def _artifacts(self) -> Path:
        return self.folder / "artifacts"

    def put(self, name: str, data: bytes) -> None:
        """Replace a value as a whole; when this returns it is on the disk."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(data), hashlib.sha256(data).digest())
        _replace(self._values / _checked(name), (header, data))

    def get(self, name: str) -> bytes | None:
        """The value, verified; None where there is none.

        Raises:
            StoreError: the file is truncated, damaged, of another version, or cannot be read.
        """
        path = self._values / _checked(name)
        content = _read(path)
        return None if content is None else _verified(path, content)

    def delete(self, name: str) -> None:
        """Forget a value; nothing happens where there is none."""
        path = self._values / _checked(name)
        with _explained(path, "make the folder writable"):
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def put_artifact(self, data: bytes) -> str:
        """Keep `data` under its SHA-256 in hex, which is returned; a damaged copy is replaced."""
        sha = hashlib.sha256(data).hexdigest()
        path = self._artifacts / sha
        if _read(path) != data:
            _replace(path, (data,))
        return sha

    def get_artifact(self, sha: str) -> bytes:
        """The artefact of this SHA-256, verified.

        Raises:
            StoreError: there is none, or its content is no longer what its name says.
        """
        if not _SHA256.fullmatch(sha):
            raise ValueError(f"DeviceStore: an artefact is named by 64 lower-case hex digits, got {sha!r}")
        path = self._artifacts / sha
        data = _read(path)
        if data is None:
            raise StoreError(f"store file {path}: expected an artefact, found no file; tailor this device again")
        got = hashlib.sha256(data).hexdigest()
        if got != sha:
            raise StoreError(
                f"store file {path}: expected content with sha256 {sha[:12]}…, got {got[:12]}… ({len(data)} bytes); "
                "delete it and tailor this device again"
            )
        return data


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"DeviceStore: a name is 1 to 100 of a-z, 0-9, '.', '_', '-', a letter or digit first, got {name!r}"
        )
    return name


def _verified(path: Path, content: bytes) -> bytes:
    if len(content) < _HEADER.size:
        raise StoreError(
            f"store file {path}: expected at least {_HEADER.size} bytes of header, got {len(content)}; {_REPAIR}"
        )
    magic, version, size, digest = _HEADER.unpack_from(content)
    data = content[_HEADER.size :]
    if magic != _MAGIC:
        raise StoreError(f"store file {path}: expected the mark {_MAGIC!r}, got {magic!r}; {_REPAIR}")
    if version != _VERSION:
        raise StoreError(
            f"store file {path}: expected format version {_VERSION}, got {version}; "
            "use the fedtailor that wrote it, or delete it"
        )
    if len(data) != size:
        raise StoreError(f"store file {path}: expected {size} bytes of data, got {len(data)}; {_REPAIR}")
    got = hashlib.sha256(data).digest()
    if got != digest:
        raise StoreError(
            f"store file {path}: expected content with sha256 {digest.hex()[:12]}…, got {got.hex()[:12]}…; {_REPAIR}"
        )
    return data


def _read(path: Path) -> bytes | None:
    with _explained(path, "make the file readable"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _replace(path: Path, parts: Sequence[bytes]) -> None:
    size = sum(map(len, parts))
    with _explained(path, f"free {size} bytes there or make the folder writable; the value from before is kept"):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first fault is the one to report
                os.unlink(temporary)
            raise
    with _explained(path, "the new value may not survive a power cut; check the disk"):
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Without this the rename itself may be lost in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left behind, and nothing that a living one may still be writing."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()


@contextlib.contextmanager
def _explained(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"store file {path}: the system answered '{reason}'; {remedy}") from error
