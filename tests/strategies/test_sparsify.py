from itertools import combinations
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from fedtailor.strategies.compression.compensation import DAMPING
from fedtailor.strategies.compression.sparsify import n_of_m, sparsify


def layer(seed, outputs=4, inputs=8, rows=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs)) @ rng.normal(size=(inputs, inputs))
    return rng.normal(size=(outputs, inputs)), x.T @ x / rows


def damped(energy):
    return energy + DAMPING * np.diag(energy).mean() * np.eye(len(energy))


def error(sparse, weight, energy):
    change = sparse - weight
    return float(np.trace(change @ damped(energy) @ change.T))


def best_on(row, energy, kept):
    """One row's best weights on these inputs, solved for exactly."""
    best = np.zeros_like(row)
    seen, index = damped(energy), list(kept)
    best[index] = np.linalg.solve(seen[np.ix_(index, index)], seen[index] @ row)
    return best


def magnitude(weight, kept):
    """Of each row the `kept` largest."""
    sparse = np.zeros_like(weight)
    at = np.argsort(-np.abs(weight), axis=1)[:, :kept]
    np.put_along_axis(sparse, at, np.take_along_axis(weight, at, 1), 1)
    return sparse


@given(seed=integers(0, 2**16))
def test_of_a_pair_of_inputs_the_better_one_is_left_with_its_best_weight(seed):
    weight, energy = layer(seed, inputs=2)
    sparse = n_of_m(weight, energy, 1, 2)
    for row, got in zip(weight, sparse, strict=True):
        choices = [best_on(row, energy, kept) for kept in ((0,), (1,))]
        least = min(error(choice[None], row[None], energy) for choice in choices)
        # the first input's removal is made up for by the second one before either is weighed
        assert (got != 0).sum() == 1
        assert error(got[None], row[None], energy) >= least * (1 - 1e-9)
        np.testing.assert_allclose(got, best_on(row, energy, np.flatnonzero(got)), rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (3, 3)])
def test_every_run_of_m_inputs_has_n_weights(n, m):
    weight, energy = layer(0, inputs=24)
    assert ((n_of_m(weight, energy, n, m) != 0).reshape(4, -1, m).sum(2) == n).all()


def test_a_shorter_last_run_keeps_at_most_n():
    weight, energy = layer(0, inputs=11)
    counts = (n_of_m(weight, energy, 2, 4) != 0).sum(1)
    assert (counts == 6).all()


@given(seed=integers(0, 2**16), density=floats(0.05, 1))
def test_a_layer_keeps_the_share_that_was_asked(seed, density):
    weight, energy = layer(seed, outputs=5, inputs=9)
    assert (sparsify(weight, energy, density) != 0).sum() == ceil(density * 45 - 1e-9)


def test_weights_that_are_left_are_nearly_the_best_on_their_mask():
    weight, energy = layer(0, inputs=20, rows=200)
    sparse = sparsify(weight, energy, 0.5)
    exact = np.stack([best_on(row, energy, np.flatnonzero(got)) for row, got in zip(weight, sparse, strict=True)])
    assert error(sparse, weight, energy) < 1.25 * error(exact, weight, energy)


def test_the_mask_is_among_the_best_of_all_masks():
    ranks = []
    for seed in range(20):
        weight, energy = layer(seed, outputs=1, inputs=8)
        errors = sorted(
            error(best_on(weight[0], energy, kept)[None], weight, energy) for kept in combinations(range(8), 4)
        )
        ranks.append(np.searchsorted(errors, error(n_of_m(weight, energy, 4, 8), weight, energy)))
    assert np.median(ranks) < 10  # of 70


@given(seed=integers(0, 2**16), density=floats(0.1, 0.9))
def test_never_worse_than_magnitude(seed, density):
    weight, energy = layer(seed, outputs=1)
    kept = ceil(density * 8 - 1e-9)
    assert error(sparsify(weight, energy, density), weight, energy) <= error(
        magnitude(weight, kept), weight, energy
    ) * (1 + 1e-9)


def test_compensation_takes_a_third_off_magnitudes_error_at_least():
    weight, energy = layer(0, outputs=16, inputs=64, rows=300)
    assert error(sparsify(weight, energy, 0.5), weight, energy) < error(magnitude(weight, 32), weight, energy) * 2 / 3


def test_everything_kept_is_the_weight_itself():
    weight, energy = layer(0)
    np.testing.assert_array_equal(sparsify(weight, energy, 1.0), weight)
    np.testing.assert_array_equal(n_of_m(weight, energy, 4, 4), weight)


@pytest.mark.parametrize("density", [0, -0.1, 1.1, float("nan")])
def test_a_density_out_of_range_is_refused(density):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        sparsify(*layer(0), density)


@pytest.mark.parametrize(("n", "m"), [(0, 4), (5, 4)])
def test_n_beyond_m_is_refused(n, m):
    with pytest.raises(ValueError, match="n must be 1 to m"):
        n_of_m(*layer(0), n, m)
