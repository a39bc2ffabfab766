from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.gptq import round_compensated
from fedtailor.strategies.integer.grids import weight_scales


def correlated(seed=0, outputs=16, inputs=32, rows=500):
    """A weight and the inputs it has seen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, inputs)) + 0.1 * rng.normal(size=(rows, inputs))
    return rng.normal(size=(outputs, inputs)), x


def nearest(weight, scales, coding):
    if coding.bits == 1:
        return np.where(weight < 0, -1.0, 1.0)
    return np.clip(np.rint(weight / scales[:, None]), -coding.top, coding.top)


def error(rounded, scales, weight, x):
    return float(((x @ (rounded * scales[:, None] - weight).T) ** 2).mean())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_compensation_at_least_halves_the_error_on_correlated_inputs(bits):
    weight, x = correlated()
    coding = Coding(bits)
    scales = weight_scales(weight, coding.top)
    compensated = round_compensated(weight, scales, coding, x.T @ x / len(x))
    assert error(compensated, scales, weight, x) < 0.5 * error(nearest(weight, scales, coding), scales, weight, x)


@given(seed=integers(0, 2**16), bits=integers(1, 8), density=sampled_from([1.0, 0.5]))
def test_integers_are_those_of_the_coding(seed, bits, density):
    weight, x = correlated(seed, outputs=4, inputs=9)
    coding = Coding(bits, density)
    rounded = round_compensated(weight, weight_scales(weight, coding.top), coding, x.T @ x / len(x))
    assert set(np.unique(rounded)) <= set(range(-coding.top, coding.top + 1))
    assert (rounded != 0).sum() <= np.ceil(density * rounded.size)
    if bits == 1:
        assert (rounded != 0).sum() == np.ceil(density * rounded.size)


@given(seed=integers(0, 2**16), bits=integers(1, 8))
def test_never_worse_than_rounding_to_nearest_on_the_inputs_it_has_seen(seed, bits):
    weight, x = correlated(seed, outputs=2, inputs=6, rows=40)
    coding = Coding(bits)
    scales = weight_scales(weight, coding.top)
    compensated = round_compensated(weight, scales, coding, x.T @ x / len(x))
    plain = error(nearest(weight, scales, coding), scales, weight, x)
    assert error(compensated, scales, weight, x) <= plain * (1 + 1e-9)


@pytest.mark.parametrize(("bits", "inputs"), [(1, 8), (2, 6)])
def test_the_integers_are_the_best_of_all_or_nearly(bits, inputs):
    ratios, plain_ratios = [], []
    coding = Coding(bits)
    values = (-1, 1) if bits == 1 else (-1, 0, 1)
    for seed in range(12):
        weight, x = correlated(seed, outputs=1, inputs=inputs)
        scales = weight_scales(weight, 1)
        found = round_compensated(weight, scales, coding, x.T @ x / len(x))
        least = min(error(np.array([each]), scales, weight, x) for each in product(values, repeat=inputs))
        ratios.append(error(found, scales, weight, x) / least)
        plain_ratios.append(error(nearest(weight, scales, coding), scales, weight, x) / least)
    assert np.median(ratios) < 1.5
    assert np.median(ratios) < 0.5 * np.median(plain_ratios)


def test_uncorrelated_inputs_are_rounded_to_nearest():
    weight = np.random.default_rng(0).normal(size=(5, 8))
    got = round_compensated(weight, np.full(5, 0.25), Coding(4), np.eye(8))
    np.testing.assert_array_equal(got, np.clip(np.rint(weight / 0.25), -7, 7))


def test_a_mask_and_rounding_together_beat_one_after_the_other():
    weight, x = correlated()
    scales, energy = weight_scales(weight, 7), x.T @ x / len(x)
    together = round_compensated(weight, scales, Coding(4, 0.5), energy)
    cut = weight * (np.abs(weight) >= np.median(np.abs(weight)))
    after = round_compensated(cut, scales, Coding(4), energy)
    assert error(together, scales, weight, x) < 0.5 * error(after * (cut != 0), scales, weight, x)


def test_a_row_of_zeros_with_scale_zero_stays_finite():
    weight, x = correlated()
    weight[3] = 0
    scales = weight_scales(weight, 7)
    assert scales[3] == 0
    rounded = round_compensated(weight, scales, Coding(4), x.T @ x / len(x))
    assert np.isfinite(rounded).all()
    assert (rounded[3] == 0).all()


def test_inputs_that_are_always_zero_do_no_harm():
    weight = np.random.default_rng(0).normal(size=(5, 8))
    assert np.isfinite(round_compensated(weight, np.full(5, 0.25), Coding(4), np.zeros((8, 8)))).all()


def test_float32_is_not_rounded():
    with pytest.raises(ValueError, match="1 to 8 bits"):
        round_compensated(np.ones((1, 1)), np.ones(1), Coding(32), np.eye(1))
