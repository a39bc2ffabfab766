from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from small_nets import SPECS, built_in, chains, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear, Net, Relu
from fedtailor.protos.quantised_net import QuantisedConv, QuantisedEmbedding, QuantisedLinear
from fedtailor.strategies import quantise as module
from fedtailor.strategies.emulate import emulate
from fedtailor.strategies.quantise import quantise
from fedtailor.strategies.realise import realise


def relative_error(net, quantised, x):
    with torch.no_grad():
        want = realise(net)(torch.from_numpy(x)).numpy()
    return float(np.sqrt(((emulate(quantised, x) - want) ** 2).mean()) / want.std())


@pytest.mark.parametrize("name", SPECS)
def test_int8_answers_like_fp32_on_rows_it_has_not_seen(name):
    net = built_in(name)[1]
    assert relative_error(net, quantise(net, rows_for(net, 100)), rows_for(net, 100, seed=1)) < 0.07


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "next-token"])
def test_more_bits_lose_less(name):
    net = built_in(name)[1]
    seen, unseen = rows_for(net, 100), rows_for(net, 50, seed=1)
    errors = [relative_error(net, quantise(net, seen, weight_bits=bits), unseen) for bits in (8, 4, 2)]
    assert errors == sorted(errors)
    assert errors[-1] < 0.75


@settings(max_examples=25)
@given(net=chains())
def test_every_weight_is_the_nearest_on_its_scale(net):
    quantised = quantise(net, rows_for(net, 8))
    floats = [layer for layer in net.layers if isinstance(layer, Conv | Linear)]
    integers = [layer for layer in quantised.layers if isinstance(layer, QuantisedConv | QuantisedLinear)]
    for real, whole in zip(floats, integers, strict=True):
        flat = real.weight.reshape(len(real.weight), -1)
        nearest = np.clip(np.rint(flat / whole.scales[:, None].astype(np.float64)), -127, 127)
        assert np.array_equal(whole.weight.reshape(nearest.shape), nearest)
        assert not (whole.scales.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("bits", range(2, 9))
def test_values_stay_within_their_bits(bits):
    net = built_in("next-token")[1]
    top = 2 ** (bits - 1) - 1
    for layer in quantise(net, rows_for(net, 8), weight_bits=bits).layers:
        if isinstance(layer, QuantisedConv | QuantisedLinear):
            assert np.abs(layer.weight.astype(int)).max() <= top
        elif isinstance(layer, QuantisedEmbedding):
            assert layer.table.max() <= 2 * top + 1


@pytest.mark.parametrize("groups", [1, 2])
def test_the_energy_of_inputs_is_that_of_the_windows_a_convolution_sees(groups):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 6 // groups, 3, 2)).astype(np.float32)
    conv = Conv("c", weight, np.zeros(4, np.float32), (2, 1), ((1, 0), (2, 1)), (1, 2), groups)
    x = rng.normal(size=(5, 6, 8, 9)).astype(np.float32)
    padded = torch.nn.functional.pad(torch.from_numpy(x), (2, 1, 1, 0))
    answers = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), None, (2, 1), 0, (1, 2), groups).numpy()
    power = [
        np.einsum("oi,ij,oj->o", part, energy, part)
        for part, energy in zip(np.split(weight.reshape(4, -1), groups), module._energies(conv, x), strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(power), (answers**2).mean((0, 2, 3)), rtol=1e-4)


def test_a_channel_of_zeros_keeps_its_bias():
    net = built_in("mlp")[1]
    head = replace(net.layers[-1], weight=np.zeros_like(net.layers[-1].weight), bias=np.array([3, -7, 0, 1e-3], "f4"))
    net = Net(net.input_shape, False, (*net.layers[:-1], head))
    x = rows_for(net, 8)
    np.testing.assert_allclose(emulate(quantise(net, x), x), np.tile(head.bias, (8, 1)), rtol=1e-6)


def test_the_better_of_full_and_clipped_ranges_is_kept():
    net = built_in("conv1d")[1]
    x = rows_for(net, 64)
    kept = relative_error(net, quantise(net, x), x)
    rules = (module.full_range, module.least_squares_range)
    steps = module._steps(net, x)
    each = [relative_error(net, module._assemble(net, steps, rule, 8), x) for rule in rules]
    assert kept == min(each) < max(each)


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_out_of_range_are_refused(bits):
    net = built_in("mlp")[1]
    with pytest.raises(ValueError, match=f"2 to 8 bits.*got {bits}"):
        quantise(net, rows_for(net, 4), weight_bits=bits)


def test_no_rows_are_refused():
    net = built_in("mlp")[1]
    with pytest.raises(ValueError, match="at least one row"):
        quantise(net, rows_for(net, 0))


def test_a_net_without_weights_stays_fp32():
    with pytest.raises(PlanError, match="keep it in fp32"):
        quantise(Net((3,), False, (Relu("r"),)), np.ones((2, 3), np.float32))
