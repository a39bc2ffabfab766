from dataclasses import replace

import pytest
from summaries import bare_row, fallback_row, watch_summary

from fedtailor.protos.plan import GatePlan
from fedtailor.server.certify import certify_fleet
from fedtailor.strategies.gate import cohorts, pool

GATE = GatePlan()


def certified(rows):
    return certify_fleet(rows, "classification", GATE, seed=0)


def test_every_recipe_that_was_tried_is_certified_by_its_cohort():
    rows = watch_summary().devices
    tried = cohorts(row.ladder for row in rows)
    found = certified(rows).recipes
    assert [certificate.recipe for certificate in found] == list(tried)
    for certificate, verdicts in zip(found, tried.values(), strict=True):
        pooled = pool(verdicts, GATE)
        assert (certificate.devices, certificate.rows) == (len(verdicts), pooled.rows)
        assert (certificate.drop, certificate.rows_bound) == (pooled.drop, pooled.bound)


def test_the_mix_that_runs_is_certified_by_each_devices_own_rung():
    rows = (*watch_summary(devices=6).devices, fallback_row(), bare_row())
    found = certified(rows)
    verdicts = [row.variant.rung.verdict for row in rows if row.variant]
    assert (found.deployed.devices, found.deployed.rows) == (7, sum(v.rows for v in verdicts))
    assert found.deployed.drop == pytest.approx(sum(v.rows * v.drop for v in verdicts) / found.deployed.rows)
    lost = [row.scores.rows * (row.scores.personal - row.scores.variant) for row in rows if row.scores]
    assert (found.test.devices, found.test.rows) == (7, 7 * 310)
    assert found.test.drop == pytest.approx(sum(lost) / (7 * 310))


def test_a_fleet_that_kept_fp32_has_only_its_recipes_certified():
    found = certified((fallback_row(), bare_row()))
    assert (found.deployed, found.test) == (None, None)
    assert len(found.recipes) == 7


def test_without_devices_or_evidence_nothing_is_certified():
    assert certified(()).recipes == ()
    first, *_ = watch_summary(devices=1).devices
    untested = replace(first, scores=None, ladder=None)
    found = certified((untested,))
    assert (found.test, found.recipes) == (None, ())
    assert found.deployed.devices == 1
