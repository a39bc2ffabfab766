from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import floats, integers

from fedtailor.strategies.compression import compensation
from fedtailor.strategies.compression.compensation import DAMPING, Coarse, compensated
from fedtailor.strategies.compression.sparsify import share

ALL = share(1.0)


def layer(seed, outputs=3, inputs=7):
    """A weight and the energy of correlated inputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, inputs)) @ rng.normal(size=(inputs, inputs))
    return rng.normal(size=(outputs, inputs)), x.T @ x / 40


def damped(energy):
    return energy + (DAMPING * np.diag(energy).mean() + 1e-12) * np.eye(len(energy))


def error(coarse, weight, energy):
    change = coarse - weight
    return float(np.trace(change @ damped(energy) @ change.T))


def step_by_step(weight, energy, snap):
    """Each column snapped in turn, and all that follow solved for anew as the exact least squares."""
    seen, now = damped(energy), weight.copy()
    for at in range(weight.shape[1]):
        now[:, at] = snap(torch.from_numpy(now[:, at])).numpy()
        done, free = slice(0, at + 1), slice(at + 1, None)
        if at + 1 < weight.shape[1]:
            change = now[:, done] - weight[:, done]
            now[:, free] = weight[:, free] - np.linalg.solve(seen[free, free], seen[free, done] @ change.T).T
    return now


@pytest.fixture
def undescended(monkeypatch):
    monkeypatch.setattr(compensation, "_SWEEPS", 0)
    monkeypatch.setattr(compensation, "_plain", lambda wanted, coarse: (wanted + 1e6, wanted))  # never the better one


@pytest.mark.usefixtures("undescended")
@pytest.mark.parametrize("block", [2, 3, 128])
@pytest.mark.parametrize("seed", range(4))
def test_lazy_updates_equal_solving_for_the_rest_after_every_column(monkeypatch, seed, block):
    monkeypatch.setattr(compensation, "_BLOCK", block)
    weight, energy = layer(seed)
    got = compensated(weight, energy, Coarse(ALL, torch.round, run=block))
    np.testing.assert_array_equal(got, step_by_step(weight, energy, torch.round))


@given(seed=integers(0, 2**16), density=floats(0.1, 1), step=floats(0.1, 2))
def test_never_worse_than_magnitude_and_the_nearest_value(seed, density, step):
    weight, energy = layer(seed)
    coarse = Coarse(share(density), lambda values: torch.round(values / step) * step)
    plain = share(density)(torch.from_numpy(weight).square()).numpy() * np.rint(weight / step) * step
    assert error(compensated(weight, energy, coarse), weight, energy) <= error(plain, weight, energy) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_in_the_end_no_single_weight_could_be_better(monkeypatch, seed):
    monkeypatch.setattr(compensation, "_SWEEPS", 30)
    weight, energy = layer(seed)
    found = compensated(weight, energy, Coarse(ALL, torch.round))
    for row, column, change in product(range(3), range(7), (-1, 1)):
        other = found.copy()
        other[row, column] += change
        assert error(other, weight, energy) >= error(found, weight, energy) * (1 - 1e-9)


def test_every_sweep_lowers_the_error(monkeypatch):
    weight, energy = layer(0, outputs=20, inputs=30)
    errors = []
    for sweeps in range(4):
        monkeypatch.setattr(compensation, "_SWEEPS", sweeps)
        errors.append(error(compensated(weight, energy, Coarse(share(0.3), torch.round)), weight, energy))
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_inputs_that_are_always_zero_do_no_harm():
    weight = layer(0)[0]
    np.testing.assert_array_equal(compensated(weight, np.zeros((7, 7)), Coarse(ALL, torch.round)), np.rint(weight))


def test_the_weight_that_came_in_is_left_as_it_was():
    weight, energy = layer(0)
    before = weight.copy(), energy.copy()
    compensated(weight, energy, Coarse(share(0.5), torch.round))
    np.testing.assert_array_equal(weight, before[0])
    np.testing.assert_array_equal(energy, before[1])
