"""A fleet file: one `.npz` with the rows of every device of a fleet (DESIGN, section 8)."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.fleet_arrays import SPLITS, Array, FleetArrays, check_arrays, raw_arrays
from fedtailor.protos.errors import DataError
from fedtailor.protos.model_spec import NEXT_TOKEN
from fedtailor.protos.samples import DeviceData, Samples

# what zipfile and its decompressors raise over damaged bytes
_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError, ValueError, OverflowError)
_END_BYTES = 22  # a zip's last record, without its comment


@dataclass(frozen=True, eq=False, kw_only=True)
class FleetFile:
    """A checked fleet file. `rows` holds the row numbers of each device, ascending; empty where nobody owns rows."""

    path: Path
    arrays: FleetArrays
    outputs: int
    rows: Mapping[str, NDArray[np.intp]]

    @property
    def kind(self) -> str:
        return self.arrays.kind

    @property
    def about(self) -> str:
        return self.arrays.about

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.arrays.class_names

    @property
    def device_ids(self) -> tuple[str, ...]:
        """Devices in sorted order."""
        return tuple(self.rows)

    def device(self, device_id: str, round_: int | None = None) -> DeviceData:
        """Copies of one device's rows, uint8 features scaled to [0, 1], tokens as int64.

        Those that it has in a round of the job, as `from_round` and `until_round` say; without one, all of them.

        Raises:
            DataError: the file has no such device.
        """
        if device_id not in self.rows:
            owners = (
                f"{len(self.rows)} devices, {min(self.rows)!r} to {max(self.rows)!r}" if self.rows else "no devices"
            )
            raise DataError(f"{self.path}: device: expected one of the file's {owners}, got {device_id!r}")
        rows = self.arrays.in_round(self.rows[device_id], round_)
        split = default_split(len(rows)) if self.arrays.split is None else self.arrays.split[rows]
        train, validation, test = (self._samples(rows[split == part]) for part in range(len(SPLITS)))
        return DeviceData(device_id, self.kind, self.outputs, train, validation, test)

    def _samples(self, rows: NDArray[np.intp]) -> Samples:
        x, y = self.arrays.x[rows], self.arrays.y[rows]
        if self.kind == NEXT_TOKEN:
            return Samples(x.astype(np.int64), y.astype(np.int64))
        scale = np.float32(255 if x.dtype == np.uint8 else 1)
        return Samples(x.astype(np.float32) / scale, y)


def default_split(rows: int) -> NDArray[np.uint8]:
    """Train, validation, test of rows in file order: the first 60 %, the next 15 %, the last 25 %. uint8 [rows]."""
    return np.searchsorted([round(rows * 0.6), round(rows * 0.75)], np.arange(rows), side="right").astype(np.uint8)


def read_fleet_file(path: Path) -> FleetFile:
    """Read and check a whole fleet file; nothing in it is ever unpickled.

    Raises:
        DataError: one line that names the file, the key, what was expected and what was found.
    """
    arrays = check_arrays(_read_npz(path), str(path))
    return FleetFile(path=path, arrays=arrays, outputs=arrays.outputs, rows=_rows_by_device(arrays.device))


def write_fleet_file(path: Path, arrays: FleetArrays) -> None:
    """Write a fleet file that appears whole or not at all; equal arrays give equal bytes.

    Raises:
        DataError: the arrays do not make a fleet file.
    """
    raw = raw_arrays(arrays)
    check_arrays(raw, str(path))
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            _write_npz(file, raw)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_npz(file: BinaryIO, raw: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for key, array in raw.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = {
                entry.filename: archive.read(entry) for entry in archive.infolist()
            }  # all: each has its checksum
            promised = _promised_members(file, len(archive.comment))
    except FileNotFoundError:
        raise DataError(f"{path}: expected a fleet file (.npz), got nothing: there is no such file") from None
    except _DAMAGE as error:
        raise DataError(
            f"{path}: expected a whole .npz file, got {error or type(error).__name__}; make it again"
        ) from None
    if len(members) != promised:
        raise DataError(f"{path}: expected a whole .npz file, got {len(members)} of {promised} arrays; make it again")
    arrays = {name.removesuffix(".npy"): data for name, data in members.items() if name.endswith(".npy")}
    return {key: _read_array(path, key, data) for key, data in arrays.items()}


def _promised_members(file: BinaryIO, comment_bytes: int) -> int:
    """How many members the archive's last record counts; zipfile never compares, and one damaged length hides some."""
    file.seek(-_END_BYTES - comment_bytes, os.SEEK_END)
    return int.from_bytes(file.read(12)[10:], "little")


def _read_array(path: Path, key: str, data: bytes) -> Array:
    try:
        array: Array = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
    except (ValueError, MemoryError) as error:
        raise DataError(f"{path}: {key}: expected a plain numpy array, got {' '.join(str(error).split())}") from None
    return array


def _rows_by_device(device: NDArray[np.str_] | None) -> dict[str, NDArray[np.intp]]:
    if device is None:
        return {}
    names, owner = np.unique(device, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    borders = np.cumsum(np.bincount(owner))[:-1]
    return {str(name): rows for name, rows in zip(names, np.split(order, borders), strict=True)}
