"""The default job keeps its promises on three seeds."""

import importlib.util
from statistics import mean

import pytest

from fedtailor.protos.summary import Summary
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import REJECTED
from fedtailor.server.report.figures import Figures, figures
from fedtailor.simulations.fleet import fleet_from
from fedtailor.simulations.simulate import simulate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # three whole jobs on a busy machine
    pytest.mark.skipif(importlib.util.find_spec("seglearn") is None, reason="fedtailor[demo] is not installed"),
]


def silent(stage: str, done: int, total: int, note: str) -> None:
    pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[tuple[Summary, Figures]]:
    out = tmp_path_factory.mktemp("runs")
    summaries = [simulate(fleet_from({"seed": seed}), out / str(seed), silent) for seed in range(3)]
    return [(summary, figures(summary)) for summary in summaries]


def test_base_and_personal_models_reach_their_scores(runs):
    assert mean(found.base_score for _, found in runs) >= 0.92
    assert mean(found.personal_score for _, found in runs) >= 0.965
    assert mean(found.worst_personal_score for _, found in runs) >= 0.91


def test_variants_lose_half_a_point_at_a_fortieth_of_the_payload(runs):
    assert mean(found.personal_score - found.variant_score for _, found in runs) <= 0.005
    assert all(found.payload_ratio_median >= 40 for _, found in runs)


def test_no_device_loses_more_than_three_points(runs):
    for summary, _ in runs:
        for row in summary.devices:
            assert row.scores is not None
            assert row.scores.personal - row.scores.variant <= 0.03


def test_updates_take_a_fortieth_of_the_bytes(runs):
    assert all(found.uplink_ratio >= 40 for _, found in runs)


def test_nothing_rejected_withdrawn_or_slower_than_fp32_is_deployed(runs):
    for summary, _ in runs:
        for row in summary.devices:
            assert row.variant is not None
            rung = row.variant.rung
            assert rung.verdict.verdict != REJECTED
            assert rung.recipe not in summary.withdrawn
            assert rung.recipe == FALLBACK or rung.latency_ratio >= 1
