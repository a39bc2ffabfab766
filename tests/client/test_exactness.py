"""The equality that everything rests on: the integer emulator and ONNX Runtime answer alike, row by row."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, sampled_from
from small_nets import GRAPHS, SPECS, built_in, chains, graph, graphs, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, optimised_operators, predict
from fedtailor.protos.net import Activation, ChannelsFirst, Conv, GlobalAveragePool, Linear, MaxPool, Net
from fedtailor.protos.quantised_net import Grid, Quantise, QuantisedAdd, QuantisedConcat, QuantisedNet
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.integer.emulate import emulate
from fedtailor.strategies.integer.quantise import quantise

BITS = (8, 4, 2, 1)
ISLANDS = ("encoder", "encoder, norm last", "writer")


def weighted(net):
    return [layer.name for layer in net.layers if isinstance(layer, Conv | Linear)]


def coded(net, x, bits):
    return code(net, x, dict.fromkeys(weighted(net), Coding(bits))) if bits else net


def both(quantised, x):
    """What the emulator and what the runtime answers."""
    return emulate(quantised, x), predict(open_session(to_onnx(quantised)), x)


def assert_equal_to_runtime(quantised, x):
    got, want = both(quantised, x)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", SPECS)
def test_built_in_models_equal_the_runtime(name, bits):
    net = built_in(name)[1]
    x = rows_for(net, 50)
    assert_equal_to_runtime(quantise(coded(net, x, bits), x), x)


@pytest.mark.parametrize("name", SPECS)
def test_thinned_models_equal_the_runtime(name):
    net = thinned(built_in(name)[1], 0.3)
    x = rows_for(net, 50)
    assert_equal_to_runtime(quantise(net, x), x)


@settings(max_examples=40)
@given(net=graphs(), seed=integers(0, 1000), bits=sampled_from([None, *BITS]))
def test_random_graphs_equal_the_runtime(net, seed, bits):
    x = rows_for(net, 20, seed)
    assert_equal_to_runtime(quantise(coded(net, x, bits), x), x)


@settings(max_examples=25)
@given(net=chains(), seed=integers(0, 1000))
def test_random_chains_equal_the_runtime(net, seed):
    x = rows_for(net, 20, seed)
    assert_equal_to_runtime(quantise(net, x), x)


@pytest.mark.parametrize("functions", [("relu", "relu6"), ("relu6", "relu"), ("relu", "relu"), ("relu6", "relu6")])
def test_of_two_clips_in_a_row_none_stays_in_float(functions):
    first, second = (Activation(f"clip{at}", function) for at, function in enumerate(functions))
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=size).astype(np.float32) for size in ((5, 3, 3), (5,), (2, 5), (2,))]
    conv = Conv("conv", 4 * weights[0], weights[1], (1,), ((1, 1),), (1,), 1)  # beyond six
    head = (GlobalAveragePool("average"), Linear("head", *weights[2:]))
    net = Net((8, 3), False, (ChannelsFirst("first"), conv, first, MaxPool("pool", (2,), (1,)), second, *head))
    quantised, x = quantise(net, rows_for(net, 20)), rows_for(net, 20, 1)
    assert_equal_to_runtime(quantised, x)
    assert not any("clip" in layer.name for layer in quantised.layers)  # the convolution's own grid ends where they do


@settings(max_examples=20)
@given(net=graphs())
def test_every_convolution_of_a_random_graph_runs_in_an_integer_kernel(net):
    run = optimised_operators(to_onnx(quantise(net, rows_for(net, 8))))
    kinds = Counter(type(layer) for layer in net.layers)
    assert run["QLinearConv"] == kinds[Conv]
    assert run["QGemm"] == kinds[Linear]
    assert not run.keys() & {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "Relu", "Clip"}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in ISLANDS])
def test_traced_graphs_equal_the_runtime(name, bits):
    net = graph(name)
    x = rows_for(net, 40)
    assert_equal_to_runtime(quantise(coded(net, x, bits), x), x)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", ISLANDS)
def test_behind_layers_in_float32_few_values_differ_and_by_little(name, bits):
    """Two libraries' float32 may round a value behind attention or layer norm to neighbouring steps of its grid."""
    net = graph(name)
    x = rows_for(net, 40)
    got, want = both(quantise(coded(net, x, bits), x), x)
    assert (np.abs(got - want) > 1e-5 * np.abs(want).max()).mean() < 0.05
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


