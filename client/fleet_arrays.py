"""What a fleet file holds: rows of many devices as arrays, checked once, as the format asks (DESIGN, section 8)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DataError
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION

Array = NDArray[Any]

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")
ROUND_KEYS = ("from_round", "until_round")
ROW_KEYS = ("x", "y", "device", "split", *ROUND_KEYS)
MOST_OUTPUTS = 65_536  # above it, numbers that are no classes (times, prices) were stored as integers


@dataclass(frozen=True, eq=False, kw_only=True)
class FleetArrays:
    """N rows. x: float32 or uint8 [N, F], [N, time, channels] or [N, H, W, C], or integer tokens [N, T].

    y: int64 [N] (classes), float32 [N] (regression) or integer [N, T] (next token). `device` [N] names the owner of a
    row, None if nobody does; `split` [N] is 0 train, 1 validation, 2 test, None for the format's own 60/15/25.
    `from_round` and `until_round` int64 [N] are the first and the last round in which the device has a row, round 0
    being the one in which it joins; None: from round 0, and for good.
    """

    x: Array
    y: Array
    device: NDArray[np.str_] | None = None
    split: NDArray[np.uint8] | None = None
    from_round: NDArray[np.int64] | None = None
    until_round: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    about: str = ""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def kind(self) -> str:
        return _kind(self.y)

    @property
    def outputs(self) -> int:
        """Classes or symbols: the largest in use plus one, or as many as have names; 1 for regression."""
        if self.kind == REGRESSION:
            return 1
        largest = self.y.max() if self.kind == CLASSIFICATION else max(self.x.max(), self.y.max())
        return max(int(largest) + 1, len(self.class_names))

    def only(self, rows: Array) -> "FleetArrays":
        """These rows alone, numbered or by a mask [N]."""
        columns = {key: column[rows] for key in ROW_KEYS if (column := getattr(self, key)) is not None}
        return replace(self, **columns)

    def in_round(self, rows: NDArray[np.intp], round_: int | None) -> NDArray[np.intp]:
        """Those of the rows numbered that their device has in a round; all of them where that is None."""
        if round_ is not None and self.from_round is not None:
            rows = rows[self.from_round[rows] <= round_]
        if round_ is not None and self.until_round is not None:
            rows = rows[self.until_round[rows] >= round_]
        return rows

    def noted(self, remark: str) -> "FleetArrays":
        """The same rows, with what was done to them added to `about`."""
        return replace(self, about=f"{self.about}; {remark}" if self.about else remark)


def check_arrays(raw: Mapping[str, Array], source: str) -> FleetArrays:
    """The arrays under the format's keys, as `FleetArrays`; other keys are left alone.

    Args:
        raw: Arrays by key: `x` and `y`, and where there are any `device`, `split`, `class_names`, `about`.
        source: Whose arrays they are; opens every message.

    Raises:
        DataError: names the source, the key, what was expected and what was found.
    """
    x, y = _rows(raw, "x", source), _rows(raw, "y", source)
    _check_y(y, source)
    _check_x(x, y, source)
    device = _device(raw["device"], len(y), source) if "device" in raw else None
    split = _split(raw["split"], len(y), source) if "split" in raw else None
    _check_numbers(x, y, device, source)
    if _kind(y) != NEXT_TOKEN:
        y = y.astype(np.int64 if _kind(y) == CLASSIFICATION else np.float32)
    rounds = {key: _rounds(raw, key, len(y), source) for key in ROUND_KEYS}
    names, about = _names(raw, source), _about(raw, source)
    arrays = FleetArrays(x=x, y=y, device=device, split=split, class_names=names, about=about, **rounds)
    _check_rounds(arrays, source)
    if names and arrays.kind != REGRESSION and len(names) < arrays.outputs:
        raise _problem(source, "class_names", f"a name for each of {arrays.outputs} classes", f"{len(names)} names")
    return arrays


def raw_arrays(arrays: FleetArrays) -> dict[str, Array]:
    """The inverse of `check_arrays`: arrays by key, what is absent left out."""
    raw = {key: column for key in ROW_KEYS if (column := getattr(arrays, key)) is not None}
    raw["about"] = np.array(arrays.about)
    if arrays.class_names:
        raw["class_names"] = np.array(arrays.class_names)
    return raw


def _problem(source: str, key: str, expected: str, got: str) -> DataError:
    return DataError(f"{source}: {key}: expected {expected}, got {got}")


def _kind(y: Array) -> str:
    if y.ndim == 2:
        return NEXT_TOKEN
    return REGRESSION if y.dtype.kind == "f" else CLASSIFICATION


def _text(array: Array) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _rows(raw: Mapping[str, Array], key: str, source: str) -> Array:
    if key not in raw:
        raise _problem(source, key, "an array under this key", f"only {', '.join(sorted(raw)) or 'an empty file'}")
    if raw[key].ndim == 0 or 0 in raw[key].shape:
        raise _problem(source, key, "at least one row, with no empty axis", _text(raw[key]))
    return raw[key]


def _check_y(y: Array, source: str) -> None:
    if not (y.dtype.kind in "iu" and y.ndim in (1, 2)) and not (y.dtype.kind == "f" and y.ndim == 1):
        expected = "integer [N] (classes), float [N] (regression) or integer [N, T] (next token)"
        raise _problem(source, "y", expected, _text(y))


def _check_x(x: Array, y: Array, source: str) -> None:
    if _kind(y) == NEXT_TOKEN:
        if x.dtype.kind not in "iu" or x.shape != y.shape:
            raise _problem(source, "x", f"integer tokens {list(y.shape)}, as y has them", _text(x))
        return
    if x.dtype.newbyteorder("=") not in (np.float32, np.uint8):
        raise _problem(source, "x", "float32 or uint8", _text(x))
    if x.ndim not in (2, 3, 4):
        raise _problem(source, "x", "[N, F], [N, time, channels] or [N, H, W, C]", _text(x))
    if len(x) != len(y):
        raise _problem(source, "x", f"{len(y)} rows, as y has", f"{len(x)}")


def _check_numbers(x: Array, y: Array, device: Array | None, source: str) -> None:
    for key, array in (("x", x), ("y", y)):
        if array.dtype.kind == "f":
            bad, expected = ~(np.abs(array) <= np.finfo(np.float32).max), "finite float32 numbers"
        elif key == "y" or _kind(y) == NEXT_TOKEN:
            bad, expected = (array < 0) | (array >= MOST_OUTPUTS), f"classes or symbols from 0 to {MOST_OUTPUTS - 1}"
        else:
            continue  # uint8 features: every value is fine
        if bad.any():
            row = int(bad.reshape(len(bad), -1).any(1).argmax())
            owner = "" if device is None else f" of device '{device[row]}'"
            raise _problem(source, key, expected, f"{array[row][bad[row]].flat[0]} in row {row}{owner}")


def _device(device: Array, rows: int, source: str) -> NDArray[np.str_]:
    if device.dtype.kind not in "Uiu" or device.shape != (rows,):
        raise _problem(source, "device", f"text or integers [{rows}], one a row", _text(device))
    if device.dtype.kind == "U" and (device == "").any():
        raise _problem(source, "device", "a name in every row", f"an empty one in row {int((device == '').argmax())}")
    return device.astype(np.str_)


def _split(split: Array, rows: int, source: str) -> NDArray[np.uint8]:
    if split.dtype.kind not in "iu" or split.shape != (rows,):
        raise _problem(source, "split", f"integers [{rows}], one a row", _text(split))
    bad = (split < TRAIN) | (split > TEST)
    if bad.any():
        expected = "0 (train), 1 (validation) or 2 (test)"
        raise _problem(source, "split", expected, f"{split[bad][0]} in row {int(bad.argmax())}")
    if not (split == TRAIN).any():
        raise _problem(source, "split", "at least one row to train on (0)", "none")
    return split.astype(np.uint8)


def _rounds(raw: Mapping[str, Array], key: str, rows: int, source: str) -> NDArray[np.int64] | None:
    if key not in raw:
        return None
    rounds = raw[key]
    if rounds.dtype.kind not in "iu" or rounds.shape != (rows,):
        raise _problem(source, key, f"integers [{rows}], one a row", _text(rounds))
    if (rounds < 0).any():
        raise _problem(source, key, "rounds from 0 on", f"{rounds[rounds < 0][0]} in row {int((rounds < 0).argmax())}")
    if "split" not in raw:
        raise _problem(source, "split", f"which rows train and which test, beside {key}", "no such key")
    return rounds.astype(np.int64)


def _check_rounds(arrays: FleetArrays, source: str) -> None:
    """A row must be there in some round, and one to train on when the fleet joins."""
    first = np.zeros(len(arrays), np.int64) if arrays.from_round is None else arrays.from_round
    if arrays.until_round is not None and (gone := arrays.until_round < first).any():
        row = int(gone.argmax())
        expected = f"no round before from_round ({first[row]})"
        raise _problem(source, "until_round", expected, f"{arrays.until_round[row]} in row {row}")
    if arrays.split is not None and not (first[arrays.split == TRAIN] == 0).any():
        raise _problem(source, "from_round", "at least one row to train on from round 0", "none")


def _names(raw: Mapping[str, Array], source: str) -> tuple[str, ...]:
    names = raw.get("class_names", np.empty(0, np.str_))
    if names.dtype.kind != "U" or names.ndim != 1:
        raise _problem(source, "class_names", "text [classes]", _text(names))
    return tuple(str(name) for name in names)


def _about(raw: Mapping[str, Array], source: str) -> str:
    about = raw.get("about", np.array(""))
    if about.dtype.kind != "U" or about.size != 1:
        raise _problem(source, "about", "one text", _text(about))
    return str(about.reshape(())[()])
