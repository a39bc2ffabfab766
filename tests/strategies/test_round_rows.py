from itertools import product

import numpy as np
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.gptq import round_compensated
from fedtailor.strategies.compression.round_rows import round_rows
from fedtailor.strategies.integer.grids import bfloat16_nearest, sign_scales, weight_scales


def case(seed, outputs, inputs):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, inputs)) @ (np.eye(inputs) + 0.5 * rng.normal(size=(inputs, inputs)))
    return rng.normal(size=(outputs, inputs)), x.T @ x / len(x)


def errors(weight, energy, integers_, scales):
    change = weight - integers_ * scales[:, None]
    return np.einsum("oi,ij,oj->o", change, energy, change)


@given(seed=integers(0, 1000), bits=integers(1, 4))
def test_rows_lose_less_than_all_on_the_scales_that_suit_their_weights(seed, bits):
    weight, energy = case(seed, 40, 12)
    coding = Coding(bits)
    alone = sign_scales(weight) if bits == 1 else weight_scales(weight, coding.top)
    on_it = errors(weight, energy, round_compensated(weight, alone, coding, energy), alone)
    assert errors(weight, energy, *round_rows(weight, coding, energy)).sum() < on_it.sum()


@given(seed=integers(0, 1000), bits=sampled_from([1, 2]))
def test_small_rows_are_near_the_best_there_are(seed, bits):
    """Brute force over all integers, each on its best scale: the typical row hits it, and few are far off."""
    weight, energy = case(seed, 60, 5)
    values = (-1, 1) if bits == 1 else (-1, 0, 1)
    every = np.array([row for row in product(values, repeat=5) if any(row)], float)
    seen = every @ energy
    scales = np.maximum(seen @ weight.T, 0) / np.einsum("ki,ki->k", seen, every)[:, None]
    best = [errors(np.tile(row, (len(every), 1)), energy, every, scales[:, at]).min() for at, row in enumerate(weight)]
    got = errors(weight, energy, *round_rows(weight, Coding(bits), energy))
    assert (got >= np.array(best) * (1 - 1e-9)).all()
    assert np.median(got / best) < 1.5
    assert got.sum() <= 2 * sum(best)


@given(seed=integers(0, 1000), bits=integers(1, 8), density=sampled_from([1.0, 0.5]))
def test_scales_are_bfloat16_and_a_row_of_zeros_stays_one(seed, bits, density):
    weight, energy = case(seed, 4, 9)
    weight[1] = 0
    whole, scales = round_rows(weight, Coding(bits, density), energy)
    assert np.array_equal(bfloat16_nearest(scales), scales)
    assert (scales > 0).all()
    assert np.abs(whole).max() <= Coding(bits).top
    assert not whole[1].any()


@given(seed=integers(0, 1000))
def test_no_other_bfloat16_scale_suits_the_integers_better(seed):
    weight, energy = case(seed, 4, 9)
    whole, scales = round_rows(weight, Coding(3), energy)
    got = errors(weight, energy, whole, scales)
    for factor in (1 - 2**-8, 1 + 2**-7):
        assert (errors(weight, energy, whole, bfloat16_nearest(scales * factor)) >= got * (1 - 1e-9)).all()


@given(seed=integers(0, 1000))
def test_nearest_integers_at_8_bits(seed):
    weight, energy = case(seed, 4, 9)
    whole, scales = round_rows(weight, Coding(8), energy)
    assert np.array_equal(whole, np.clip(np.rint(weight / scales[:, None]), -127, 127))
