import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, tuples
from scipy import optimize, stats

from fedtailor.strategies.paired import (
    growth_bound,
    mean_bound,
    score_bound,
    score_slack,
    student_quantile,
    unseen_share,
)

counts = tuples(integers(0, 60), integers(0, 60), integers(0, 200)).filter(lambda c: sum(c) > 0)


def test_tango_reproduces_published_intervals():
    # Bentur et al. 2009 in Fagerland, Lydersen & Laake 2014, Statistics in Medicine 33, table IV: (-0.517, -0.026)
    assert score_bound(7, 1, 21, 0.975) == pytest.approx(0.517, abs=5e-4)
    assert -score_bound(1, 7, 21, 0.975) == pytest.approx(0.026, abs=5e-4)
    # Tango 1998, the crossover trial of contact lenses: one discordant pair of 44, lower 90 % limit -0.096
    assert -score_bound(1, 0, 44, 0.95) == pytest.approx(-0.096, abs=5e-4)


@given(counts=counts, confidence=floats(0.6, 0.99))
def test_tango_bound_solves_the_score_equation(counts, confidence):
    b, c, same = counts
    n = b + c + same
    bound = score_bound(b, c, n, confidence)
    assert (b - c) / n <= bound <= 1
    if bound > 1 - 1e-6:
        return

    def log_likelihood(p, d):  # of the discordant counts, given the difference d
        cells = ((b, p + d), (c, p), (same, 1 - 2 * p - d))
        return sum(count * np.log(max(share, 1e-300)) for count, share in cells if count)

    low, high = max(0.0, -bound), (1 - bound) / 2
    found = optimize.minimize_scalar(
        lambda p: -log_likelihood(p, bound), bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    candidates = [found.x, low + 1e-15, high - 1e-15]
    p = max(candidates, key=lambda p: log_likelihood(p, bound))
    variance = n * (2 * p + bound - bound**2)
    assert (n * bound - (b - c)) / np.sqrt(variance) == pytest.approx(stats.norm.ppf(confidence), rel=1e-3)


@given(rows=integers(1, 10_000), confidence=floats(0.6, 0.99))
def test_without_a_differing_row_the_bound_is_still_above_zero(rows, confidence):
    z = stats.norm.ppf(confidence)
    assert score_bound(0, 0, rows, confidence) == pytest.approx(z**2 / (rows + z**2))


@given(counts=counts, confidence=floats(0.6, 0.99))
def test_slack_is_zero_at_the_score_bound_and_falls_with_the_difference(counts, confidence):
    b, c, same = counts
    n = b + c + same
    bound = score_bound(b, c, n, confidence)
    cells = np.array([b]), np.array([c])
    if bound < 1 - 1e-6:
        assert score_slack(*cells, n, bound, confidence)[0] == pytest.approx(0, abs=1e-6 * n)
        assert score_slack(*cells, n, bound + 1e-3, confidence)[0] < 0


@given(rows=integers(1, 10_000), confidence=floats(0.6, 0.999))
def test_the_unseen_share_shows_in_none_of_the_rows_with_the_permitted_error(rows, confidence):
    assert (1 - unseen_share(rows, confidence)) ** rows == pytest.approx(1 - confidence)


@given(probability=floats(0.5, 0.999), degrees=integers(1, 2000))
def test_student_quantile_equals_scipys(probability, degrees):
    assert student_quantile(probability, degrees) == pytest.approx(
        stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-12
    )


def t_bound(x):
    return stats.ttest_1samp(x, 0).confidence_interval(0.90).high


def test_mean_bound_is_scipys_one_sided_interval_with_the_largest_counted_once_more():
    x = np.random.default_rng(0).normal(0.1, 1.0, 12)
    assert mean_bound(x, 0.95) == pytest.approx(t_bound(np.append(x, x.max())))
    assert mean_bound(x, 0.95) > t_bound(x)


def test_with_few_values_the_plain_interval_is_the_wider_one():
    x = np.array([0.0, 1.0])
    assert mean_bound(x, 0.95) == pytest.approx(t_bound(x))


def test_one_pair_bounds_nothing():
    one = np.ones(1)
    assert mean_bound(one, 0.95) == growth_bound(one, one, 0.95) == np.inf


@given(seed=integers(0, 1000), rows=integers(8, 300), confidence=floats(0.8, 0.99))
def test_growth_bound_is_where_the_t_test_stops_rejecting(seed, rows, confidence):
    rng = np.random.default_rng(seed)
    reference = rng.gamma(4.0, 1.0, rows)
    variant = reference * rng.uniform(0.8, 1.4, rows)
    bound = growth_bound(variant, reference, confidence)
    most = (variant - reference).argmax()
    whole = variant - (1 + bound) * reference
    doubled = np.append(whole, whole[most])
    pvalues = [stats.ttest_1samp(margin, 0, alternative="less").pvalue for margin in (whole, doubled)]
    assert max(pvalues) == pytest.approx(1 - confidence, rel=1e-6)
    assert bound >= variant.mean() / reference.mean() - 1


def test_growth_is_unbounded_where_the_reference_error_cannot_be_told_from_zero():
    assert growth_bound(np.ones(5), np.array([0, 0, 0, 0, 1.0]), 0.95) == np.inf
