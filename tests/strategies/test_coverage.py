"""The gate's bounds on synthetic draws: how often the truth lies above them, and how often a loss slips through."""

from math import sqrt

import numpy as np
import pytest

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.verdict import PROVEN
from fedtailor.strategies.exact_bound import proportion_bound
from fedtailor.strategies.gate import judge

GATE = GatePlan(margin=0.01, confidence=0.95)
SYMBOLS = 40


def seldom(events, draws, permitted=0.05):
    """Whether `events` of `draws` are no more than the permitted share, but for the luck of the draws."""
    return events / draws <= permitted + 3 * sqrt(permitted * (1 - permitted) / draws)


def counts(rows, p_b, p_c, draws):
    """Every outcome that came up, and how often."""
    drawn = np.random.default_rng(rows).multinomial(rows, [p_b, p_c, 1 - p_b - p_c], draws)
    cells, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    return [(int(b), int(c), int(n)) for (b, c), n in zip(cells, times, strict=True)]


def misses(rows, p_b, p_c, draws):
    return sum(n for b, c, n in counts(rows, p_b, p_c, draws) if proportion_bound(b, c, rows, 0.95) < p_b - p_c - 1e-12)


RATES = [(0.0005, 0.0), (0.0, 0.001), (0.006, 0.0), (0.0, 0.01), (0.01, 0.01), (0.03, 0.02)]


@pytest.mark.parametrize(("p_b", "p_c"), RATES)
@pytest.mark.parametrize("rows", [20, 60, 150, 500])
def test_classification_bounds_hold(rows, p_b, p_c):
    assert seldom(misses(rows, p_b, p_c, 4000), 4000)


@pytest.mark.slow
@pytest.mark.parametrize(("p_b", "p_c"), [*RATES, (0.1, 0.1), (0.2, 0.05), (0.05, 0.2), (0.4, 0.3)])
@pytest.mark.parametrize("rows", [20, 35, 60, 100, 150, 250, 500])
def test_classification_bounds_hold_in_many_draws(rows, p_b, p_c):
    assert seldom(misses(rows, p_b, p_c, 50_000), 50_000)


def regressions(kind, rows, draws):
    """Errors of a reference, and what is added to them in the variant."""
    rng = np.random.default_rng(rows)
    errors = rng.standard_t(3, (draws, rows)) if kind != "rare failures" else rng.normal(size=(draws, rows))
    return errors, {
        "noise": lambda: rng.normal(0, 0.3, errors.shape),
        "heavy noise": lambda: 0.2 * rng.standard_t(3, errors.shape),
        "in proportion": lambda: errors * rng.normal(0.01, 0.2, errors.shape),
        "rare failures": lambda: rng.normal(size=errors.shape) * (rng.random(errors.shape) < 0.05),
    }[kind]()


GROWTH = {"noise": 0.03, "heavy noise": 0.04, "in proportion": 0.0601, "rare failures": 0.05}  # E(e+d)²/E e² − 1


def growth_misses(kind, rows, draws):
    errors, added = regressions(kind, rows, draws)
    y = np.zeros(rows)
    pairs = zip(errors[..., None], (errors + added)[..., None], strict=True)
    return sum(judge(e, v, y, kind=REGRESSION, gate=GATE).bound < GROWTH[kind] for e, v in pairs)


# With 100 to 200 rows of which one in twenty fails, the bound holds in only 90 to 94 of 100 draws: five such rows do
# not show how large their squared errors can be.
@pytest.mark.parametrize("kind", GROWTH)
@pytest.mark.parametrize("rows", [20, 50, 500])
def test_regression_bounds_hold_with_heavy_tails_and_rare_failures(kind, rows):
    assert seldom(growth_misses(kind, rows, 1000), 1000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "heavy noise", "in proportion"])
@pytest.mark.parametrize("rows", [8, 20, 50, 100, 200, 500])
def test_regression_bounds_hold_in_many_draws(kind, rows):
    assert seldom(growth_misses(kind, rows, 10_000), 10_000)


def windows(kind, rows, rng):
    """Right answers of reference and variant [rows, SYMBOLS]; in the variant symbols go wrong, and some right."""
    right = rng.random((rows, SYMBOLS)) < 0.6
    if kind == "bursts":  # eight symbols in a run, in one window of ten
        hit = rng.random((rows, 1)) < 0.1
        lost = hit & (np.arange(SYMBOLS) < 8)
        right |= lost
        return right, right & ~lost
    likeness = {"alike": 0.15, "independent": 1e-6}[kind]
    share = rng.beta(0.06 * (1 / likeness - 1), 0.94 * (1 / likeness - 1), (rows, 1))
    return right, right ^ (rng.random((rows, SYMBOLS)) < share)


DROPS = {"bursts": 0.02, "alike": 0.012, "independent": 0.012}  # flips of 6 %: 60 % of them lose, 40 % gain


def token_bound(pair):
    outputs = [np.stack([~right, right], -1).astype(np.float32) for right in pair]
    return judge(*outputs, np.ones(pair[0].shape, np.int64), kind=NEXT_TOKEN, gate=GATE).bound


def token_misses(kind, rows, draws):
    rng = np.random.default_rng(rows)
    return sum(token_bound(windows(kind, rows, rng)) < DROPS[kind] for _ in range(draws))


@pytest.mark.parametrize("kind", DROPS)
@pytest.mark.parametrize("rows", [5, 20, 100])
def test_next_token_bounds_hold_with_symbols_that_depend_on_each_other(kind, rows):
    assert seldom(token_misses(kind, rows, 1000), 1000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DROPS)
@pytest.mark.parametrize("rows", [3, 5, 10, 20, 50, 100, 300])
def test_next_token_bounds_hold_in_many_draws(kind, rows):
    assert seldom(token_misses(kind, rows, 10_000), 10_000)


def is_proven(b, c, rows):
    reference, variant = np.zeros((rows, 2), np.float32), np.zeros((rows, 2), np.float32)
    reference[:, 0] = variant[:, 0] = 0.5
    variant[:b, 1] = 1
    reference[b : b + c, 1] = 1
    return judge(reference, variant, np.zeros(rows, np.int64), kind=CLASSIFICATION, gate=GATE).verdict == PROVEN


@pytest.mark.parametrize(("p_b", "p_c"), [(0.0101, 0.0), (0.0121, 0.002), (0.0301, 0.02)])
@pytest.mark.parametrize("rows", [290, 310, 1500])
def test_a_variant_worse_than_the_margin_is_seldom_proven(rows, p_b, p_c):
    promoted = sum(n for b, c, n in counts(rows, p_b, p_c, 2000) if b - c <= 0.01 * rows and is_proven(b, c, rows))
    assert seldom(promoted, 2000)


def test_a_variant_within_the_margin_can_be_proven():
    assert sum(n for b, c, n in counts(1500, 0.002, 0.001, 500) if is_proven(b, c, 1500)) > 450


@pytest.mark.parametrize("rows", [320, 1200])
def test_a_regression_that_grew_by_more_than_the_margin_is_seldom_proven(rows):
    rng = np.random.default_rng(rows)
    errors = rng.standard_t(5, (600, rows, 1))
    variants = errors + rng.normal(0, 0.14, errors.shape)  # the squared error grows by 1.2 %
    y = np.zeros(rows)
    proven = [judge(e, v, y, kind=REGRESSION, gate=GATE).verdict for e, v in zip(errors, variants, strict=True)]
    assert seldom(proven.count(PROVEN), 600)
