from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from fedtailor.protos.messages import Scores
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict
from fedtailor.strategies.certificate import FEWEST_DEVICES, certify, certify_test, finding
from fedtailor.strategies.exact_bound import proportion_bound
from fedtailor.strategies.gate import UNBOUNDED, pool

GATE = GatePlan(margin=0.01, confidence=0.95)


def verdict(rows, b, c):
    return Verdict(
        verdict=NOT_SHOWN_WORSE,
        rows=rows,
        reference_only=b,
        variant_only=c,
        drop=(b - c) / rows if rows else 1.0,
        bound=1.0,
        margin=0.01,
        confidence=0.95,
    )


def grown(rows, drop, bound):
    return replace(verdict(rows, 0, 0), drop=drop, bound=bound)


def scores(rows, personal, variant):
    return Scores(metric="", better="", rows=rows, base=0.0, personal=personal, variant=variant)


MIXED = [verdict(100, 3, 1), verdict(50, 0, 1), verdict(200, 2, 2), verdict(80, 1, 0), verdict(40, 0, 0)]


def test_a_certificate_weighs_devices_by_rows_and_bounds_both_ways():
    found = certify("half", MIXED, GATE, seed=0)
    assert (found.recipe, found.devices, found.rows) == ("half", 5, 470)
    assert found.drop == pytest.approx(2 / 470)
    assert found.rows_bound == pytest.approx(pool(MIXED, GATE).bound)
    assert found.bound >= found.rows_bound
    assert (found.margin, found.confidence) == (0.01, 0.95)


def test_equal_seeds_give_equal_certificates():
    devices = [grown(30, drop, drop) for drop in (0.0, 0.1, -0.05, 0.02, 0.03, 0.3, 0.01)]
    assert certify("r", devices, GATE, seed=1) == certify("r", devices, GATE, seed=1)
    bounds = {certify("r", devices, GATE, seed=seed).bound for seed in range(5)}
    assert len(bounds) > 1
    assert max(bounds) - min(bounds) < 0.05


@pytest.mark.parametrize("devices", range(1, FEWEST_DEVICES))
def test_few_devices_make_no_claim_about_others(devices):
    found = certify("r", [verdict(1000, 0, 0)] * devices, GATE, seed=0)
    assert found.bound is None
    assert found.method == f"no claim: fewer than {FEWEST_DEVICES} devices"
    assert found.rows_bound == proportion_bound(0, 0, 1000 * devices, 0.95)
    assert finding(found) == NOT_SHOWN_WORSE


def test_devices_without_rows_are_left_out():
    assert certify("r", [*MIXED, verdict(0, 0, 0)], GATE, seed=0) == certify("r", MIXED, GATE, seed=0)
    with pytest.raises(ValueError, match="at least one"):
        certify("r", [verdict(0, 0, 0)], GATE, seed=0)


def test_devices_that_agree_prove_no_more_than_their_rows():
    found = certify("r", [verdict(20, 0, 0)] * 8, GATE, seed=0)
    assert found.bound == found.rows_bound == proportion_bound(0, 0, 160, 0.95)
    assert finding(found) == NOT_SHOWN_WORSE
    assert finding(certify("r", [verdict(100, 0, 0)] * 8, GATE, seed=0)) == PROVEN


def test_a_drop_above_the_margin_is_rejected():
    assert finding(certify("r", [verdict(100, 2, 0)] * 8, GATE, seed=0)) == REJECTED


def test_devices_that_differ_widen_the_bound():
    alike = certify("r", [verdict(100, 2, 1)] * 20, GATE, seed=0)
    unlike = certify("r", [verdict(100, 1, 1)] * 15 + [verdict(100, 5, 1)] * 5, GATE, seed=0)
    assert unlike.drop == pytest.approx(alike.drop)
    assert unlike.rows_bound == pytest.approx(alike.rows_bound)
    assert unlike.bound > 1.1 * alike.bound