@pytest.mark.parametrize("name", GRAPHS)
def test_layers_named_in_floats_run_in_float32_and_no_other_does(name):
    net = graph(name)
    floats = [layer.name for layer in net.layers if isinstance(layer, Conv)][1::2]
    kinds = Counter(type(layer) for layer in net.layers)
    run = optimised_operators(to_onnx(quantise(net, rows_for(net, 8), floats=floats)))
    assert run["QLinearConv"] == kinds[Conv] - len(floats)
    assert run["Conv"] + run["FusedConv"] == len(floats)
    assert run["QGemm"] == kinds[Linear]


@settings(max_examples=40)
@given(
    scales=sampled_from([(1.0, 1.0, 1.0), (0.5, 2.0, 0.25), (0.013, 0.71, 0.2), (0.3, 0.3, 1.7)]),
    stretch=floats(0.5, 2.0),
    zeros=sampled_from([(0, 0, 0), (128, 3, 77), (255, 0, 1), (19, 200, 255)]),
    joined=sampled_from([QuantisedAdd("sum", Grid(1.0, 0)), QuantisedConcat("sum", 0, Grid(1.0, 0))]),
)
def test_sums_and_concatenations_of_all_pairs_of_u8_equal_the_runtime(scales, stretch, zeros, joined):
    grids = [Grid(float(np.float32(scale * stretch)), zero) for scale, zero in zip(scales, zeros, strict=True)]
    reals = [(np.arange(256) - grid.zero_point) * np.float32(grid.scale) for grid in grids[:2]]
    x = np.stack(np.meshgrid(*reals), -1).reshape(1, -1, 2).astype(np.float32)
    split = [
        Conv(name, np.eye(2, dtype=np.float32)[at : at + 1, :, None], np.zeros(1, np.float32), (1,), ((0, 0),), (1,), 1)
        for at, name in enumerate("ab")
    ]
    layers = (*split, *(Quantise(f"q{at}", grids[at]) for at in range(2)), replace(joined, output=grids[2]))
    net = QuantisedNet((2, 256 * 256), False, layers, ((0,), (0,), (1,), (2,), (3, 4)))
    assert_equal_to_runtime(net, np.ascontiguousarray(x.transpose(0, 2, 1)))


def test_a_net_that_ends_in_a_convolution_answers_in_reals():
    rng = np.random.default_rng(0)
    conv = Conv("c", rng.normal(size=(4, 3, 3)).astype("f4"), rng.normal(size=4).astype("f4"), (1,), ((1, 1),), (1,), 1)
    net = Net((3, 16), False, (conv, MaxPool("p", (2,), (2,)), Activation("r", "relu")))
    x = rows_for(net, 50)
    assert_equal_to_runtime(quantise(net, x), x)


def test_inputs_far_outside_the_calibration_saturate_as_in_the_runtime():
    net = built_in("conv1d")[1]
    assert_equal_to_runtime(quantise(net, rows_for(net, 50)), rows_for(net, 50, seed=1) * 100)


def test_dead_channels_and_constant_inputs_equal_the_runtime():
    net = graph("residual series")
    at = next(place for place, layer in enumerate(net.layers) if isinstance(layer, Conv))
    weight, bias = net.layers[at].weight.copy(), net.layers[at].bias.copy()
    weight[::2], bias[::4] = 0, 0
    dead = replace(net.layers[at], weight=weight, bias=bias)
    net = replace(net, layers=(*net.layers[:at], dead, *net.layers[at + 1 :]))
    for x in (np.zeros((5, *net.input_shape), np.float32), rows_for(net, 50)):
        assert_equal_to_runtime(quantise(coded(net, x, 1), x), x)
