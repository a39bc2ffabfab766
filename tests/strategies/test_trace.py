import numpy as np
import pytest
import torch
from small_modules import MODULES, OUTPUTS, SERIES, Branches, ResidualSeries, Through, small_module, spec_of
from small_nets import SPECS, built_in, traced_alike
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Add, Attention, Concat, Conv, Embedding, LayerNorm, Linear, Positions
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import read_state


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


@pytest.mark.parametrize("name", SPECS)
def test_the_net_of_a_built_in_model_holds_every_parameter(name):
    module, net = built_in(name)
    held = []
    for layer in net.layers:
        if isinstance(layer, Conv | Linear):
            held += [layer.weight, layer.bias]
        elif isinstance(layer, Embedding | Positions):
            held.append(layer.table)
        elif isinstance(layer, LayerNorm):
            held += [layer.scale, layer.shift]
    state = read_state(module)
    assert len(held) == len(state)
    assert all(map(np.array_equal, held, state.values()))


@pytest.mark.parametrize("name", SPECS)
def test_layers_of_a_built_in_model_have_the_names_of_its_parts(name):
    module, net = built_in(name)
    assert {layer.name for layer in net.layers} >= {
        path for path, part in module.named_modules() if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear)
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_net_computes_what_the_module_does(name):
    traced_alike(*small_module(name))


def test_batch_norms_are_gone_where_a_convolution_can_take_them():
    net = traced_alike(*small_module("mobile"))
    assert kinds(net).count("Conv") == 4
    assert "Affine" not in kinds(net)


def test_branches_meet_in_sums_and_concatenations():
    assert kinds(traced_alike(*small_module("residual series"))).count("Add") == 2
    assert [layer.axis for layer in traced_alike(*small_module("branches")).layers if isinstance(layer, Concat)] == [
        0,
        0,
    ]


def test_attention_becomes_three_projections_the_attention_and_one_more():
    net = traced_alike(*small_module("writer"))
    attention = next(at for at, layer in enumerate(net.layers) if isinstance(layer, Attention))
    read = [net.layers[value - 1] for value in net.wires[attention]]
    assert [type(layer) for layer in read] == [Linear] * 3
    assert len({layer.name for layer in read}) == 3
    assert net.layers[attention].causal
    assert net.layers[attention].heads == 4


def test_the_net_does_not_share_memory_with_the_module():
    module, net = built_in("mlp")
    before = net.layers[1].weight.copy()
    nn.init.zeros_(module.fc1.weight)
    assert np.array_equal(net.layers[1].weight, before)


def test_the_module_is_left_as_it_was():
    module, spec = small_module("mobile")
    module.train()
    module.drop.eval()
    before, attributes = {name: value.clone() for name, value in module.state_dict().items()}, set(vars(module))
    trace(module, spec)
    assert module.training
    assert not module.drop.training
    assert set(vars(module)) == attributes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_no_random_number_is_drawn():
    module, spec = small_module("encoder")
    before = torch.random.get_rng_state()
    trace(module, spec)
    assert torch.equal(torch.random.get_rng_state(), before)


ODD_MODULES = {
    "LSTM": nn.LSTM(6, 6),
    "padding_mode": nn.Conv1d(24, 6, 3, padding=1, padding_mode="circular"),
    "another window": nn.MaxPool1d(4, ceil_mode=True),
    "dilation": nn.MaxPool1d(2, dilation=2),
    "approximate": nn.GELU("tanh"),
    "max_norm": nn.Embedding(4, 4, max_norm=1.0),
    "last axis alone": nn.LayerNorm((24, 6)),
    "statistics": nn.BatchNorm1d(24, track_running_stats=False),
    "must divide": nn.AdaptiveAvgPool1d(5),
    "Softmax": nn.Softmax(-1),
}


@pytest.mark.parametrize("reason", ODD_MODULES)
def test_a_module_that_cannot_be_traced_is_named_with_the_reason(reason):
    module = nn.Sequential()
    module.add_module("odd", ODD_MODULES[reason])
    with pytest.raises(PlanError, match=rf"'odd' \({type(ODD_MODULES[reason]).__name__}.*{reason}|'odd' \({reason}\)"):
        trace(module, spec_of(SERIES))


def test_the_error_is_one_line_with_everything_that_could_not_be_traced():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = ResidualSeries()
            self.body.norm = nn.GroupNorm(2, 8)
            self.memory = nn.GRU(6, 6, batch_first=True)
            self.gate = Through(lambda _, x: x if x.mean() > 0 else -x)
            self.last = nn.Sequential(nn.Linear(6, OUTPUTS), nn.PReLU())

        def forward(self, x):
            y, _ = self.memory(x)
            return self.body(x) + self.last(self.gate(x).mean(1)) + y[:, -1]

    with pytest.raises(PlanError) as raised:
        trace(Odd(), spec_of(SERIES))
    message = str(raised.value)
    assert "\n" not in message
    for part in ("'body.norm' (GroupNorm)", "'memory' (GRU)", "'gate' (Through", "'last.1' (PReLU)"):
        assert part in message
    assert "'body.stem'" not in message


def test_layers_that_do_not_fit_are_refused():
    module, _ = built_in("conv1d")
    with pytest.raises(PlanError, match=r"standardise.*do not fit"):
        trace(module, SPECS["conv1d regression"])


def test_an_answer_of_another_shape_than_the_task_asks_for_is_refused():
    with pytest.raises(PlanError, match=r"answers \[8\] for one sample, expected \[5\]"):
        trace(nn.Sequential(nn.Flatten(), nn.Linear(144, 8)), spec_of(SERIES))


def test_a_net_of_a_module_for_another_shape_is_another_net():
    module = Branches()
    with pytest.raises(PlanError, match="head"):
        trace(module, spec_of((20, 20, 3)))


def test_residual_blocks_add_what_they_read():
    net = trace(*small_module("residual series"))
    first = next(at for at, layer in enumerate(net.layers) if isinstance(layer, Add))
    names = ["sample", *(layer.name for layer in net.layers)]
    assert [names[value] for value in net.wires[first]] == ["relu", "block.3"]
