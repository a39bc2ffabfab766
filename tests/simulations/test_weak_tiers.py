"""Which devices are weak, and what half of a model is."""

from dataclasses import replace

import numpy as np
import pytest
from small_exits import EXITED

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.plan import Footprint, Submodel
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.simulations.weak_tiers import as_wide, exited, half_depth, weak_devices
from fedtailor.strategies.models.model import MODELS, build, no_exits
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.train_memory import step_bytes

HALVES = {
    "mlp": "relu1",
    "conv1d": "pool2",
    "conv2d": "pool2",
    "next-token": "relu2",
    "resnet": "relu21",
    "transformer": "mix1",
}


def device(name, kind, y):
    y = np.asarray(y)
    rows = Samples(np.zeros((len(y), 2), np.float32), y)
    return DeviceData(device_id=name, kind=kind, outputs=4, train=rows, validation=rows, test=rows)


def fleet(kind, *labels):
    return {f"d{at}": device(f"d{at}", kind, y) for at, y in enumerate(labels)}


@pytest.mark.parametrize("seed", range(6))
def test_weak_devices_hold_what_strong_ones_lack(seed):
    devices = fleet(CLASSIFICATION, *([kind] * 8 for kind in range(4)), np.zeros(0, int))
    weak = weak_devices(devices, seed)
    assert len(weak) == 2
    assert "d4" not in weak
    assert weak_devices(devices, seed) == weak
    targets = fleet(REGRESSION, *(np.full(8, value, np.float32) for value in (1, 2, 3, 4)))
    assert weak_devices(targets, seed) in ({"d0", "d1"}, {"d2", "d3"})


def test_other_seeds_draw_other_halves():
    devices = fleet(CLASSIFICATION, *([kind] * 8 for kind in range(4)))
    tokens = fleet(NEXT_TOKEN, *([kind] * 8 for kind in range(4)))
    for drawn in (devices, tokens):
        assert len({weak_devices(drawn, seed) for seed in range(12)}) > 2


@pytest.mark.parametrize("name", HALVES)
def test_half_of_a_models_depth_ends_at_an_exit_amid_its_layers(name):
    assert half_depth(replace(EXITED[name], exits=())) == Submodel(kind="depth", exit=HALVES[name])


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv2d", "next-token", "transformer"])
def test_the_submodel_by_width_takes_no_more_memory(name):
    spec = replace(EXITED[name], exits=())
    depth = half_depth(spec)
    width = as_wide(spec, depth)
    takes = [
        step_bytes(part_of(exited(spec, each), each).layout, 2, Footprint(micro_batch=1), moments=1)
        for each in (depth, width)
    ]
    assert width.kind == "width"
    assert takes[1] <= takes[0] or width.share == 0.125
    assert exited(spec, width) == spec
    assert exited(spec, depth).exits == (depth.exit,)


def test_a_model_without_exits_has_no_half(monkeypatch):
    spec = replace(EXITED["mlp"], exits=())
    monkeypatch.setitem(MODELS, "mlp", replace(MODELS["mlp"], exits=no_exits))
    assert build(spec)
    with pytest.raises(PlanError, match="model 'mlp' has no exit to stop at: of its depth no half can be trained"):
        half_depth(spec)
