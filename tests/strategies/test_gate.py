from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, tuples
from small_variants import REFERENCE, ladder

from fedtailor.protos.model_spec import CLASSIFICATION, KINDS, NEXT_TOKEN, REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.strategies.exact_bound import proportion_bound
from fedtailor.strategies.gate import UNBOUNDED, cohorts, judge, pool, withdraw
from fedtailor.strategies.paired import mean_bound, unseen_share

GATE = GatePlan(margin=0.01, confidence=0.95)


def outputs_for(answers, classes=3):
    return np.eye(classes, dtype=np.float32)[answers]


def paired_rows(b, c, both):
    """Outputs of reference and variant, and y, with these counts; class 0 is right."""
    reference = np.r_[np.zeros(b, int), np.ones(c, int), np.zeros(both, int)]
    variant = np.r_[np.ones(b, int), np.zeros(c, int), np.zeros(both, int)]
    return outputs_for(reference), outputs_for(variant), np.zeros(b + c + both, np.int64)


def counted(b, c, both):
    return judge(*paired_rows(b, c, both), kind=CLASSIFICATION, gate=GATE)


@given(b=integers(0, 30), c=integers(0, 30), both=integers(1, 300))
def test_classification_counts_the_rows_that_differ(b, c, both):
    verdict = counted(b, c, both)
    rows = b + c + both
    assert (verdict.reference_only, verdict.variant_only, verdict.rows) == (b, c, rows)
    assert verdict.drop == pytest.approx((b - c) / rows)
    assert verdict.bound == proportion_bound(b, c, rows, 0.95)


def test_the_three_verdicts():
    assert counted(0, 0, 300).verdict == PROVEN
    assert counted(1, 0, 199).verdict == NOT_SHOWN_WORSE
    assert counted(3, 0, 197).verdict == REJECTED
    assert counted(1, 20, 179).verdict == PROVEN


@given(kind=sampled_from(KINDS))
def test_no_rows_show_nothing(kind):
    shape = (0, 4, 3) if kind == NEXT_TOKEN else (0, 3)
    empty = np.zeros(shape, np.float32)
    verdict = judge(empty, empty, np.zeros(shape[:-1]), kind=kind, gate=GATE)
    assert (verdict.verdict, verdict.rows) == (REJECTED, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1])
def test_outputs_that_are_not_finite_are_rejected(kind, bad, side):
    shape = (5, 4, 3) if kind == NEXT_TOKEN else (5, 1) if kind == REGRESSION else (5, 3)
    pair = [np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
    pair[side].flat[0] = bad
    verdict = judge(*pair, np.zeros(shape[: -1 if kind != REGRESSION else 1], np.int64), kind=kind, gate=GATE)
    assert verdict.verdict == REJECTED
    assert np.isfinite([verdict.drop, verdict.bound]).all()
    assert verdict.drop > GATE.margin


def test_outputs_of_different_shape_cannot_be_compared():
    with pytest.raises(ValueError, match=r"\(4, 3\) against \(4, 2\)"):
        judge(np.zeros((4, 3)), np.zeros((4, 2)), np.zeros(4), kind=CLASSIFICATION, gate=GATE)


def test_next_token_bounds_over_windows_not_symbols():
    right, wrong = np.zeros((20, 50), int), np.zeros((20, 50), int)
    wrong[:3] = 1  # three windows lost whole: 150 dependent symbols
    verdict = judge(outputs_for(right), outputs_for(wrong), np.zeros((20, 50), int), kind=NEXT_TOKEN, gate=GATE)
    assert (verdict.rows, verdict.reference_only, verdict.variant_only) == (20, 150, 0)
    assert verdict.drop == pytest.approx(0.15)
    assert verdict.bound > mean_bound(np.repeat([1.0, 0.0], [3, 17]), 0.95) > proportion_bound(150, 0, 1000, 0.95)


def test_two_equal_windows_prove_nothing():
    same = outputs_for(np.zeros((2, 10), int))
    verdict = judge(same, same, np.zeros((2, 10), int), kind=NEXT_TOKEN, gate=GATE)
    assert verdict.verdict == NOT_SHOWN_WORSE
    assert verdict.bound == pytest.approx(unseen_share(20 / 2.8, 0.95))


def test_windows_are_worth_no_more_than_their_symbols():
    def bound(windows, symbols):
        same = outputs_for(np.zeros((windows, symbols), int))
        return judge(same, same, np.zeros((windows, symbols), int), kind=NEXT_TOKEN, gate=GATE).bound

    assert bound(50, 1) == pytest.approx(unseen_share(50, 0.95))
    assert bound(50, 1) > bound(50, 8) > bound(50, 1000) > unseen_share(50 * 5, 0.95)


def test_two_equal_regressions_prove_nothing():
    y = np.zeros(20, np.float32)
    outputs = np.linspace(1, 2, 20, dtype=np.float32)[:, None]
    verdict = judge(outputs, outputs, y, kind=REGRESSION, gate=GATE)
    assert (verdict.verdict, verdict.drop) == (NOT_SHOWN_WORSE, 0.0)
    assert verdict.bound == pytest.approx(unseen_share(20, 0.95))


def test_regression_judges_the_growth_of_the_squared_error():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400).astype(np.float32)
    reference = (y + rng.normal(size=400))[:, None].astype(np.float32)
    better = (0.9 * (reference[:, 0] - y) + y)[:, None]
    worse = (1.2 * (reference[:, 0] - y) + y)[:, None]
    assert judge(reference, reference, y, kind=REGRESSION, gate=GATE).verdict == PROVEN
    assert judge(reference, better, y, kind=REGRESSION, gate=GATE).verdict == PROVEN
    verdict = judge(reference, worse, y, kind=REGRESSION, gate=GATE)
    assert verdict.verdict == REJECTED
    assert verdict.drop == pytest.approx(0.44, abs=1e-4)


