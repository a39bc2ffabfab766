"""The default data, read without running the package that carries it."""

import sys
from importlib.machinery import ModuleSpec
from itertools import pairwise

import numpy as np
import pytest

from fedtailor.client.fleet_file import read_fleet_file, write_fleet_file
from fedtailor.protos.errors import DataError, MissingExtra
from fedtailor.simulations import watch


@pytest.fixture(scope="module")
def arrays():
    try:
        return watch.watch_arrays()
    except MissingExtra as error:
        pytest.skip(str(error))


def test_ten_people_seven_exercises_in_windows_of_two_seconds(arrays):
    assert arrays.x.shape == (4254, 100, 6)
    assert np.bincount(arrays.split).tolist() == [2229, 770, 1255]
    assert len(arrays.class_names) == len(np.unique(arrays.y)) == 7
    assert np.unique(arrays.device).tolist() == [f"person-{number:02d}" for number in range(1, 11)]


def test_every_person_has_every_exercise_in_every_split(arrays):
    cells = {(person, int(y), int(part)) for person, y, part in zip(arrays.device, arrays.y, arrays.split, strict=True)}
    assert len(cells) == 10 * 7 * 3


def test_it_makes_a_fleet_file(arrays, tmp_path):
    write_fleet_file(tmp_path / "watch.npz", arrays)
    fleet = read_fleet_file(tmp_path / "watch.npz")
    assert (fleet.kind, fleet.outputs, len(fleet.device_ids)) == ("classification", 7, 10)


def test_seglearn_itself_is_not_imported(arrays):
    assert "seglearn" not in sys.modules


def test_no_window_crosses_a_border_and_splits_share_no_sample():
    recording = np.arange(1234)[:, None]
    windows = [(split, window[0, 0], window[-1, 0]) for split, window in watch._windows(recording)]
    borders = [0, 617, 863, 1234]
    assert all(borders[split] <= first and last < borders[split + 1] for split, first, last in windows)
    assert all(last - first == 99 for _, first, last in windows)
    starts = [first for split, first, _ in windows if split == 0]
    assert {after - before for before, after in pairwise(starts)} == {50}


def test_without_seglearn_the_install_command_is_named(monkeypatch):
    monkeypatch.setattr(watch, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'fedtailor\[demo\]'"):
        watch.watch_arrays()


def test_other_bytes_are_never_unpickled(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "watch_dataset.npy").write_bytes(b"anything else")
    spec = ModuleSpec("seglearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(watch, "find_spec", lambda name: spec)
    monkeypatch.setattr(watch.np, "load", lambda *_, **__: pytest.fail("the file was loaded"))
    with pytest.raises(DataError, match="expected SHA-256 eb122f23"):
        watch.watch_arrays()


def test_a_package_without_the_file_is_named(monkeypatch, tmp_path):
    spec = ModuleSpec("seglearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(watch, "find_spec", lambda name: spec)
    with pytest.raises(DataError, match="reinstall seglearn"):
        watch.watch_arrays()
