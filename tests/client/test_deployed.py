"""A device as its operator describes it."""

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from fedtailor.client.deployed import deployed_device
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import ConfigError, DataError


@pytest.fixture
def config(tmp_path):
    arrays = FleetArrays(
        x=np.zeros((8, 3), np.float32), y=np.arange(8) % 2, device=np.array(["till-1"] * 4 + ["till-2"] * 4)
    )
    write_fleet_file(tmp_path / "rows.npz", arrays)
    return {"device": "till-1", "data": str(tmp_path / "rows.npz"), "store": str(tmp_path / "store")}


def context(config) -> Context:
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})


def test_it_opens_its_own_rows_with_its_budget_and_tags(config):
    device = deployed_device(context({**config, "latency-ms": 5, "size-bytes": 40000, "tags": "till, north,"}))
    assert (device.device_id, device.tags) == ("till-1", ("till", "north"))
    assert len(device.data.train) + len(device.data.validation) + len(device.data.test) == 4
    assert (device.budget.latency_ms, device.budget.size_bytes) == (5.0, 40000)
    device.store.put("name", b"value")
    assert deployed_device(context(config)).store.get("name") == b"value"


def test_its_hardware_is_measured_not_modelled(config):
    hardware = deployed_device(context({**config, "class": "kiosk"})).hardware()
    assert (hardware.device_id, hardware.device_class, hardware.slowdown_modelled) == ("till-1", "kiosk", 1.0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"device": 3}, "device must be given as text"),
        ({"device": " ", "store": ""}, "device, store must be given as text"),
        ({"latency-ms": float("inf")}, "latency-ms must be a finite number, got inf"),
        ({"size-bytes": float("nan")}, "size-bytes must be a finite number, got nan"),
        ({"latency": 3.0}, "unknown key 'latency'; known: device, data, store, class, tags, latency-ms"),
        ({"latency-ms": "fast"}, "latency-ms must be a finite number, got 'fast'"),
        ({"tags": 3}, "tags must be text, separated by commas, got 3"),
        ({"latency-ms": True}, "latency-ms must be a finite number, got True"),
        ({"size-bytes": -1}, "Budget.size_bytes must be above 0, got -1"),
    ],
)
def test_a_wrong_key_is_named(config, change, line):
    with pytest.raises(ConfigError, match=f"node config: .*{line}"):
        deployed_device(context({**config, **change}))


def test_a_missing_file_and_an_unknown_device_are_named(config):
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        deployed_device(context({**config, "data": "nowhere.npz"}))
    with pytest.raises(DataError, match="till-9"):
        deployed_device(context({**config, "device": "till-9"}))
