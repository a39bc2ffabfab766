from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from small_nets import built_in, chains, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Affine, Conv, Linear, MaxPool, Net, Relu
from fedtailor.protos.quantised_net import Grid, Quantise, QuantisedNet
from fedtailor.strategies.shapes import layer_shapes


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
        ((), Relu("r")),
        ((0,), Relu("r")),
        ((1 << 30,), Relu("r")),
    ],
)
def test_a_layer_that_does_not_fit_is_refused(shape, layer):
    with pytest.raises(PlanError, match="do not fit"):
        layer_shapes(Net(shape, False, (layer,)))


def test_integers_and_reals_do_not_mix():
    with pytest.raises(PlanError, match="expects float, got u8"):
        layer_shapes(QuantisedNet((3,), False, (Quantise("a", Grid(1.0, 0)), Quantise("b", Grid(1.0, 0)))))
    with pytest.raises(PlanError, match="got tokens"):
        layer_shapes(Net((3,), True, (Relu("r"),)))


def test_names_are_unique():
    with pytest.raises(PlanError, match="name of its own"):
        layer_shapes(Net((3,), False, (Relu("r"), Relu("r"))))
