from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, tuples
from scipy import stats

from fedtailor.strategies.exact_bound import MOST_ROWS, proportion_bound
from fedtailor.strategies.paired import score_bound, unseen_share

counts = tuples(integers(0, 30), integers(0, 30), integers(0, 200)).filter(lambda c: sum(c) > 0)


@cache
def every_bound(rows):
    """Every outcome of `rows` rows, and its bound."""
    cells = [(b, c) for b in range(rows + 1) for c in range(rows + 1 - b)]
    return np.array(cells), np.array([proportion_bound(b, c, rows, 0.95) for b, c in cells])


def coverage(rows, p_b, p_c):
    """The chance that the bound is not below the true difference, summed over every outcome."""
    cells, bounds = every_bound(rows)
    chances = stats.multinomial.pmf(np.c_[cells, rows - cells.sum(1)], rows, [p_b, p_c, 1 - p_b - p_c])
    return chances[bounds >= p_b - p_c].sum()


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_the_bound_holds_at_every_pair_of_rates(rows):
    shares = np.concatenate([[0.0, 1e-3, 3e-3], np.linspace(0.01, 1, 34)])
    assert min(coverage(rows, p, q) for p in shares for q in shares if p + q <= 1) >= 0.95


@pytest.mark.slow
def test_the_bound_holds_at_every_pair_of_rates_with_more_rows():
    shares = np.concatenate([np.geomspace(1e-4, 0.01, 8), np.linspace(0.02, 1, 50)])
    assert min(coverage(60, p, q) for p in shares for q in shares if p + q <= 1) >= 0.95


def test_it_holds_where_the_score_bound_falls_short():
    lost = range(30)
    chances = stats.binom.pmf(lost, 100, 0.0266)

    def held(bound):
        return sum(chance for b, chance in zip(lost, chances, strict=True) if bound(b, 0, 100, 0.95) >= 0.0266)

    assert held(score_bound) < 0.935
    assert held(proportion_bound) >= 0.95


@given(rows=integers(1, 3000), confidence=floats(0.6, 0.99))
@settings(max_examples=25)
def test_without_a_differing_row_it_is_little_above_the_unseen_share(rows, confidence):
    bound = proportion_bound(0, 0, rows, confidence)
    assert unseen_share(rows, confidence) <= bound <= 1.1 * unseen_share(rows, confidence)


@given(counts=counts, confidence=floats(0.7, 0.99))
@settings(max_examples=25)
def test_one_more_row_lost_raises_the_bound_and_one_more_gained_lowers_it(counts, confidence):
    b, c, same = counts
    bound = proportion_bound(b, c, b + c + same, confidence)
    assert (b - c) / (b + c + same) <= bound <= 1
    if same:
        assert proportion_bound(b + 1, c, b + c + same, confidence) >= bound - 1e-9
        assert proportion_bound(b, c + 1, b + c + same, confidence) <= bound + 1e-9


@pytest.mark.parametrize("counts", [(4000, 3900, 20_000), (200, 0, 50_000), (0, 200, 50_000)])
def test_with_many_rows_that_differ_it_comes_close_to_the_score_bound(counts):
    exact, score, drop = (
        proportion_bound(*counts, 0.95),
        score_bound(*counts, 0.95),
        (counts[0] - counts[1]) / counts[2],
    )
    assert exact - drop == pytest.approx(score - drop, rel=0.05)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (700, 600), (30_000, 30_000)])
def test_at_the_most_rows_it_hands_over_to_the_score_bound_within_a_hundred_thousandth(counts):
    assert proportion_bound(*counts, MOST_ROWS, 0.95) == pytest.approx(score_bound(*counts, MOST_ROWS, 0.95), abs=1e-5)


def test_counts_that_nobody_has_cost_nothing():
    assert proportion_bound(10**15, 10**14, 10**17, 0.95) == pytest.approx(0.009, rel=1e-4)


def test_the_most_outcomes_can_say_is_one():
    assert proportion_bound(20, 0, 20, 0.95) == 1.0
    assert proportion_bound(0, 0, 1, 0.95) == pytest.approx(0.95, abs=1e-3)
