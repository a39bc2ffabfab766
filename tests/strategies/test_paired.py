import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, tuples
from scipy import optimize, stats

from fedtailor.strategies.paired import growth_bound, mean_bound, proportion_bound, student_quantile

counts = tuples(integers(0, 60), integers(0, 60), integers(0, 200)).filter(lambda c: sum(c) > 0)


def test_tango_reproduces_published_intervals():
    # Bentur et al. 2009 in Fagerland, Lydersen & Laake 2014, Statistics in Medicine 33, table IV: (-0.517, -0.026)
    assert proportion_bound(7, 1, 21, 0.975) == pytest.approx(0.517, abs=5e-4)
    assert -proportion_bound(1, 7, 21, 0.975) == pytest.approx(0.026, abs=5e-4)
    # Tango 1998, the crossover trial of contact lenses: one discordant pair of 44, lower 90 % limit -0.096
    assert -proportion_bound(1, 0, 44, 0.95) == pytest.approx(-0.096, abs=5e-4)


@given(counts=counts, confidence=floats(0.6, 0.99))
def test_tango_bound_solves_the_score_equation(counts, confidence):
    b, c, same = counts
    n = b + c + same
    bound = proportion_bound(b, c, n, confidence)
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
    assert proportion_bound(0, 0, rows, confidence) == pytest.approx(z**2 / (rows + z**2))


@pytest.mark.parametrize(
    ("p_b", "p_c", "rows"), [(0.02, 0.02, 150), (0.05, 0.02, 150), (0.1, 0.1, 60), (0.03, 0.01, 1000)]
)
def test_tango_bound_covers_the_true_difference_as_often_as_it_says(p_b, p_c, rows):
    draws = np.random.default_rng(0).multinomial(rows, [p_b, p_c, 1 - p_b - p_c], size=5000)
    cells, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    covered = [proportion_bound(int(b), int(c), rows, 0.95) >= p_b - p_c for b, c in cells]
    assert 0.93 <= np.average(covered, weights=times) <= 0.985


@given(probability=floats(0.5, 0.999), degrees=integers(1, 2000))
def test_student_quantile_equals_scipys(probability, degrees):
    assert student_quantile(probability, degrees) == pytest.approx(
        stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-12
    )


def test_mean_bound_is_scipys_one_sided_interval():
    x = np.random.default_rng(0).normal(0.1, 1.0, 12)
    assert mean_bound(x, 0.95) == pytest.approx(stats.ttest_1samp(x, 0).confidence_interval(0.90).high)


def test_one_pair_bounds_nothing():
    one = np.ones(1)
    assert mean_bound(one, 0.95) == growth_bound(one, one, 0.95) == np.inf


@given(seed=integers(0, 1000), rows=integers(8, 300), confidence=floats(0.8, 0.99))
def test_growth_bound_is_where_the_t_test_stops_rejecting(seed, rows, confidence):
    rng = np.random.default_rng(seed)
    reference = rng.gamma(4.0, 1.0, rows)
    variant = reference * rng.uniform(0.8, 1.4, rows)
    bound = growth_bound(variant, reference, confidence)
    margin = variant - (1 + bound) * reference
    assert stats.ttest_1samp(margin, 0, alternative="less").pvalue == pytest.approx(1 - confidence, rel=1e-6)
    assert bound >= variant.mean() / reference.mean() - 1


def test_growth_bound_covers_the_true_growth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    reference = rng.gamma(1.0, 1.0, (2000, 200))
    variant = reference * rng.uniform(0.9, 1.3, reference.shape)
    bounds = [growth_bound(v, r, 0.95) for v, r in zip(variant, reference, strict=True)]
    assert 0.93 <= np.mean(np.array(bounds) >= 0.1) <= 0.97


def test_growth_is_unbounded_where_the_reference_error_cannot_be_told_from_zero():
    assert growth_bound(np.ones(5), np.array([0, 0, 0, 0, 1.0]), 0.95) == np.inf
