from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import sampled_from
from small_nets import GRAPHS, SPECS, built_in, chains, graph, graphs, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Activation, Add, Conv, LayerNorm, Linear, Net
from fedtailor.protos.quantised_net import Dequantise, Quantise, QuantisedConv, QuantisedLinear
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.integer import quantise as module
from fedtailor.strategies.integer.emulate import emulate
from fedtailor.strategies.integer.quantise import quantise


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def relative_error(net, quantised, x):
    want = answers(net, x)
    return float(np.sqrt(((emulate(quantised, x) - want) ** 2).mean()) / want.std())


def with_weights(net):
    return [layer for layer in net.layers if isinstance(layer, Conv | Linear | QuantisedConv | QuantisedLinear)]


@pytest.mark.parametrize("name", [*SPECS, *GRAPHS])
def test_int8_answers_like_fp32_on_rows_it_has_not_seen(name):
    net = built_in(name)[1] if name in SPECS else graph(name)
    assert relative_error(net, quantise(net, rows_for(net, 100)), rows_for(net, 100, seed=1)) < 0.07


@settings(max_examples=40)
@given(net=sampled_from([graphs, chains]).flatmap(lambda kind: kind()))
def test_every_layer_with_weights_becomes_an_integer_one_on_bfloat16_scales(net):
    quantised = quantise(net, rows_for(net, 8))
    assert layer_shapes(quantised)[-1] == layer_shapes(net)[-1]
    assert not Counter(map(type, quantised.layers)).keys() & {Conv, Linear, Add}
    for real, whole in zip(with_weights(net), with_weights(quantised), strict=True):
        flat = real.weight.reshape(len(real.weight), -1)
        nearest = np.clip(np.rint(flat / whole.scales[:, None].astype(np.float64)), -127, 127)
        assert np.array_equal(whole.weight.reshape(nearest.shape), nearest)
        assert not (whole.scales.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", ["conv2d", "mobile", "writer"])
def test_coded_weights_are_taken_as_they_are(name, bits):
    net = built_in(name)[1] if name in SPECS else graph(name)
    x = rows_for(net, 30)
    coded = code(net, x, {layer.name: Coding(bits) for layer in with_weights(net)})
    for real, whole in zip(with_weights(coded), with_weights(quantise(coded, x)), strict=True):
        assert np.array_equal(whole.scales, real.scales)
        steps = whole.scales.reshape(-1, *[1] * (real.weight.ndim - 1))
        assert np.array_equal((whole.weight * steps).astype(np.float32), real.weight)
        assert np.abs(whole.weight.astype(int)).max() <= Coding(bits).top


def test_a_value_is_quantised_and_dequantised_once_however_many_read_it():
    net = graph("encoder, norm last")
    assert_read_once(quantise(net, rows_for(net, 8)), Quantise)
    net = graph("residual series")
    shared = [layer.name for layer, read in zip(net.layers, net.wires, strict=True) if net.wires.count(read) > 1]
    quantised = quantise(net, rows_for(net, 8), floats=shared)
    assert len(shared) > 1
    assert_read_once(quantised, Dequantise)


def assert_read_once(net, kind):
    read = [wires for layer, wires in zip(net.layers, net.wires, strict=True) if isinstance(layer, kind)]
    assert len(read) == len(set(read)) > 0


@pytest.mark.parametrize("name", GRAPHS)
def test_layers_named_in_floats_keep_their_weights_and_compute_in_float32(name):
    net = graph(name)
    x = rows_for(net, 20)
    floats = {layer.name for layer in with_weights(net)[1::2]}
    coded = code(net, x, dict.fromkeys(floats, Coding(4)))
    quantised = quantise(coded, x, floats=floats)
    by_name = {layer.name: layer for layer in quantised.layers}
    for layer in with_weights(coded):
        assert (by_name[layer.name] is layer) == (layer.name in floats)
    assert relative_error(coded, quantised, x) < 0.05


def test_all_but_the_first_and_last_values_of_a_plain_network_stay_u8():
    net = built_in("conv2d")[1]
    kinds = Counter(map(type, quantise(net, rows_for(net, 8)).layers))
    assert kinds[Quantise] == 1
    assert kinds[Dequantise] == kinds[Activation] == 0


def test_layer_norm_stays_between_dequantised_and_quantised_values():
    net = graph("encoder")
    quantised = quantise(net, rows_for(net, 20))
    assert Counter(map(type, quantised.layers))[LayerNorm] == Counter(map(type, net.layers))[LayerNorm]
    assert all(isinstance(layer, QuantisedLinear) for layer in with_weights(quantised))


def test_a_channel_of_zeros_keeps_its_bias():
    net = built_in("mlp")[1]
    head = replace(net.layers[-1], weight=np.zeros_like(net.layers[-1].weight), bias=np.array([3, -7, 0, 1e-3], "f4"))
    net = replace(net, layers=(*net.layers[:-1], head))
    x = rows_for(net, 8)
    for each in (net, code(net, x, {head.name: Coding(1)})):
        np.testing.assert_allclose(emulate(quantise(each, x), x), np.tile(head.bias, (8, 1)), rtol=1e-6)


def test_a_bias_beyond_int32_is_kept_at_the_cost_of_weights_that_no_longer_count():
    weight = np.array([[1e-9, -2e-9], [1.0, 2.0]], np.float32)
    net = Net((2,), False, (Linear("l", weight, np.array([50.0, 1.0], np.float32)),))
    x = rows_for(net, 30)
    quantised = quantise(net, x)
    assert np.abs(quantised.layers[-1].bias.astype(np.int64)).max() <= 2**30
    np.testing.assert_allclose(emulate(quantised, x)[:, 0], 50, rtol=1e-6)


def test_the_better_of_full_and_clipped_ranges_is_kept(monkeypatch):
    net = built_in("conv1d")[1]
    x = rows_for(net, 64)
    kept, each = relative_error(net, quantise(net, x), x), []
    for rule in (module.full_range, module.least_squares_range):
        with monkeypatch.context() as patch:
            patch.setattr(module, "full_range", rule)
            patch.setattr(module, "least_squares_range", rule)
            each.append(relative_error(net, quantise(net, x), x))
    assert kept == min(each) < max(each)


def test_no_rows_are_refused():
    net = built_in("mlp")[1]
    with pytest.raises(ValueError, match="needs rows"):
        quantise(net, rows_for(net, 0))


def test_a_name_that_no_layer_has_is_refused():
    net = built_in("mlp")[1]
    with pytest.raises(ValueError, match=r"got 4 rows and \['conv9'\]"):
        quantise(net, rows_for(net, 4), floats=["conv9"])


def test_a_net_with_nothing_in_integers_stays_fp32():
    with pytest.raises(PlanError, match="keep the net in fp32"):
        quantise(Net((3,), False, (Activation("r", "relu"),)), np.ones((2, 3), np.float32))
    net = built_in("mlp")[1]
    with pytest.raises(PlanError, match="keep the net in fp32"):
        quantise(net, rows_for(net, 4), floats=[layer.name for layer in with_weights(net)])
