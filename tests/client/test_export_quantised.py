from collections import Counter

import numpy as np
import onnx
import pytest
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, optimised, optimised_operators, predict
from fedtailor.protos.net import Activation, Add, Attention, Concat, Conv, Linear
from fedtailor.protos.quantised_net import (
    BlockLinear,
    Dequantise,
    Grid,
    Quantise,
    QuantisedActivation,
    QuantisedAdd,
    QuantisedAverage,
    QuantisedConcat,
    QuantisedConv,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.strategies.integer.emulate import emulate
from fedtailor.strategies.integer.lookup import is_steady, lookup, steady_grid
from fedtailor.strategies.integer.quantise import quantise

FLOAT_KERNELS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "MaxPool", "GlobalAveragePool", "ReduceMean"}
CONVOLUTIONAL = ("residual series", "mobile", "branches")
GIVEN = Grid(float(np.float32(0.03)), 120)


def quantised(net, **options):
    return quantise(net, rows_for(net, 32), **options)


def kinds(net):
    return Counter(type(layer) for layer in net.layers)


def answers(net, x):
    return predict(open_session(to_onnx(net)), x)


def assert_near(net, x):
    """But for rows in which two libraries' float32 rounds a value to neighbouring steps."""
    assert np.isclose(answers(net, x), emulate(net, x), rtol=1e-5, atol=1e-5).mean() > 0.9


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("name", SPECS)
def test_every_layer_with_weights_runs_in_an_integer_kernel(name, keep):
    net = thinned(built_in(name)[1], keep)
    run = optimised_operators(to_onnx(quantised(net)))
    assert run["QLinearConv"] == kinds(net)[Conv]
    assert run["QGemm"] == kinds(net)[Linear]
    assert not run.keys() & FLOAT_KERNELS
    assert run["DequantizeLinear"] == 0
    assert run["QuantizeLinear"] == (0 if net.tokens else 1)


@pytest.mark.parametrize("name", ["conv1d", "conv1d regression", "conv2d"])
def test_the_average_runs_in_an_integer_kernel(name):
    run = optimised_operators(to_onnx(quantised(built_in(name)[1])))
    assert run["QLinearGlobalAveragePool"] == 1
    assert run["Transpose"] == 0


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_residuals_depthwise_layers_and_concatenations_run_in_integer_kernels(name):
    net = graph(name)
    run = optimised_operators(to_onnx(quantised(net)))
    assert run["QLinearConv"] == kinds(net)[Conv]
    assert run["QGemm"] == kinds(net)[Linear]
    assert run["QLinearAdd"] == kinds(net)[Add]
    assert run["QLinearConcat"] == kinds(net)[Concat]
    assert not run.keys() & (FLOAT_KERNELS | {"Add", "Concat", "AveragePool", "Gather"})


@pytest.mark.parametrize("name", ["encoder", "writer"])
def test_attention_stands_in_float_between_integer_layers(name):
    net = graph(name)
    run = optimised_operators(to_onnx(quantised(net)))
    assert run["Attention"] == kinds(net)[Attention]
    assert run["QGemm"] == kinds(net)[Linear]
    assert not run.keys() & FLOAT_KERNELS


@pytest.mark.parametrize("name", [*SPECS, *CONVOLUTIONAL])
def test_the_artefact_is_valid_onnx(name):
    model = onnx.load_from_string(to_onnx(quantised(built_in(name)[1] if name in SPECS else graph(name))))
    onnx.checker.check_model(model)
    (value,) = model.graph.output
    assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_int8_is_stored_in_a_byte_a_weight():
    net = built_in("next-token")[1]
    assert len(to_onnx(net)) / len(to_onnx(quantised(net))) > 3.4


@pytest.mark.parametrize("name", GRAPHS)
def test_the_runtimes_own_form_of_integers_gives_the_same_answers(name):
    net = quantised(graph(name))
    x, model = rows_for(net, 9), to_onnx(net)
    assert np.array_equal(predict(open_session(optimised(model)), x), predict(open_session(model), x))


@pytest.mark.parametrize(
    ("name", "floats"),
    [
        ("conv1d", ["conv2"]),
        ("conv2d", ["conv2", "conv3"]),
        ("mlp", ["fc2"]),
        ("next-token", ["conv3"]),
        ("residual series", ["block.3", "down"]),
        ("mobile", ["deep.0"]),
        ("mobile", ["wide.0", "deep.0", "thin.0"]),
        ("branches", ["dense"]),
    ],
)
def test_a_float_layer_among_integers_keeps_its_float_weights(name, floats):
    whole = built_in(name)[1] if name in SPECS else graph(name)
    net = quantised(whole, floats=floats)
    run = optimised_operators(to_onnx(net))
    assert run["Conv"] + run["FusedConv"] == kinds(net)[Conv]
    assert run["Gemm"] + run["FusedGemm"] == kinds(net)[Linear]
    assert run["QLinearConv"] == kinds(net)[QuantisedConv]
    assert run["QGemm"] == kinds(net)[QuantisedLinear]
    assert_near(net, rows_for(whole, 20, seed=1))


