"""Figures of a run: equal weights, the worst device, medians, nothing invented."""

import math
from dataclasses import replace
from statistics import fmean, median

import pytest
from summaries import bare_row, empty_summary, fallback_row, regression_summary, watch_summary

from fedtailor.server.report.figures import OUTCOMES, figures, worst


def with_devices(*rows):
    return replace(watch_summary(), devices=rows)


def test_every_device_weighs_the_same_whatever_its_rows():
    first, second = watch_summary(devices=2).devices
    heavy = replace(first, scores=replace(first.scores, rows=100_000))
    of = figures(with_devices(heavy, second))
    assert of.variant_score == pytest.approx(fmean([first.scores.variant, second.scores.variant]))


def test_worst_is_the_lowest_accuracy_and_the_highest_error():
    high, low = watch_summary(), regression_summary()
    assert figures(high).worst_variant_score == min(row.scores.variant for row in high.devices)
    assert figures(low).worst_variant_score == max(row.scores.variant for row in low.devices)


def test_payload_ratio_is_the_devices_own_reference_over_what_it_runs():
    run = watch_summary()
    ratios = [
        row.ladder.reference.efficiency.payload_bytes / row.variant.rung.efficiency.payload_bytes for row in run.devices
    ]
    assert figures(run).payload_ratio_median == median(ratios)


def test_uplink_is_counted_per_answer_and_compared_with_the_fp32_base():
    run = watch_summary()
    of = figures(run)
    answers = sum(row.answered for row in run.rounds)
    assert of.uplink_bytes_per_device_round == sum(row.uplink_bytes for row in run.rounds) / answers
    assert of.uplink_ratio == pytest.approx(run.base_fp32_bytes / of.uplink_bytes_per_device_round)


def test_outcomes_count_every_device_once():
    of = figures(with_devices(*watch_summary(devices=5).devices, fallback_row(), bare_row()))
    assert tuple(of.outcomes) == OUTCOMES
    assert sum(of.outcomes.values()) == 7
    assert of.outcomes["fp32"] == 1
    assert of.outcomes["none"] == 1
    assert of.outcomes["rejected"] == 0


def test_a_kept_fp32_model_counts_as_no_smaller_and_no_faster():
    of = figures(with_devices(fallback_row()))
    assert of.payload_ratio_median == 1
    assert of.latency_ratio_median == 1


def test_a_kept_fp32_model_without_a_ladder_still_counts_as_no_smaller():
    assert figures(with_devices(replace(fallback_row(), ladder=None))).payload_ratio_median == 1


def test_a_device_without_test_rows_stays_out_of_the_means():
    first, second = watch_summary(devices=2).devices
    unseen = replace(second, scores=replace(second.scores, rows=0, base=math.nan, personal=math.nan, variant=math.nan))
    of = figures(with_devices(first, unseen, bare_row()))
    assert of.scored == 1
    assert of.variant_score == first.scores.variant


def test_a_diverged_model_makes_the_mean_unknown_not_better():
    first, second = watch_summary(devices=2).devices
    diverged = replace(second, scores=replace(second.scores, variant=math.nan))
    of = figures(with_devices(first, diverged))
    assert math.isnan(of.variant_score)
    assert math.isnan(of.worst_variant_score)
    assert of.personal_score == pytest.approx(fmean([first.scores.personal, second.scores.personal]))


def test_a_run_in_which_nothing_happened_has_no_figures():
    of = figures(empty_summary())
    assert of.variant_score is None
    assert of.payload_ratio_median is None
    assert of.uplink_ratio is None
    assert (of.budgets_met, of.budgets_unmet) == (0, 0)


def test_worst_of_nothing_is_nothing():
    assert worst([], "higher") is None
