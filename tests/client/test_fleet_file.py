"""Fleet files: what is written is read, what is wrong is named, what is damaged is refused."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.client.fleet_arrays import ROW_KEYS, FleetArrays
from fedtailor.client.fleet_file import default_split, read_fleet_file, write_fleet_file
from fedtailor.protos.errors import DataError

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def fleets(draw):
    rows = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(["classes", "values", "tokens"]))
    shape = (rows, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    if kind == "tokens":
        x = draw(hnp.arrays(np.uint8, shape[:2]))
        y = draw(hnp.arrays(np.uint8, shape[:2]))
    else:
        x = draw(hnp.arrays(np.uint8, shape) | hnp.arrays(np.float32, shape, elements=FLOATS))
        classes, values = (
            hnp.arrays(np.int64, rows, elements=st.integers(0, 50)),
            hnp.arrays(np.float32, rows, elements=FLOATS),
        )
        y = draw(classes if kind == "classes" else values)
    device = draw(st.none() | st.lists(NAMES, min_size=rows, max_size=rows).map(np.array))
    split = draw(st.none() | hnp.arrays(np.uint8, rows, elements=st.integers(0, 2)))
    if split is not None:
        split[draw(st.integers(0, rows - 1))] = 0
    first = until = None
    if split is not None:
        first = draw(st.none() | hnp.arrays(np.int64, rows, elements=st.integers(0, 3)))
        until = draw(st.none() | hnp.arrays(np.int64, rows, elements=st.integers(3, 9)))
    if first is not None:
        first[split == 0] = 0
    class_names = draw(st.just(()) | st.just(tuple(f"class {number}" for number in range(256))))
    about, rounds = draw(st.just("") | NAMES), {"from_round": first, "until_round": until}
    return FleetArrays(x=x, y=y, device=device, split=split, class_names=class_names, about=about, **rounds)


def small(**changes):
    arrays = FleetArrays(
        x=np.arange(24, dtype=np.float32).reshape(8, 3),
        y=np.arange(8) % 3,
        device=np.array(["b", "a"] * 4),
        split=np.array([0, 0, 0, 0, 1, 1, 2, 2], np.uint8),
        class_names=("x", "y", "z"),
        about="eight rows",
    )
    return replace(arrays, **changes)


def same(one: FleetArrays, other: FleetArrays) -> bool:
    def equal(a, b):
        return a is b is None or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))

    arrays = all(equal(getattr(one, name), getattr(other, name)) for name in ROW_KEYS)
    return arrays and (one.class_names, one.about) == (other.class_names, other.about)


def refusal(path: Path, **arrays) -> str:
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        read_fleet_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@given(arrays=fleets())
def test_what_is_written_is_read(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("fleet") / "fleet.npz"
    write_fleet_file(path, arrays)
    assert same(read_fleet_file(path).arrays, arrays)


def test_equal_arrays_make_equal_bytes_and_nothing_else_is_left(tmp_path):
    write_fleet_file(tmp_path / "one.npz", small())
    write_fleet_file(tmp_path / "two.npz", small())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_arrays_that_make_no_fleet_leave_the_file_from_before(tmp_path):
    path = tmp_path / "fleet.npz"
    write_fleet_file(path, small())
    with pytest.raises(DataError, match="got nan in row 0"):
        write_fleet_file(path, small(x=np.full((8, 3), np.nan, np.float32)))
    assert same(read_fleet_file(path).arrays, small())


def test_every_damaged_byte_is_refused_or_changes_nothing(tmp_path):
    path, damaged = tmp_path / "fleet.npz", tmp_path / "damaged.npz"
    write_fleet_file(path, small())
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in range(len(content)):
        flipped = content[position] ^ int(rng.integers(1, 256))
        damaged.write_bytes(content[:position] + bytes([flipped]) + content[position + 1 :])
        try:
            assert same(read_fleet_file(damaged).arrays, small()), position
        except DataError:
            refused += 1
    assert refused > len(content) / 2


def test_every_truncation_is_refused(tmp_path):
    path, cut = tmp_path / "fleet.npz", tmp_path / "cut.npz"
    write_fleet_file(path, small())
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        cut.write_bytes(content[:length])
        with pytest.raises(DataError, match="expected a whole"):
            read_fleet_file(cut)


def test_devices_are_sorted_and_own_their_rows_in_file_order(tmp_path):
    write_fleet_file(tmp_path / "fleet.npz", small())
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert (fleet.kind, fleet.outputs, fleet.device_ids) == ("classification", 3, ("a", "b"))
    data = fleet.device("a")
    assert data.train.x.tolist() == [[3, 4, 5], [9, 10, 11]]
    assert [len(data.train), len(data.validation), len(data.test)] == [2, 1, 1]
    assert data.test.y.tolist() == [7 % 3]


def test_a_device_that_is_not_there_is_named(tmp_path):
    write_fleet_file(tmp_path / "fleet.npz", small())
    with pytest.raises(
        DataError, match=r"fleet\.npz: device: expected one of the file's 2 devices, 'a' to 'b', got 'c'"
    ):
        read_fleet_file(tmp_path / "fleet.npz").device("c")


def test_rows_without_owners_make_no_devices(tmp_path):
    write_fleet_file(tmp_path / "fleet.npz", small(device=None))
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert fleet.device_ids == ()
    with pytest.raises(DataError, match="no devices, got 'a'"):
        fleet.device("a")


def test_pictures_are_scaled_to_one_and_only_on_the_device(tmp_path):
    pictures = np.full((8, 2, 2, 1), 255, np.uint8)
    write_fleet_file(tmp_path / "fleet.npz", small(x=pictures))
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert fleet.arrays.x.dtype == np.uint8
    assert fleet.device("a").train.x.dtype == np.float32
    assert fleet.device("a").train.x.max() == 1.0


def test_tokens_become_int64_and_outputs_cover_x_and_y(tmp_path):
    x, y = np.zeros((8, 5), np.uint8), np.ones((8, 5), np.int16)
    x[0, 0] = 9
    write_fleet_file(tmp_path / "fleet.npz", small(x=x, y=y, class_names=()))
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert (fleet.kind, fleet.outputs) == ("next-token", 10)
    assert (fleet.device("b").train.x.dtype, fleet.device("b").train.y.dtype) == (np.int64, np.int64)


def test_a_regression_has_one_output_and_float32_targets(tmp_path):
    np.savez(tmp_path / "fleet.npz", x=small().x, y=np.linspace(0, 1, 8), device=np.arange(8) // 4)
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert (fleet.kind, fleet.outputs, fleet.device_ids) == ("regression", 1, ("0", "1"))
    assert fleet.device("1").train.y.dtype == np.float32


@given(rows=st.integers(1, 500))
def test_the_default_split_is_in_order_and_within_a_row_of_60_15_25(rows):
    split = default_split(rows)
    assert (np.diff(split.astype(int)) >= 0).all()
    assert np.abs(np.bincount(split, minlength=3) - rows * np.array([0.6, 0.15, 0.25])).max() <= 1
    assert split[0] == 0


def test_a_device_has_the_rows_of_the_round_it_is_asked_in(tmp_path):
    first, until = np.array([0, 0, 0, 0, 0, 2, 3, 3]), np.array([9, 2, 9, 2, 9, 9, 9, 9])
    write_fleet_file(tmp_path / "fleet.npz", small(from_round=first, until_round=until))
    fleet = read_fleet_file(tmp_path / "fleet.npz")

    def rows_of(round_):
        data = fleet.device("a", round_)
        return [part.x[:, 0].tolist() for part in (data.train, data.validation, data.test)]

    assert rows_of(0) == [[3, 9], [], []]
    assert rows_of(2) == [[3, 9], [15], []]
    assert rows_of(3) == [[], [15], [21]]
    assert rows_of(None) == [[3, 9], [15], [21]]


def test_rows_without_rounds_are_there_in_every_round(tmp_path):
    write_fleet_file(tmp_path / "fleet.npz", small())
    fleet = read_fleet_file(tmp_path / "fleet.npz")
    assert all(len(fleet.device("a", round_).train) == 2 for round_ in (None, 0, 10**6))


X, Y = np.ones((4, 3), np.float32), np.arange(4)
NAN = X.copy()
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, "x: expected an array under this key, got only y"),
        ({"x": X}, "y: expected an array under this key, got only x"),
        ({"x": X[:0], "y": Y[:0]}, r"x: expected at least one row, with no empty axis, got float32 [0, 3]"),
        ({"x": X.astype(float), "y": Y}, "x: expected float32 or uint8, got float64 [4, 3]"),
        ({"x": X[:, 0], "y": Y}, "x: expected [N, F], [N, time, channels] or [N, H, W, C], got float32 [4]"),
        ({"x": X[:3], "y": Y}, "x: expected 4 rows, as y has, got 3"),
        ({"x": X, "y": Y > 1}, "y: expected integer [N] (classes), float [N] (regression) or integer [N, T]"),
        ({"x": X, "y": X}, "y: expected integer [N] (classes), float [N] (regression) or integer [N, T]"),
        ({"x": X, "y": Y[:, None]}, "x: expected integer tokens [4, 1], as y has them, got float32 [4, 3]"),
        ({"x": NAN, "y": Y}, "x: expected finite float32 numbers, got nan in row 2"),
        (
            {"x": NAN, "y": Y, "device": list("aabb")},
            "x: expected finite float32 numbers, got nan in row 2 of device 'b'",
        ),
        ({"x": X, "y": np.array([0, 1, np.inf, 0])}, "y: expected finite float32 numbers, got inf in row 2"),
        ({"x": X, "y": np.array([0, 1, 1e300, 0])}, "y: expected finite float32 numbers, got 1e+300 in row 2"),
        ({"x": X, "y": Y - 1}, "y: expected classes or symbols from 0 to 65535, got -1 in row 0"),
        ({"x": X, "y": Y * 10**6}, "y: expected classes or symbols from 0 to 65535, got 1000000 in row 1"),
        ({"x": X, "y": Y, "device": list("aab")}, "device: expected text or integers [4], one a row, got <U1 [3]"),
        (
            {"x": X, "y": Y, "device": ["a", "", "a", "b"]},
            "device: expected a name in every row, got an empty one in row 1",
        ),
        (
            {"x": X, "y": Y, "split": [0, 1, 2, 3]},
            "split: expected 0 (train), 1 (validation) or 2 (test), got 3 in row 3",
        ),
        (
            {"x": X, "y": Y, "split": [0, -1, 2, 2]},
            "split: expected 0 (train), 1 (validation) or 2 (test), got -1 in row 1",
        ),
        ({"x": X, "y": Y, "split": [0, 1, 2]}, "split: expected integers [4], one a row, got int64 [3]"),
        ({"x": X, "y": Y, "split": [1, 1, 2, 2]}, "split: expected at least one row to train on (0), got none"),
        (
            {"x": X, "y": Y, "class_names": ["a", "b"]},
            "class_names: expected a name for each of 4 classes, got 2 names",
        ),
        ({"x": X, "y": Y, "class_names": [1, 2, 3, 4]}, "class_names: expected text [classes], got int64 [4]"),
        ({"x": X, "y": Y, "about": ["a", "b"]}, "about: expected one text, got <U1 [2]"),
        ({"x": X, "y": Y, "about": np.array({}, object)}, "about: expected a plain numpy array, got Object arrays"),
        (
            {"x": X, "y": Y, "split": [0, 0, 1, 2], "from_round": [0, 0.5, 1, 2]},
            "from_round: expected integers [4], one a row, got float64 [4]",
        ),
        (
            {"x": X, "y": Y, "split": [0, 0, 1, 2], "until_round": [1, 2, 3]},
            "until_round: expected integers [4], one a row, got int64 [3]",
        ),
        (
            {"x": X, "y": Y, "split": [0, 0, 1, 2], "from_round": [0, 0, -1, 2]},
            "from_round: expected rounds from 0 on, got -1 in row 2",
        ),
        (
            {"x": X, "y": Y, "split": [0, 0, 1, 2], "from_round": [0, 5, 0, 0], "until_round": [9, 4, 9, 9]},
            "until_round: expected no round before from_round (5), got 4 in row 1",
        ),
        (
            {"x": X, "y": Y, "split": [0, 0, 1, 2], "from_round": [1, 1, 0, 0]},
            "from_round: expected at least one row to train on from round 0, got none",
        ),
        (
            {"x": X, "y": Y, "from_round": [0, 0, 0, 1]},
            "split: expected which rows train and which test, beside from_round, got no such key",
        ),
        ({"x": X.astype(object), "y": Y}, "x: expected a plain numpy array, got Object arrays cannot be loaded"),
    ],
)
def test_bad_arrays_get_one_line_that_names_key_expected_and_came(tmp_path, arrays, message):
    assert refusal(tmp_path / "fleet.npz", **arrays).startswith(message)


def test_a_missing_file_and_a_file_of_another_kind_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.npz: .*no such file"):
        read_fleet_file(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("rows")
    with pytest.raises(DataError, match=r"text\.npz: expected a whole .npz file, got File is not a zip file"):
        read_fleet_file(tmp_path / "text.npz")


def test_a_pickle_inside_is_never_run(tmp_path):
    with zipfile.ZipFile(tmp_path / "fleet.npz", "w") as archive:
        archive.writestr("x.npy", b"\x80\x04]\x94.")
    with pytest.raises(DataError, match="x: expected a plain numpy array"):
        read_fleet_file(tmp_path / "fleet.npz")
