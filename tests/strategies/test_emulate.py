"""The equality that everything rests on: integer emulator and ONNX Runtime answer alike, row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers
from small_nets import SPECS, built_in, chains, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.net import Affine, Conv, MaxPool, Net, Relu
from fedtailor.strategies.emulate import emulate
from fedtailor.strategies.quantise import quantise


def assert_equal_to_runtime(net, x, bits=8):
    quantised = quantise(net, x, weight_bits=bits)
    want = predict(open_session(to_onnx(quantised)), x)
    got = emulate(quantised, x)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("name", SPECS)
def test_built_in_models_whole_and_thinned_equal_the_runtime(name, keep):
    net = thinned(built_in(name)[1], keep)
    assert_equal_to_runtime(net, rows_for(net, 100))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", ["mlp", "conv1d", "next-token"])
def test_narrow_weights_equal_the_runtime(name, bits):
    net = built_in(name)[1]
    assert_equal_to_runtime(net, rows_for(net, 50), bits)


@settings(max_examples=60)
@given(net=chains(), seed=integers(0, 1000))
def test_random_chains_equal_the_runtime(net, seed):
    assert_equal_to_runtime(net, rows_for(net, 20, seed))


def test_a_net_that_ends_in_a_convolution_answers_in_reals():
    rng = np.random.default_rng(0)
    conv = Conv("c", rng.normal(size=(4, 3, 3)).astype("f4"), rng.normal(size=4).astype("f4"), (1,), ((1, 1),), (1,), 1)
    net = Net((3, 16), False, (conv, MaxPool("p", (2,), (2,)), Relu("r")))
    assert_equal_to_runtime(net, rows_for(net, 50))


def test_inputs_far_outside_the_calibration_saturate_as_in_the_runtime():
    net = built_in("conv1d")[1]
    quantised = quantise(net, rows_for(net, 50))
    x = rows_for(net, 50, seed=1) * 100
    np.testing.assert_allclose(emulate(quantised, x), predict(open_session(to_onnx(quantised)), x), rtol=0, atol=1e-5)


def test_dead_channels_and_constant_inputs_equal_the_runtime():
    net = built_in("conv1d")[1]
    layers = [layer for layer in net.layers if not isinstance(layer, Affine)]
    layers[1].weight[::2] = 0
    layers[1].bias[::4] = 0
    net = Net(net.input_shape, False, tuple(layers))
    assert_equal_to_runtime(net, np.zeros((5, *net.input_shape), np.float32))
    assert_equal_to_runtime(net, rows_for(net, 50))
