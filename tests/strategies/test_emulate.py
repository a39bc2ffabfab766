"""Against arithmetic in reals; that the runtime answers alike is held in tests/client/test_exactness.py."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import composite, floats, integers, sampled_from
from small_nets import built_in, chains, graphs, rows_for

from fedtailor.protos.net import Activation, Flatten, Linear, MaxPool
from fedtailor.protos.quantised_net import (
    BlockLinear,
    Dequantise,
    Grid,
    Quantise,
    QuantisedActivation,
    QuantisedAdd,
    QuantisedAverage,
    QuantisedAveragePool,
    QuantisedConcat,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.strategies.integer.emulate import emulate
from fedtailor.strategies.integer.quantise import quantise


@composite
def grids(draw):
    return Grid(float(np.float32(draw(floats(0.01, 1.0)))), draw(integers(0, 255)))


def on(grid, reals):
    steps = np.clip(np.rint(reals / grid.scale) + grid.zero_point, 0, 255)
    return (steps - grid.zero_point) * grid.scale


def assert_within_half_a_step(got, reals, grid):
    """Of the exact answer, or at the end of the grid; float32 may take a value just past the middle."""
    low, high = -grid.zero_point * grid.scale, (255 - grid.zero_point) * grid.scale
    assert np.abs(got - np.clip(reals, low, high)).max() <= grid.scale * 0.5001


def one(layer, given, x):
    """What one layer answers to x, quantised on the grids given."""
    count = len(given)
    quantisers = tuple(Quantise(f"q{at}", grid) for at, grid in enumerate(given))
    wires = (*[(0,)] * count, tuple(range(1, count + 1)))
    return emulate(QuantisedNet(x.shape[1:], False, (*quantisers, layer), wires), x.astype(np.float32))


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape) * 20


@given(given=grids(), output=grids(), seed=integers(0, 99))
def test_averages_are_the_nearest_steps(given, output, seed):
    x = rows(seed, 3, 2, 4, 6)
    seen = on(given, x)
    got = one(QuantisedAverage("a", output), [given], x)
    assert_within_half_a_step(got, seen.mean((2, 3)), output)
    got = one(QuantisedAveragePool("a", (2, 3), (2, 3), output), [given], x)
    assert_within_half_a_step(got, seen.reshape(3, 2, 2, 2, 2, 3).mean((3, 5)), output)


@given(left=grids(), right=grids(), output=grids(), seed=integers(0, 99))
def test_sums_and_concatenations_are_the_nearest_steps(left, right, output, seed):
    x = rows(seed, 3, 2, 4)
    parts = on(left, x), on(right, x)
    got = one(QuantisedAdd("s", output), [left, right], x)
    assert_within_half_a_step(got, sum(parts), output)
    got = one(QuantisedConcat("c", 1, output), [left, right], x)
    assert_within_half_a_step(got, np.concatenate(parts, 2), output)


@given(given=grids(), output=grids(), seed=integers(0, 99))
def test_functions_are_the_nearest_steps(given, output, seed):
    x = rows(seed, 3, 7)
    seen = torch.from_numpy(on(given, x))
    for function, exact in (
        ("relu6", seen.clamp(0, 6)),
        ("silu", torch.nn.functional.silu(seen)),
        ("tanh", seen.tanh()),
    ):
        got = one(QuantisedActivation("f", function, output), [given], x)
        assert_within_half_a_step(got, exact.numpy(), output)


@given(given=grids(), seed=integers(0, 99))
def test_what_moves_or_compares_values_keeps_them(given, seed):
    x = rows(seed, 3, 2, 6)
    seen = on(given, x)
    np.testing.assert_allclose(one(Activation("r", "relu"), [given], x), np.maximum(seen, 0), rtol=1e-6)
    np.testing.assert_allclose(one(Flatten("f"), [given], x), seen.reshape(3, 12), rtol=1e-6)
    padded = np.pad(seen, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    pooled = padded.reshape(3, 2, 4, 2).max(3)
    np.testing.assert_allclose(one(MaxPool("m", (2,), (2,), ((1, 1),)), [given], x), pooled, rtol=1e-6)


@pytest.mark.parametrize("size", [40, 4000])
def test_sums_of_any_length_are_exact_integers(size):
    """At 4000 inputs of 127 · 255 float32 would round them; the emulator changes to float64."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (3, size)).astype(np.int8)
    weight[0] = 127
    bias, scales = rng.integers(-1000, 1000, 3).astype(np.int32), np.array([1, 0.5, 2], np.float32)
    x = rng.integers(0, 256, (4, size))
    x[0] = 255
    got = one(QuantisedLinear("l", weight, scales, bias, None), [Grid(1.0, 0)], x)
    exact = x.astype(np.int64) @ weight.T.astype(np.int64) + bias
    assert np.array_equal(got, exact.astype(np.float32) * scales)


def test_a_value_read_twice_is_there_for_both_and_float_layers_compute_in_float():
    weight = np.array([[1, 2], [3, 4]], np.float32)
    layers = (
        Quantise("q", Grid(1.0, 9)),
        Dequantise("d"),
        Linear("l", weight, np.ones(2, "f4")),
        QuantisedAdd("s", Grid(1.0, 0)),
    )
    twice = QuantisedNet((2,), False, (layers[0], layers[3]), ((0,), (1, 1)))
    x = np.array([[3, 5]], np.float32)
    assert np.array_equal(emulate(twice, x), [[6, 10]])
    chain = QuantisedNet((2,), False, layers[:3])
    assert np.array_equal(emulate(chain, x), x @ weight.T + 1)


def test_a_block_of_four_bit_weights_shares_a_scale():
    weight = np.tile(np.array([[1, -8]], np.int8), (1, 10))
    scales = np.array([[0.5, 2.0]], np.float32)
    net = QuantisedNet((20,), False, (BlockLinear("b", weight, scales, np.ones(1, "f4"), 16),))
    assert np.array_equal(emulate(net, np.ones((1, 20), np.float32)), [[8 * (1 - 8) * 0.5 + 2 * (1 - 8) * 2.0 + 1]])


@settings(max_examples=20)
@given(net=sampled_from([graphs, chains]).flatmap(lambda kind: kind()))
def test_a_row_is_answered_alike_alone_and_among_others(net):
    x = rows_for(net, 9)
    quantised = quantise(net, x)
    together = emulate(quantised, x)
    assert np.array_equal(np.concatenate([emulate(quantised, row[None]) for row in x]), together)


def test_tokens_are_looked_up_as_they_are():
    net = built_in("next-token")[1]
    x = rows_for(net, 5)
    assert np.array_equal(emulate(quantise(net, x), x.astype(np.int32)), emulate(quantise(net, x), x))
