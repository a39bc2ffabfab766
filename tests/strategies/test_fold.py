from dataclasses import replace

import numpy as np
import pytest
import torch

from fedtailor.protos.net import Activation, Add, Affine, ChannelsFirst, Conv, Linear, Net
from fedtailor.strategies.graph.fold import fold, without_unread
from fedtailor.strategies.graph.realise import realise

RNG = np.random.default_rng(0)


def _normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def _conv(name, outputs, inputs, *, groups=1):
    return Conv(name, _normal(outputs, inputs // groups, 3), _normal(outputs), (1,), ((1, 1),), (1,), groups)


def _norm(name, channels):
    return Conv(name, _normal(channels, 1, 1), _normal(channels), (1,), ((0, 0),), (1,), channels)


def _answers(net):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(4, *net.input_shape)).astype(np.float32))
    with torch.no_grad():
        return realise(net)(x)


def _names(net):
    return [layer.name for layer in net.layers]


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_norm_after_a_convolution_becomes_part_of_it(groups):
    net = Net((6, 9), False, (_conv("conv", 12, 6, groups=groups), _norm("norm", 12), Activation("relu", "relu")))
    folded = fold(net, {"norm"})
    assert _names(folded) == ["conv", "relu"]
    torch.testing.assert_close(_answers(folded), _answers(net))


def test_a_norm_after_a_linear_layer_becomes_part_of_it():
    layers = (Linear("linear", _normal(7, 5), _normal(7)), Affine("norm", _normal(7), _normal(7)))
    net = Net((5,), False, layers)
    folded = fold(net, {"norm"})
    assert _names(folded) == ["linear"]
    torch.testing.assert_close(_answers(folded), _answers(net))


def test_two_norms_in_a_row_are_both_folded():
    net = Net((6, 9), False, (_conv("conv", 4, 6), _norm("one", 4), _norm("two", 4)))
    folded = fold(net, {"one", "two"})
    assert _names(folded) == ["conv"]
    torch.testing.assert_close(_answers(folded), _answers(net))


def test_a_norm_stays_where_something_else_reads_what_it_reads():
    layers = (_conv("conv", 4, 6), _norm("norm", 4), Add("add"))
    net = Net((6, 9), False, layers, ((0,), (1,), (1, 2)))
    assert fold(net, {"norm"}) == net


@pytest.mark.parametrize(
    "before",
    [
        (),
        (Activation("relu", "relu"),),
        (Linear("linear", _normal(9, 9), _normal(9)),),
        (replace(_conv("coded", 6, 6), scales=np.ones(6, np.float32)),),
    ],
    ids=["the sample", "an activation", "a linear layer along another axis", "coded weights"],
)
def test_a_norm_stays_behind_what_cannot_take_it(before):
    net = Net((6, 9), False, (*before, _norm("norm", 6)))
    assert fold(net, {"norm"}) == net


def test_what_is_not_named_stays():
    net = Net((6, 9), False, (_conv("conv", 4, 6), _norm("norm", 4)))
    assert fold(net, {"other"}) == net


def test_readers_of_a_folded_norm_read_the_layer_before_it():
    layers = (_conv("conv", 6, 6), _norm("norm", 6), _conv("next", 6, 6), Add("add"))
    net = Net((6, 9), False, layers, ((0,), (1,), (2,), (2, 3)))
    folded = fold(net, {"norm"})
    assert folded.wires == ((0,), (1,), (1, 2))
    torch.testing.assert_close(_answers(folded), _answers(net), rtol=1e-4, atol=1e-4)


def test_layers_that_nothing_reads_are_left_out():
    layers = (_conv("conv", 6, 6), ChannelsFirst("unread"), _conv("after", 3, 9), Activation("relu", "relu"))
    net = Net((6, 9), False, layers, ((0,), (1,), (2,), (1,)))
    kept = without_unread(net)
    assert _names(kept) == ["conv", "relu"]
    assert torch.equal(_answers(kept), _answers(net))
