import json
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from small_tailoring import device, plan_of
from small_variants import HARDWARE

from fedtailor.client import bench
from fedtailor.client.store import DeviceStore
from fedtailor.client.tailor import tailor
from fedtailor.protos.plan import Recipe
from fedtailor.protos.samples import Samples
from fedtailor.protos.variant import FALLBACK

INT8 = Recipe(name="int8", shrink=1, precision="int8")
FLOATS = Recipe(name="floats", shrink=6, precision="fp32")
SMALL = Recipe(name="small", shrink=12, distil_steps=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)
    monkeypatch.setattr("fedtailor.client.latency_table.MEASURE_S", 0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Of a device that has timed its operators before."""
    return DeviceStore(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize(("train", "validation"), [(0, 40), (1, 40), (60, 0)])
def test_without_rows_to_plan_on_only_the_reference_is_left(store, train, validation):
    net, data = device("mlp", train, validation)
    tailored = tailor(net, data, plan_of("mlp", INT8), HARDWARE, store=store)
    assert (tailored.rungs, tailored.reference.rung.recipe) == ((), FALLBACK)
    (line,) = tailored.problems
    assert line.startswith("device d: ")
    assert line.endswith("; it runs the fp32 model")


def with_rows(data, change):
    """The same device with other train and validation rows."""
    return replace(data, train=change(data.train), validation=change(data.validation))


@pytest.mark.parametrize(
    ("train", "change"),
    [
        (2, lambda rows: rows),
        (60, lambda rows: Samples(np.where(np.arange(rows.x.shape[-1]) == 1, 3.0, rows.x).astype(np.float32), rows.y)),
        (60, lambda rows: Samples(np.zeros_like(rows.x), rows.y)),
        (60, lambda rows: Samples(rows.x, np.zeros_like(rows.y))),
    ],
    ids=["two rows", "a constant feature", "nothing but zeros", "one class only"],
)
@pytest.mark.parametrize("name", ["mlp", "conv1d"])
def test_a_device_with_poor_rows_gets_its_ladder_all_the_same(store, name, train, change):
    net, data = device(name, train)
    tailored = tailor(net, with_rows(data, change), plan_of(name, INT8, SMALL), HARDWARE, store=store)
    assert tailored.problems == ()
    assert len(tailored.rungs) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": "b"}', b"\xff"])
def test_timings_that_cannot_be_read_are_measured_anew(tmp_path, content):
    mine, name = DeviceStore(tmp_path), f"latencies-{ort.__version__}"
    net, data = device("mlp")
    mine.put(name, content)
    assert len(tailor(net, data, plan_of("mlp", INT8), HARDWARE, store=mine).rungs) == 1
    assert json.loads(mine.get(name) or b"")


def test_damaged_timings_cost_no_rung(tmp_path):
    mine, name = DeviceStore(tmp_path), f"latencies-{ort.__version__}"
    net, data = device("mlp")
    (tmp_path / "values" / name).write_bytes(b"half a tab")
    assert len(tailor(net, data, plan_of("mlp", INT8), HARDWARE, store=mine).rungs) == 1


def test_a_full_disk_costs_the_timings_and_no_rung(tmp_path, monkeypatch, caplog):
    mine = DeviceStore(tmp_path)
    net, data = device("mlp")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert len(tailor(net, data, plan_of("mlp", INT8), HARDWARE, store=mine).rungs) == 1
    assert "No space left on device" in caplog.text