def test_float_sums_and_averages_between_integers_stay_float():
    net = graph("residual series")
    names = [layer.name for layer in net.layers if not isinstance(layer, Conv | Linear)]
    made = quantised(net, floats=names)
    assert not kinds(made).keys() & {QuantisedAdd, QuantisedAverage}
    run = optimised_operators(to_onnx(made))
    assert run["Add"] == kinds(made)[Add]
    assert not run.keys() & {"QLinearAdd", "QLinearGlobalAveragePool"}
    assert_near(made, rows_for(net, 20, seed=1))


@pytest.mark.parametrize("function", ["relu", "sigmoid", "tanh", "gelu"])
def test_a_float_activation_leaves_the_linear_layer_before_it_its_integers(function):
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (5, 8)).astype(np.int8)
    linear = QuantisedLinear("linear", weight, np.full(5, 0.01, np.float32), np.arange(5, dtype=np.int32), None)
    net = QuantisedNet((8,), False, (Quantise("q", GIVEN), linear, Activation("act", function)))
    assert optimised_operators(to_onnx(net))["QGemm"] == 1
    x = rng.normal(size=(20, 8)).astype(np.float32)
    np.testing.assert_allclose(answers(net, x), emulate(net, x), rtol=1e-5, atol=1e-6)


def looked_up(function, output):
    """What the runtime answers on u8 for every u8."""
    layers = (Quantise("q", GIVEN), QuantisedActivation("act", function, output))
    net = QuantisedNet((1,), False, (*layers, Dequantise("reals")))
    x = ((np.arange(256) - GIVEN.zero_point) * np.float32(GIVEN.scale)).astype(np.float32)[:, None]
    steps = answers(net, x)[:, 0].astype(np.float64) / output.scale + output.zero_point
    return np.rint(steps), optimised_operators(to_onnx(net))


@pytest.mark.parametrize("function", ["relu6", "hardswish", "gelu", "silu", "sigmoid", "tanh"])
def test_an_activation_of_u8_is_its_256_answers(function):
    near = Grid(float(np.float32(0.017)), 20)
    output = steady_grid(function, GIVEN, near)
    steps, run = looked_up(function, output)
    assert np.array_equal(steps, lookup(function, GIVEN, output))
    assert run["Gather"] == 0


def test_answers_that_lie_near_a_tie_are_looked_up():
    output = Grid(2 * GIVEN.scale, 20)  # of relu every second answer is one
    assert not is_steady("relu", GIVEN, output)
    steps, run = looked_up("relu", output)
    assert np.array_equal(steps, lookup("relu", GIVEN, output))
    assert run["Gather"] == 1


def test_series_are_concatenated_along_time_too():
    values = (Quantise("a", GIVEN), Quantise("b", Grid(0.5, 3)), QuantisedConcat("both", 1, Grid(0.25, 100)))
    net = QuantisedNet((3, 7), False, values, ((0,), (0,), (1, 2)))
    x = np.random.default_rng(0).normal(size=(5, 3, 7)).astype(np.float32)
    assert answers(net, x).shape == (5, 3, 14)
    np.testing.assert_allclose(answers(net, x), emulate(net, x), atol=1e-6)


@pytest.mark.parametrize(("inputs", "block"), [(64, 16), (70, 32), (300, 128)])
@pytest.mark.parametrize("ahead", [(), (4,)])
def test_four_bit_blocks_are_multiplied_with_inputs_of_eight_bits(inputs, block, ahead):
    rng = np.random.default_rng(0)
    blocks = -(-inputs // block)
    weight = rng.integers(-8, 8, (9, inputs)).astype(np.int8)
    scales = rng.uniform(0.01, 0.1, (9, blocks)).astype(np.float32)
    layer = BlockLinear("linear", weight, scales, rng.normal(size=9).astype(np.float32), block)
    net = QuantisedNet((*ahead, inputs), False, (layer,))
    assert optimised_operators(to_onnx(net)) == {"MatMulNBits": 1}
    x = rng.normal(size=(3, *ahead, inputs)).astype(np.float32)
    want = rounded_per_block(x, block) @ (weight * scales.repeat(block, 1)[:, :inputs]).T + layer.bias
    np.testing.assert_allclose(answers(net, x), want, rtol=1e-5, atol=1e-5)


def rounded_per_block(x, block):
    """Each block of inputs as multiples of a 127th of its largest."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % block)])
    parts = padded.reshape(*x.shape[:-1], -1, block)
    largest = np.abs(parts).max(-1, keepdims=True)
    steps = np.rint(parts * (np.float32(127) / largest))
    return (steps * (largest / np.float32(127))).reshape(padded.shape)[..., : x.shape[-1]].astype(np.float64)
