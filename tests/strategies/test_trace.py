from collections import OrderedDict

import numpy as np
import pytest
from small_nets import SPECS, built_in
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Embedding, Linear
from fedtailor.strategies.models.model import read_state
from fedtailor.strategies.trace import trace


@pytest.mark.parametrize("name", SPECS)
def test_the_net_holds_every_parameter_of_the_module(name):
    module, net = built_in(name)
    held = {}
    for layer in net.layers:
        if isinstance(layer, Conv | Linear):
            held |= {f"{layer.name}.weight": layer.weight, f"{layer.name}.bias": layer.bias}
        elif isinstance(layer, Embedding):
            held[f"{layer.name}.weight"] = layer.table
    state = read_state(module)
    assert held.keys() == state.keys()
    assert all(np.array_equal(held[key], state[key]) for key in state)


def test_the_net_does_not_share_memory_with_the_module():
    module, net = built_in("mlp")
    before = net.layers[1].weight.copy()
    nn.init.zeros_(module.fc1.weight)
    assert np.array_equal(net.layers[1].weight, before)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.BatchNorm1d(6), "BatchNorm1d"),
        (nn.LSTM(6, 6), "LSTM"),
        (nn.Conv1d(6, 6, 3, padding=1, padding_mode="circular"), "padding_mode"),
        (nn.Conv1d(6, 6, 3, padding="same"), "padding must be numbers"),
        (nn.MaxPool1d(2, ceil_mode=True), "ceil_mode"),
        (nn.Flatten(0), "batch axis"),
    ],
)
def test_what_cannot_be_traced_is_named(layer, reason):
    with pytest.raises(PlanError, match=f"'odd'.*{reason}"):
        trace(nn.Sequential(OrderedDict(odd=layer)), SPECS["conv1d"])


def test_layers_that_do_not_fit_are_refused():
    module, _ = built_in("conv1d")
    with pytest.raises(PlanError, match=r"standardise.*do not fit"):
        trace(module, SPECS["conv1d regression"])
