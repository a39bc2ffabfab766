"""From a fleet that is asked for to one that is settled."""

from collections import Counter

import numpy as np
import pytest

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import read_fleet_file, write_fleet_file
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations import materialise as module
from fedtailor.simulations.catalogue import read_catalogue
from fedtailor.simulations.fleet import fleet_from, load_fleet, write_fleet
from fedtailor.simulations.materialise import materialise, resolve


def write_rows(path, owners="abcdefghijklmnopqrst", untrained=""):
    device = np.repeat(np.array([*owners, *untrained]), 20)
    split = np.where(np.isin(device, list(untrained)), 2, np.tile(np.arange(20) // 8, len(device) // 20)).astype(
        np.uint8
    )
    x = np.arange(len(device) * 3, dtype=np.float32).reshape(-1, 3)
    write_fleet_file(path, FleetArrays(x=x, y=np.arange(len(x)) % 4, device=device, split=split, about="rows"))
    return path


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.npz")


@pytest.fixture
def ownerless(tmp_path):
    x = np.ones((400, 3), np.float32)
    write_fleet_file(tmp_path / "ownerless.npz", FleetArrays(x=x, y=np.arange(400) % 4))
    return tmp_path / "ownerless.npz"


def fleet_of(path, **table):
    return fleet_from({"data": str(path), **table})


def test_a_file_that_nothing_changes_is_used_where_it_lies(rows, tmp_path):
    assert materialise(fleet_of(rows), tmp_path / "run") == rows.resolve()
    assert materialise(fleet_of(rows, devices=20), tmp_path / "run") == rows.resolve()
    assert not (tmp_path / "run").exists()


def test_fewer_devices_keep_all_their_rows_and_say_so(rows, tmp_path):
    path = materialise(fleet_of(rows, devices=5, seed=1), tmp_path / "run")
    drawn, whole = read_fleet_file(path), read_fleet_file(rows)
    assert path == (tmp_path / "run" / "fleet.npz").resolve()
    assert len(drawn.device_ids) == 5
    assert drawn.about == "rows; 5 of 20 devices, seed 1"
    for name in drawn.device_ids:
        assert np.array_equal(drawn.device(name).train.x, whole.device(name).train.x)


def test_drawn_and_dealt_rows_keep_their_rounds(tmp_path):
    x = np.arange(40, dtype=np.float32).reshape(40, 1)
    split, first = np.resize([0, 1, 2, 0], 40).astype(np.uint8), np.repeat([0, 3], 20)
    owned = FleetArrays(x=x, y=np.arange(40) % 2, device=np.resize(["a", "b"], 40), split=split, from_round=first)
    write_fleet_file(tmp_path / "rows.npz", owned)
    drawn = read_fleet_file(materialise(fleet_of(tmp_path / "rows.npz", devices=1), tmp_path / "drawn")).arrays
    dealt = read_fleet_file(
        materialise(fleet_of(tmp_path / "rows.npz", devices=4, partition="iid"), tmp_path / "dealt")
    ).arrays
    assert len(drawn) == 20
    assert all(np.array_equal(some.from_round == 3, some.x[:, 0] >= 20) for some in (drawn, dealt))


def test_a_draw_of_devices_is_seeded(rows, tmp_path):
    def drawn(seed, run):
        return read_fleet_file(materialise(fleet_of(rows, devices=5, seed=seed), tmp_path / run)).device_ids

    assert drawn(1, "one") == drawn(1, "two") != drawn(2, "three")


@pytest.mark.parametrize("devices", [1, 2, 3, 7, 19])
def test_a_draw_keeps_the_share_of_devices_that_train_and_at_least_one(tmp_path, devices):
    path = write_rows(tmp_path / "mixed.npz", owners="mnopq", untrained="abcdefghijklrst")
    drawn = read_fleet_file(materialise(fleet_of(path, devices=devices), tmp_path / "run"))
    trained = sum(len(drawn.device(name).train) > 0 for name in drawn.device_ids)
    assert len(drawn.device_ids) == devices
    assert trained == max(1, round(devices / 4))


def test_more_devices_than_there_are_is_refused(rows, tmp_path):
    with pytest.raises(ConfigError, match="devices: expected at most 20, got 21; ask for fewer, or deal the rows anew"):
        materialise(fleet_of(rows, devices=21), tmp_path)


def test_rows_without_owners_need_a_partition_and_a_number(ownerless, tmp_path):
    with pytest.raises(ConfigError, match=r"ownerless\.npz: device: .*--partition dirichlet:0\.3 --devices 40"):
        materialise(fleet_of(ownerless), tmp_path)
    with pytest.raises(ConfigError, match="devices: expected how many"):
        materialise(fleet_of(ownerless, partition="iid"), tmp_path)


def test_a_partition_is_written_into_the_run_and_equal_seeds_give_equal_bytes(ownerless, tmp_path):
    table = {"partition": "dirichlet:0.3", "devices": 6}
    one, two = (materialise(fleet_of(ownerless, **table), tmp_path / run) for run in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert read_fleet_file(one).device_ids == tuple(f"device-{number:02d}" for number in range(6))


def test_rows_that_have_owners_can_be_dealt_anew(rows, tmp_path):
    path = materialise(fleet_of(rows, partition="iid", devices=30), tmp_path / "run")
    assert len(read_fleet_file(path).device_ids) == 30


def test_without_a_file_the_watch_recordings_are_used(monkeypatch, rows, tmp_path):
    arrays = read_fleet_file(rows).arrays
    monkeypatch.setattr(module, "watch_arrays", lambda: arrays)
    path = materialise(fleet_from({}), tmp_path / "run")
    assert path == (tmp_path / "run" / "fleet.npz").resolve()
    assert np.array_equal(read_fleet_file(path).arrays.x, arrays.x)


def test_classes_are_dealt_evenly_by_seed_to_devices_in_order(rows, tmp_path):
    fleet = resolve(fleet_of(rows, seed=3), tmp_path / "run")
    assert [member.device_id for member in fleet.members] == list("abcdefghijklmnopqrst")
    counts = Counter(member.device_class for member in fleet.members)
    assert set(counts) == set(read_catalogue())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(member.budget == read_catalogue()[member.device_class].budget for member in fleet.members)
    assert fleet == resolve(fleet_of(rows, seed=3), tmp_path / "run")
    assert fleet.members != resolve(fleet_of(rows, seed=4), tmp_path / "run").members


def test_a_given_device_keeps_its_class_and_budget_and_moves_no_other(rows, tmp_path):
    kiosk = {"id": "c", "class": "kiosk", "budget": {"latency_ms": 1.5}}
    dealt, given = (resolve(fleet_of(rows, device=device), tmp_path / "run").members for device in ([], [kiosk]))
    assert (given[2].device_class, given[2].budget.latency_ms) == ("kiosk", 1.5)
    assert given[:2] + given[3:] == dealt[:2] + dealt[3:]


def test_a_given_device_that_is_not_there_is_named(rows, tmp_path):
    with pytest.raises(ConfigError, match="device: expected one of 20 devices, 'a' to 't', got 'z'"):
        resolve(fleet_of(rows, device=[{"id": "z", "class": "kiosk"}]), tmp_path / "run")


def test_a_resolved_fleet_survives_its_config_and_resolves_to_itself(ownerless, tmp_path):
    run = tmp_path / "run"
    fleet = resolve(fleet_of(ownerless, partition="shards:2", devices=5), run)
    write_fleet(run / "config.toml", fleet)
    assert load_fleet(run / "config.toml") == fleet == resolve(fleet, run)
    assert fleet.data.is_absolute()
    assert fleet.job.about == "dealt shards:2 to 5 devices, seed 0"