def test_a_huge_fleet_is_resampled_in_parts():
    rng = np.random.default_rng(0)
    devices = [grown(10, drop, drop) for drop in rng.normal(0.01, 0.1, 5000)]
    found = certify("r", devices, GATE, seed=0)
    mean, error = np.mean([v.drop for v in devices]), np.std([v.drop for v in devices]) / sqrt(5000)
    assert found.bound == pytest.approx(mean + 1.645 * error, abs=0.3 * error)


FLEETS = {  # the share of rows that devices lose on average, how it differs between them, and what they gain
    "alike": lambda rng, n: (np.full(n, 0.03), 0.02),
    "spread": lambda rng, n: (np.clip(rng.normal(0.06, 0.02, n), 0, 0.12), 0.05),
    "rare losses": lambda rng, n: (np.full(n, 0.011), 0.001),
    "one in ten bad": lambda rng, n: (np.where(rng.random(n) < 0.1, 0.08, 0.02), 0.016),
}


def fleet_misses(fleet, devices, draws):
    """How often the truth, a mean loss of one point, lies above the bound."""
    rng, missed = np.random.default_rng(devices), 0
    for seed in range(draws):
        rows = rng.integers(20, 200, devices)
        lost, won = FLEETS[fleet](rng, devices)
        cells = rng.multinomial(rows, np.stack([lost, np.full(devices, won), 1 - lost - won], -1))
        drawn = [verdict(int(n), int(b), int(c)) for n, (b, c, _) in zip(rows, cells, strict=True)]
        missed += certify("r", drawn, GATE, seed).bound < 0.01 - 1e-12
    return missed


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("devices", [5, 12])
def test_the_bound_holds_for_devices_drawn_anew(fleet, devices):
    assert fleet_misses(fleet, devices, 200) / 200 <= 0.05 + 3 * sqrt(0.05 * 0.95 / 200)


@pytest.mark.slow
@pytest.mark.parametrize("fleet", ["alike", "spread", "rare losses"])
@pytest.mark.parametrize("devices", [5, 8, 12, 40, 100])
def test_the_bound_holds_for_devices_drawn_anew_many_times(fleet, devices):
    assert fleet_misses(fleet, devices, 2000) / 2000 <= 0.05 + 3 * sqrt(0.05 * 0.95 / 2000)


def test_on_test_the_loss_is_that_of_the_scores():
    accuracy = certify_test([scores(100, 0.9, 0.88), scores(300, 0.95, 0.95)], CLASSIFICATION, GATE, seed=0)
    assert (accuracy.recipe, accuracy.devices, accuracy.rows, accuracy.rows_bound) == ("on test", 2, 400, None)
    assert accuracy.drop == pytest.approx(0.005)
    rmse = certify_test([scores(10, 10.0, 11.0)], REGRESSION, GATE, seed=0)
    assert rmse.drop == pytest.approx(0.21)
    assert certify_test([scores(10, 2.0, 2.1)], NEXT_TOKEN, GATE, seed=0).drop == pytest.approx(0.1)


def test_equal_test_scores_still_leave_what_the_rows_may_not_have_shown():
    found = certify_test([scores(50, 0.9, 0.9)] * 6, CLASSIFICATION, GATE, seed=0)
    assert (found.drop, found.bound) == (0.0, proportion_bound(0, 0, 300, 0.95))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_score_that_is_not_a_number_is_the_worst_loss(broken):
    tested = [scores(50, 2.0, 2.0)] * 6 + [scores(50, 2.0, broken)]
    for kind in (REGRESSION, NEXT_TOKEN):
        assert certify_test(tested, kind, GATE, seed=0).drop == pytest.approx(UNBOUNDED / 7)


def test_growth_from_a_perfect_model_has_no_bound():
    found = certify_test([scores(10, 0.0, 0.0), scores(10, 0.0, 1.0)], REGRESSION, GATE, seed=0)
    assert found.drop == pytest.approx(UNBOUNDED / 2)


def test_without_test_rows_there_is_no_certificate():
    with pytest.raises(ValueError, match="test rows"):
        certify_test([scores(0, 0.0, 0.0)], CLASSIFICATION, GATE, seed=0)
