"""The rows without labels on which the server asks the devices' models, read once at the start of a run."""

import zipfile
import zlib
from io import BytesIO
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DataError
from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.ensemble import Rows

Array = NDArray[Any]

# what zipfile and its decompressors raise over damaged bytes
_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError, ValueError, OverflowError)
_REMEDY = "make it again"


def read_proxy(path: Path) -> Array:
    """`x` of a fleet file as it is stored; all else in it, labels too, stays unread, and nothing is ever unpickled.

    Raises:
        DataError: one line that names the file, what was expected and what was found.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read("x.npy")
    except FileNotFoundError:
        raise DataError(f"{path}: expected proxy rows (.npz), got nothing: there is no such file") from None
    except KeyError:
        raise DataError(f"{path}: x: expected an array under this key, got none; {_REMEDY}") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: expected a whole .npz file, got {error or type(error).__name__}; {_REMEDY}") from None
    try:
        array: Array = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
    except (ValueError, MemoryError) as error:
        found = " ".join(str(error).split())
        raise DataError(f"{path}: x: expected a plain numpy array, got {found}; {_REMEDY}") from None
    return array


def fitted(x: Array, model: ModelSpec, *, source: str) -> Rows:
    """The rows as devices hold them: features as float32, uint8 ones scaled to [0, 1], and tokens as int64.

    Raises:
        DataError: they are not samples of this model; opens with `source`.
    """
    tokens = model.kind == NEXT_TOKEN
    right = x.dtype.kind in "iu" if tokens else x.dtype.newbyteorder("=") in (np.float32, np.uint8)
    if not right or x.shape[1:] != model.input_shape or len(x) == 0:
        kind = "integer tokens" if tokens else "float32 or uint8"
        shape = ", ".join(map(str, ("N", *model.input_shape)))
        expected = f"{kind} [{shape}], one row or more, as model {model.name!r} takes them"
        raise DataError(f"{source}: x: expected {expected}, got {x.dtype} {list(x.shape)}; give rows like the devices'")
    bad = (x < 0) | (x >= model.outputs) if tokens else ~np.isfinite(x)
    if bad.any():
        expected = f"symbols from 0 to {model.outputs - 1}" if tokens else "finite numbers"
        row = int(bad.reshape(len(x), -1).any(1).argmax())
        raise DataError(f"{source}: x: expected {expected}, got {x[row][bad[row]].flat[0]} in row {row}; leave it out")
    if tokens:
        return x.astype(np.int64)
    return x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
