from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from small_nets import built_in, chains, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import (
    Activation,
    Add,
    Affine,
    Attention,
    Concat,
    Conv,
    LayerNorm,
    Linear,
    MaxPool,
    Net,
    Positions,
)
from fedtailor.protos.quantised_net import BlockLinear, Dequantise, Grid, Quantise, QuantisedNet
from fedtailor.strategies.graph.shapes import layer_shapes, value_kinds


@given(net=chains())
def test_shapes_are_those_that_torch_computes(net):
    (_, conv, *_), (_, before, after, *_) = net.layers, layer_shapes(net)
    x = torch.zeros(1, *before)
    pads = [size for pair in reversed(conv.padding) for size in pair]
    convolve = torch.nn.functional.conv1d if len(conv.stride) == 1 else torch.nn.functional.conv2d
    padded = torch.nn.functional.pad(x, pads)
    weight = torch.from_numpy(conv.weight)
    assert convolve(padded, weight, None, conv.stride, 0, conv.dilation, conv.groups).shape[1:] == after


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv2d", "next-token"])
def test_shapes_of_built_in_models_follow_the_module(name):
    module, net = built_in(name)
    value = torch.from_numpy(rows_for(net, 1))
    for layer, shape in zip(module, layer_shapes(net)[1:], strict=True):
        value = layer(value)
        assert value.shape[1:] == shape


def _conv(**changes):
    conv = Conv("c", np.ones((2, 3, 5), np.float32), np.ones(2, np.float32), (1,), ((2, 2),), (1,), 1)
    return replace(conv, **changes)


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((4, 10), _conv()),
        ((3, 10), _conv(bias=np.ones(3, np.float32))),
        ((3, 10), _conv(stride=(0,))),
        ((3, 10), _conv(padding=((-1, 2),))),
        ((3, 10), _conv(groups=2)),
        ((3, 10), _conv(dilation=(9,))),
        ((3, 10, 10), _conv()),
        ((7,), Linear("l", np.ones((2, 6), np.float32), np.ones(2, np.float32))),
        ((3, 10), MaxPool("p", (11,), (2,))),
        ((3, 10), Affine("a", np.ones(3, np.float32), np.ones(3, np.float32))),
        ((3, 10), _conv(scales=np.ones(3, np.float32))),
        ((3, 10), MaxPool("p", (2,), (2,), ((2, 0),))),
        ((3, 10), LayerNorm("n", np.ones(3, np.float32), np.ones(3, np.float32), 1e-5)),
        ((3, 10), Positions("t", np.ones((3, 9), np.float32))),
        ((6,), BlockLinear("b", np.ones((2, 6), np.int8), np.ones((2, 1), np.float32), np.ones(2, np.float32), 24)),
        ((6,), BlockLinear("b", np.ones((2, 6), np.int8), np.ones((2, 2), np.float32), np.ones(2, np.float32), 16)),
        ((), Activation("r", "relu")),
        ((0,), Activation("r", "relu")),
        ((1 << 30,), Activation("r", "relu")),
    ],
)
def test_a_layer_that_does_not_fit_is_refused(shape, layer):
    with pytest.raises(PlanError, match="do not fit"):
        layer_shapes(Net(shape, False, (layer,)))


def test_integers_and_reals_do_not_mix():
    with pytest.raises(PlanError, match="expects float, got u8"):
        layer_shapes(QuantisedNet((3,), False, (Quantise("a", Grid(1.0, 0)), Quantise("b", Grid(1.0, 0)))))
    with pytest.raises(PlanError, match="got tokens"):
        layer_shapes(Net((3,), True, (Activation("r", "relu"),)))


def test_names_are_unique():
    with pytest.raises(PlanError, match="name of its own"):
        layer_shapes(Net((3,), False, (Activation("r", "relu"),) * 2))


def test_layers_of_several_values_want_them_to_agree():
    wide = Linear("wide", np.ones((4, 3), np.float32), np.ones(4, np.float32))
    for last in (Add("last"), Concat("last", 1), Attention("last", 3, causal=True)):
        with pytest.raises(PlanError, match="'last'"):
            layer_shapes(Net((3,), False, (wide, last), ((0,), (0, 1))))
    assert layer_shapes(Net((3,), False, (wide, Concat("last", 0)), ((0,), (0, 1))))[-1] == (7,)


def test_a_layer_must_read_as_many_values_as_it_takes():
    with pytest.raises(PlanError, match="2 values to read, got 1"):
        layer_shapes(Net((3,), False, (Add("a"),)))
    with pytest.raises(PlanError, match="1 values to read, got 2"):
        layer_shapes(Net((3,), False, (Activation("r", "relu"),), ((0, 0),)))


def test_wires_lead_backwards():
    with pytest.raises(ValueError, match="layer 0 of a net may read values 0 to 0"):
        Net((3,), False, (Activation("r", "relu"),), ((1,),))
    with pytest.raises(ValueError, match="wires for each"):
        Net((3,), False, (Activation("r", "relu"),), ((0,), (1,)))


def test_integers_become_reals_where_they_are_asked_to():
    net = QuantisedNet((3,), False, (Quantise("a", Grid(1.0, 0)), Dequantise("b")))
    assert value_kinds(net) == ("float", "u8", "float")
    layer_shapes(net)
