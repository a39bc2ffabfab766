from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers

from fedtailor.strategies.compression.removal import DAMPING, Reader, best_weight, removal


def reader(rng, channels, width, outputs=2, rows=80):
    """A layer that reads `width` inputs of each channel, in a random order, and its inputs with a 1 last."""
    mixed = rng.normal(size=(channels * width, channels * width))
    inputs = np.c_[rng.normal(size=(rows, channels * width)) @ mixed, np.ones(rows)]
    columns = rng.permutation(channels * width).reshape(channels, width)
    weight = rng.normal(size=(channels * width + 1, outputs))
    return Reader(torch.from_numpy(inputs.T @ inputs / rows), torch.from_numpy(weight), columns)


def left_over(layer, channels):
    """The relative error with only these channels and the bias, by solving for the best weights anew."""
    hessian, weight = layer.hessian.numpy(), layer.weight.numpy()
    damped = hessian + DAMPING * np.diag(hessian).mean() * np.eye(len(hessian))
    used = np.append(np.sort(layer.columns[list(channels)].ravel()), len(hessian) - 1)
    best = np.zeros_like(weight)
    best[used] = np.linalg.solve(damped[np.ix_(used, used)], damped[used] @ weight)
    change = best - weight
    variance = np.trace(weight.T @ hessian @ weight) - np.square(hessian[-1] @ weight).sum()
    return np.trace(change.T @ damped @ change) / variance


@given(seed=integers(0, 2**16), width=integers(1, 3), layers=integers(1, 3))
def test_removal_one_by_one_equals_trying_every_channel_anew(seed, width, layers):
    rng = np.random.default_rng(seed)
    readers = [reader(rng, 5, width if at == 0 else 1) for at in range(layers)]
    found = removal(readers)
    left, order, costs = list(range(5)), [], [0.0]

    def error(gone):
        return sum(left_over(layer, [channel for channel in left if channel != gone]) for layer in readers)

    while left:
        order.append(min(left, key=error))
        costs.append(error(order[-1]))
        left.remove(order[-1])
    assert found.order.tolist() == order
    np.testing.assert_allclose(found.costs[::-1], costs, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_first_one_removed_is_the_best_of_all(seed):
    layer = reader(np.random.default_rng(seed), 6, 2)
    kept = tuple(removal([layer]).kept(5))
    assert kept == min(combinations(range(6), 5), key=lambda channels: left_over(layer, channels))


def test_the_greedy_pair_is_mostly_the_best_of_all_pairs():
    best = 0
    for seed in range(30):
        layer = reader(np.random.default_rng(seed), 6, 2)
        errors = [left_over(layer, channels) for channels in combinations(range(6), 4)]
        best += bool(np.isclose(left_over(layer, removal([layer]).kept(4)), min(errors)))
    assert best > 20


def test_costs_grow_from_nothing_to_the_whole_variance():
    costs = removal([reader(np.random.default_rng(0), 8, 1, rows=4000)]).costs
    assert len(costs) == 9
    assert costs[8] == 0
    assert (np.diff(costs) <= 1e-12).all()
    assert costs[0] == pytest.approx(1, abs=0.01)  # the bias alone answers the mean


def test_channels_that_are_copies_cost_nothing_until_the_last_copy_goes():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(500, 3))
    inputs = np.c_[base, base[:, 0], np.ones(500)]
    layer = Reader(
        torch.from_numpy(inputs.T @ inputs / 500), torch.from_numpy(rng.normal(size=(5, 2))), np.arange(4)[:, None]
    )
    found = removal([layer])
    assert found.order[0] in {0, 3}
    assert found.costs[3] < 0.01
    assert found.costs[2] > 0.05


@given(seed=integers(0, 2**16), rows=integers(3, 60))
def test_the_best_weight_is_ridge_regression_whether_rows_are_many_or_few(seed, rows):
    rng = np.random.default_rng(seed)
    inputs, outputs, start = (rng.normal(size=size) for size in ((rows, 9), (rows, 3), (9, 3)))
    ridge = np.sqrt(DAMPING * np.square(inputs).sum() / 9)
    stacked = np.r_[inputs, ridge * np.eye(9)]
    want = np.linalg.lstsq(stacked, np.r_[outputs, ridge * start], rcond=None)[0]
    got = best_weight(*(torch.from_numpy(array).float() for array in (inputs, outputs, start)))
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-3, atol=2e-3)


def test_a_layer_that_answers_a_constant_has_finite_costs():
    layer = reader(np.random.default_rng(0), 4, 1)
    silent = Reader(layer.hessian, torch.zeros_like(layer.weight), layer.columns)
    assert removal([silent]).costs.tolist() == [0] * 5
