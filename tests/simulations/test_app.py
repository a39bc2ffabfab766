"""Which device of a fleet a node stands for, and under what conditions."""

import pytest
from flwr.app import Context, RecordDict
from small_fleet import DEVICES, small_fleet

from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.app import conditions, open_device
from fedtailor.simulations.catalogue import device_class
from fedtailor.simulations.fleet import write_fleet
from fedtailor.simulations.materialise import resolve


@pytest.fixture
def run(tmp_path):
    """A run folder, and its settled fleet."""
    fleet = resolve(small_fleet(tmp_path, dropout=0.5, availability=True, slow_fraction=0.2), tmp_path)
    write_fleet(tmp_path / "config.toml", fleet)
    return tmp_path, fleet


def node(partition: int, config: object, *, of: int = len(DEVICES), **more: str) -> Context:
    place = {"partition-id": partition, "num-partitions": of}
    return Context(1, 2, place, RecordDict(), {"config": str(config), **more})


def test_node_i_is_the_ith_device_of_the_sorted_fleet(run):
    folder, _ = run
    opened = [open_device(node(i, folder / "config.toml")).device_id for i in range(len(DEVICES))]
    assert opened == sorted(DEVICES)


def test_the_store_lies_in_the_run_folder_or_where_run_says(run):
    folder, _ = run
    beside = open_device(node(0, folder / "config.toml"))
    elsewhere = open_device(node(0, folder / "config.toml", run=str(folder / "other")))
    assert beside.store.folder.parent == folder / "devices"
    assert elsewhere.store.folder.parent == folder / "other" / "devices"


def test_conditions_are_the_fleets_and_the_device_class(run):
    folder, fleet = run
    cls = device_class(fleet.members[1].device_class)
    found = conditions(node(1, folder / "config.toml"))
    assert found.dropout == pytest.approx(1 - 0.5 * cls.availability)
    assert (found.slowdown, found.slow_fraction) == (cls.slowdown, 0.2)
    assert found.uplink_bytes_per_s * 8 == cls.network_up_bits_s
    assert found.deadline_s == fleet.job.deadline_s


def test_another_number_of_nodes_than_devices_says_what_to_ask_for(run):
    folder, _ = run
    with pytest.raises(ConfigError, match=r"expected 3 nodes \(num-supernodes=3\), came 10"):
        open_device(node(0, folder / "config.toml", of=10))


def test_a_run_without_a_config_says_so():
    with pytest.raises(ConfigError, match=r"config: expected the path of a run's config\.toml, came none"):
        open_device(node(0, ""))
