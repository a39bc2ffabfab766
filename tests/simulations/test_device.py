"""Opening one device of a resolved fleet."""

import os
from dataclasses import replace

import numpy as np
import pytest

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.device_profile import Benchmark
from fedtailor.simulations import device as module
from fedtailor.simulations.catalogue import device_class
from fedtailor.simulations.device import simulated_device
from fedtailor.simulations.fleet import fleet_from
from fedtailor.simulations.materialise import resolve


def write_rows(path, shift=0.0):
    x = np.arange(60, dtype=np.float32).reshape(20, 3) + np.float32(shift)
    write_fleet_file(path, FleetArrays(x=x, y=np.arange(20) % 2, device=np.repeat(["shop/A", "shop/a"], 10)))


@pytest.fixture
def fleet(tmp_path):
    write_rows(tmp_path / "rows.npz")
    return resolve(fleet_from({"data": str(tmp_path / "rows.npz")}), tmp_path / "run")


def test_a_device_holds_its_own_rows_budget_tags_and_store(fleet, tmp_path):
    first, second = (simulated_device(fleet, index, tmp_path / "run") for index in (0, 1))
    assert (first.device_id, second.device_id) == ("shop/A", "shop/a")
    assert first.data.train.x.max() < second.data.train.x.min()
    assert second.budget == device_class(fleet.members[1].device_class).budget
    tagged = replace(fleet, members=tuple(replace(member, tags=("till",)) for member in fleet.members))
    assert (first.tags, simulated_device(tagged, 0, tmp_path / "run").tags) == ((), ("till",))
    first.store.put("name", b"first")
    assert second.store.get("name") is None
    assert {first.store.folder.parent, second.store.folder.parent} == {tmp_path / "run" / "devices"}


def test_the_fleet_file_is_read_once_for_many_devices_and_again_when_it_changes(fleet, tmp_path, monkeypatch):
    reads = []
    read = module.read_fleet_file
    monkeypatch.setattr(module, "read_fleet_file", lambda path: reads.append(path) or read(path))
    module._opened.cache_clear()
    for index in (0, 1, 0):
        simulated_device(fleet, index, tmp_path / "run")
    assert len(reads) == 1
    write_rows(fleet.data, shift=500)
    os.utime(fleet.data, ns=(1, 1))
    assert simulated_device(fleet, 0, tmp_path / "run").data.train.x.min() == 500
    assert len(reads) == 2


def test_the_host_is_measured_once_a_run_and_each_device_is_modelled_on_it(fleet, tmp_path, monkeypatch):
    measured = []
    figures = Benchmark(**dict.fromkeys(Benchmark.__slots__, 1.0))
    monkeypatch.setattr("fedtailor.client.probe.benchmark", lambda: measured.append(1) or figures)
    profiles = [simulated_device(fleet, index, tmp_path / "run").hardware() for index in (0, 1, 0)]
    assert len(measured) == 1
    assert [profile.device_id for profile in profiles] == ["shop/A", "shop/a", "shop/A"]
    assert profiles[0].device_class == fleet.members[0].device_class
    assert profiles[0].slowdown_modelled == device_class(profiles[0].device_class).slowdown


@pytest.mark.parametrize("index", [-1, 2])
def test_a_number_outside_the_fleet_is_refused(fleet, tmp_path, index):
    with pytest.raises(ValueError, match=f"device {index} is not in fleet 'rows' of 2 resolved devices"):
        simulated_device(fleet, index, tmp_path / "run")


def test_an_unresolved_fleet_opens_no_device(fleet, tmp_path):
    with pytest.raises(ValueError, match="of 0 resolved devices"):
        simulated_device(replace(fleet, members=()), 0, tmp_path / "run")
