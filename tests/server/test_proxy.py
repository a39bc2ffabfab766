"""Proxy rows: `x` of a file and nothing else; each file that will not do has its line."""

from dataclasses import replace

import numpy as np
import pytest
from small_nets import SPECS

from fedtailor.protos.errors import DataError
from fedtailor.server.proxy import fitted, read_proxy

IMAGES, SERIES, TOKENS = SPECS["conv2d"], SPECS["conv1d"], SPECS["next-token"]


def test_only_x_is_read(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(tmp_path / "labelled.npz", x=x, y=np.array([{"an": "object"}]), device=np.zeros(9))
    np.savez_compressed(tmp_path / "bare.npz", x=x)
    for name in ("labelled.npz", "bare.npz"):
        assert np.array_equal(read_proxy(tmp_path / name), x)


def test_rows_come_as_devices_hold_them():
    dots = np.full((2, *IMAGES.input_shape), 51, np.uint8)
    scaled, symbols = fitted(dots, IMAGES, source="p"), fitted(np.ones((2, 24), np.int16), TOKENS, source="p")
    assert (scaled.dtype, scaled.max()) == (np.float32, np.float32(0.2))
    assert (symbols.dtype, symbols.shape) == (np.int64, (2, 24))


def damaged(folder, name):
    path = folder / f"{name}.npz"
    x = np.zeros((50, 4), np.float32)
    arrays = {"pickled": {"x": np.array([{}])}, "without": {"rows": x}}.get(name, {"x": x})
    np.savez(path, **arrays)
    data = path.read_bytes()
    changed = {"truncated": data[:-60], "flipped": data[:200] + b"\xff" + data[201:], "text": b"rows", "empty": b""}
    path.write_bytes(changed.get(name, data))
    return path


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("truncated", r"expected a whole \.npz file, got "),
        ("flipped", r"expected a whole \.npz file, got Bad CRC-32"),
        ("text", r"expected a whole \.npz file, got "),
        ("empty", r"expected a whole \.npz file, got "),
        ("pickled", r"x: expected a plain numpy array, got Object arrays cannot be loaded"),
        ("without", r"x: expected an array under this key, got none"),
    ],
)
def test_a_file_that_cannot_be_read_has_its_line(tmp_path, name, line):
    with pytest.raises(DataError, match=line) as error:
        read_proxy(damaged(tmp_path, name))
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_has_its_line(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.npz: expected proxy rows .*there is no such file"):
        read_proxy(tmp_path / "nowhere.npz")


def rows(spec, **changes):
    kind = np.int64 if spec is TOKENS else np.float32
    x = np.zeros((5, *spec.input_shape), kind)
    for place, value in changes.get("at", {}).items():
        x[place] = value
    return x


@pytest.mark.parametrize(
    ("x", "spec", "line"),
    [
        (rows(IMAGES), SERIES, r"expected float32 or uint8 \[N, 40, 6\].*got float32 \[5, 14, 14, 1\]"),
        (rows(TOKENS), SERIES, r"expected float32 or uint8 .*got int64 \[5, 24\]"),
        (rows(SERIES), TOKENS, r"expected integer tokens \[N, 24\].*got float32 \[5, 40, 6\]"),
        (rows(SERIES)[:0], SERIES, r"one row or more.*got float32 \[0, 40, 6\]"),
        (rows(SERIES).astype(np.float64), SERIES, r"expected float32 or uint8 .*got float64"),
        (np.zeros((), np.float32), SERIES, r"got float32 \[\]"),
        (rows(SERIES, at={(3, 1, 1): np.nan}), SERIES, "expected finite numbers, got nan in row 3"),
        (rows(SERIES, at={(0, 1, 1): -np.inf}), SERIES, "expected finite numbers, got -inf in row 0"),
        (rows(TOKENS, at={(2, 7): 30}), TOKENS, "expected symbols from 0 to 29, got 30 in row 2"),
        (rows(TOKENS, at={(4, 7): -1}), TOKENS, "expected symbols from 0 to 29, got -1 in row 4"),
    ],
)
def test_rows_that_are_no_samples_of_the_model_have_their_line(x, spec, line):
    with pytest.raises(DataError, match=rf"^p\.npz: x: .*{line}"):
        fitted(x, replace(spec), source="p.npz")
