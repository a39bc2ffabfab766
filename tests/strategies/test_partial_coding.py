import numpy as np
import pytest
import torch
from small_nets import graph

from fedtailor.protos.net import Conv, Linear
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.graph.realise import Part
from fedtailor.strategies.planning.partial_coding import MOST_ROWS, layer_inputs, partly_coded


def wide(rows):
    rng = np.random.default_rng(0)
    return Linear("wide", rng.normal(size=(rows, 12)).astype(np.float32), rng.normal(size=rows).astype(np.float32))


def reads(layer):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(400, layer.weight.shape[1])).astype(np.float32) + 1)
    return x, layer_inputs(layer, x)


def error(layer, coded, x):
    with torch.no_grad():
        return float((Part(coded)(x) - Part(layer)(x)).square().sum())


def test_a_few_rows_stand_for_all():
    layer = wide(4 * MOST_ROWS)
    x, inputs = reads(layer)
    some = partly_coded(layer, inputs, Coding(3))
    changed = (some.layer.weight != layer.weight).any(1)
    assert changed.sum() == MOST_ROWS
    assert some.share == pytest.approx(0.25)
    parts = [Linear("part", layer.weight[at::4], layer.bias[at::4]) for at in range(4)]
    whole = sum(error(part, partly_coded(part, inputs, Coding(3)).layer, x) for part in parts)
    assert error(layer, some.layer, x) / some.share == pytest.approx(whole, rel=0.2)


def test_the_mean_answer_stays():
    layer = wide(8)
    x, inputs = reads(layer)
    coded = partly_coded(layer, inputs, Coding(2)).layer
    with torch.no_grad():
        means = [Part(each)(x).mean(0).numpy() for each in (layer, coded)]
    np.testing.assert_allclose(*means, atol=1e-4)
    assert error(layer, coded, x) > 0


def test_each_group_of_a_depthwise_convolution_is_coded_from_its_own_inputs():
    net = graph("mobile")
    layer = next(layer for layer in net.layers if isinstance(layer, Conv) and layer.groups > 1)
    channels = layer.weight.shape[1] * layer.groups
    x = torch.randn(20, channels, 9, 9, generator=torch.Generator().manual_seed(0))
    inputs = layer_inputs(layer, x)
    assert inputs.energy.shape == (layer.groups, layer.weight[0].size, layer.weight[0].size)
    fine, coarse = (partly_coded(layer, inputs, coding) for coding in (Coding(6), Coding(2)))
    assert error(layer, fine.layer, x) < error(layer, coarse.layer, x)
    assert coarse.bits < fine.bits