def test_a_perfect_regression_has_no_finite_growth():
    y = np.arange(5, dtype=np.float32)
    exact = y[:, None]
    verdict = judge(exact, exact + 1, y, kind=REGRESSION, gate=GATE)
    assert (verdict.verdict, verdict.drop, verdict.bound) == (REJECTED, UNBOUNDED, UNBOUNDED)


@given(lists(tuples(integers(0, 5), integers(0, 5), integers(1, 50)), min_size=1, max_size=8))
def test_pooled_counts_are_those_of_all_rows_together(devices):
    b, c, both = np.sum(devices, axis=0)
    pooled, whole = pool((counted(*device) for device in devices), GATE), counted(int(b), int(c), int(both))
    assert (pooled.verdict, pooled.rows) == (whole.verdict, whole.rows)
    assert pooled.drop == pytest.approx(whole.drop)
    assert pooled.bound == pytest.approx(whole.bound)


def test_pooling_many_windows_tightens_the_bound_but_keeps_the_drop():
    rng = np.random.default_rng(0)
    answers = outputs_for((rng.random((40, 30)) < 0.3).astype(int))
    other = outputs_for((rng.random((40, 30)) < 0.3).astype(int))
    one = judge(answers, other, np.zeros((40, 30), int), kind=NEXT_TOKEN, gate=GATE)
    pooled = pool([one] * 16, GATE)
    assert pooled.drop == pytest.approx(one.drop)
    assert pooled.bound - pooled.drop == pytest.approx((one.bound - one.drop) / 4)


def test_pooling_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        pool([], GATE)


def ladder_of(verdicts):
    """A ladder whose rungs r0, r1, … have these verdicts."""
    return ladder(*(replace(REFERENCE, recipe=f"r{i}", verdict=verdict) for i, verdict in enumerate(verdicts)))


def test_a_cohort_is_every_verdict_on_one_recipe_in_the_ladders_order():
    first, second, third = counted(1, 0, 99), counted(2, 0, 98), counted(0, 1, 99)
    found = cohorts([ladder_of([first, second]), ladder_of([third])])
    assert list(found.items()) == [("r0", [first, third]), ("r1", [second])]


def test_a_recipe_is_withdrawn_where_the_cohort_rejects_what_single_devices_let_through():
    lucky, unlucky = counted(1, 1, 98), counted(3, 0, 97)
    assert lucky.verdict == NOT_SHOWN_WORSE
    ladders = [ladder_of([lucky, lucky]), ladder_of([lucky, unlucky]), ladder_of([lucky, unlucky])]
    assert withdraw(ladders, GATE) == ("r1",)


def test_a_recipe_within_the_margin_is_never_withdrawn():
    assert withdraw([ladder_of([counted(1, 0, 99)])] * 200, GATE) == ()


def test_a_regression_recipe_is_withdrawn_by_its_pooled_growth():
    rng = np.random.default_rng(0)
    y = np.zeros(200, np.float32)
    reference = rng.normal(size=(200, 1)).astype(np.float32)
    verdict = judge(reference, reference * 1.1, y, kind=REGRESSION, gate=GATE)
    noisy = judge(reference, rng.normal(1.0, 0.5, size=(200, 1)).astype(np.float32), y, kind=REGRESSION, gate=GATE)
    assert withdraw([ladder_of([verdict, noisy])] * 5, GATE)[0] == "r0"
    assert withdraw([], GATE) == ()
