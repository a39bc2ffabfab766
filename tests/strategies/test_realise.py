import numpy as np
import pytest
import torch
from small_nets import SPECS, built_in, rows_for, thinned

from fedtailor.protos.net import Activation, Add, Attention, Concat, Conv, Linear, Net
from fedtailor.strategies.graph.realise import realise, trace_back
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.models.model import read_state
from fedtailor.strategies.payload.payload import pack


@pytest.mark.parametrize("name", SPECS)
def test_the_realised_module_computes_what_the_traced_one_does(name):
    module, net = built_in(name)
    x = torch.from_numpy(rows_for(net, 5))
    with torch.no_grad():
        assert torch.equal(realise(net)(x), module(x))


@pytest.mark.parametrize("name", SPECS)
def test_a_thinned_net_comes_back_from_its_module_unchanged(name):
    net = thinned(built_in(name)[1], 0.5)
    assert pack(trace_back(realise(net), net)) == pack(net)


@pytest.mark.parametrize("name", SPECS)
def test_every_parameter_can_be_trained(name):
    module, net = built_in(name)
    realised = realise(net)
    assert sum(map(torch.numel, realised.parameters())) == sum(value.size for value in read_state(module).values())
    realised(torch.from_numpy(rows_for(net, 3))).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in realised.parameters())


def test_training_the_module_leaves_the_net_as_it_was():
    net = built_in("mlp")[1]
    before = pack(net)
    module = realise(net)
    torch.nn.init.zeros_(module.parts[-1].weight)
    assert pack(net) == before
    assert not trace_back(module, net).layers[-1].weight.any()


def test_no_random_number_is_drawn():
    net = built_in("next-token")[1]
    before = torch.random.get_rng_state()
    realise(net)
    assert torch.equal(torch.random.get_rng_state(), before)


def _conv(name, *shape, padding=(0, 0)):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return Conv(name, weight, np.ones(shape[0], np.float32), (1,), (padding,), (1,), 1)


def test_padding_may_differ_from_side_to_side():
    net = Net((1, 8), False, (_conv("odd", 2, 1, 3, padding=(0, 2)),))
    x = torch.arange(8.0).reshape(1, 1, 8)
    padded = torch.nn.functional.pad(x, (0, 2))
    assert torch.equal(realise(net)(x), torch.nn.functional.conv1d(padded, *realise(net).parameters()))


def test_a_value_may_be_read_by_several_layers():
    layers = (_conv("a", 2, 2, 1), Activation("b", "relu"), Add("c"), Concat("d", 0))
    net = Net((2, 8), False, layers, ((0,), (1,), (0, 2), (3, 1, 0)))
    x = torch.randn(3, 2, 8)
    with torch.no_grad():
        first = realise(net).parts[0](x)
        want = torch.cat([x + first.relu(), first, x], dim=1)
        assert torch.equal(realise(net)(x), want)
        values = realise(net).values(x)
    assert torch.equal(values[-1], want)
    assert [tuple(value.shape[1:]) for value in values] == list(layer_shapes(net))


def test_attention_is_torchs_own():
    x = torch.randn(2, 5, 12)
    own = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    rows = zip(own.in_proj_weight.detach().split(12), own.in_proj_bias.detach().split(12), strict=True)
    project = [Linear(f"p{at}", weight.numpy(), bias.numpy()) for at, (weight, bias) in enumerate(rows)]
    out = Linear("out", own.out_proj.weight.detach().numpy(), own.out_proj.bias.detach().numpy())
    net = Net((5, 12), False, (*project, Attention("mix", 3, causal=False), out), ((0,), (0,), (0,), (1, 2, 3), (4,)))
    with torch.no_grad():
        torch.testing.assert_close(realise(net)(x), own(x, x, x)[0])


def test_numbers_read_back_are_no_longer_coded():
    net = Net((2,), False, (Linear("a", np.ones((3, 2), np.float32), np.ones(3, np.float32), np.ones(3, np.float32)),))
    assert trace_back(realise(net), net).layers[0].scales is None
