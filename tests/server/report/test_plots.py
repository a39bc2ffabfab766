"""Plots draw what is there, each device once."""

from dataclasses import replace
from math import nan
from xml.etree import ElementTree as ET

import pytest
from summaries import bare_row, empty_summary, regression_summary, watch_summary

from fedtailor.server.report.figures import figures
from fedtailor.server.report.plot_data import data_plot
from fedtailor.server.report.plot_latency import latency_plot
from fedtailor.server.report.plot_pareto import pareto_plot
from fedtailor.server.report.plot_rounds import bytes_curve, round_curves, score_curve
from fedtailor.server.report.plot_scores import MOST_ROWS, scores_plot, worst_first


def marks(drawn, name):
    return [e for e in ET.fromstring(drawn).iter() if name in e.get("class", "").split()]


def test_pareto_shows_every_rung_every_reference_and_what_was_deployed():
    run = watch_summary()
    drawn = pareto_plot(run)
    rungs = [rung for row in run.devices for rung in row.ladder.rungs]
    for verdict in ("proven", "not-shown-worse", "rejected"):
        assert len(marks(drawn, verdict)) == sum(rung.verdict.verdict == verdict for rung in rungs)
    assert len(marks(drawn, "reference")) == len(marks(drawn, "deployed")) == 10


def test_smaller_is_drawn_further_left_and_a_higher_score_higher():
    run = watch_summary(devices=1)
    row = run.devices[0]
    reference, deployed = (marks(pareto_plot(run), name)[0] for name in ("reference", "deployed"))
    left, top = reference.get("d")[1:].split("h")[0].split()
    assert float(deployed.get("cx")) < float(left)
    lower = row.variant.rung.validation_score < row.ladder.reference.validation_score
    assert (float(deployed.get("cy")) > float(top)) == lower


def test_scores_are_one_row_a_device_worst_first():
    run = watch_summary()
    drawn = scores_plot(run, figures(run))
    order = [row.hardware.device_id for row in sorted(run.devices, key=lambda row: row.scores.variant)]
    names = [e.text for e in ET.fromstring(drawn).iter("text") if (e.text or "").startswith("watch-")]
    assert names == order
    assert all(len(marks(drawn, name)) == 10 for name in ("base", "personal", "variant"))


def test_the_worst_error_is_the_highest():
    run = regression_summary()
    scores = [device.variant for device in worst_first(figures(run).devices, "lower")]
    assert scores == sorted(scores, reverse=True)


def test_a_large_fleet_is_cut_to_its_worst():
    run = watch_summary(devices=MOST_ROWS + 20, rounds=1)
    assert len(marks(scores_plot(run, figures(run)), "variant")) == MOST_ROWS
    assert len(marks(latency_plot(figures(run)), "latency")) == MOST_ROWS


def test_a_score_that_is_zero_is_still_drawn():
    run = watch_summary(devices=2)
    first, second = run.devices
    run = replace(run, devices=(replace(first, scores=replace(first.scores, base=0.0)), second))
    assert len(marks(scores_plot(run, figures(run)), "base")) == 2


def test_latency_is_marked_by_its_budget():
    run = watch_summary()
    drawn = latency_plot(figures(run))
    within = [row.variant.rung.efficiency.latency_ms <= row.budget.latency_ms for row in run.devices]
    assert len(marks(drawn, "met")) == sum(within)
    assert len(marks(drawn, "unmet")) == len(within) - sum(within)
    assert len(marks(drawn, "limit")) == 10


def test_rounds_that_were_abandoned_are_crosses():
    run = watch_summary(rounds=5)
    rounds = (*run.rounds[:3], replace(run.rounds[3], committed=False), run.rounds[4])
    drawn = score_curve(replace(run, rounds=rounds))
    assert len(marks(drawn, "rejected")) == 1
    assert len(marks(drawn, "point")) == 4


def test_bytes_have_a_bar_for_every_round_with_an_answer():
    run = watch_summary(rounds=5)
    rounds = (*run.rounds[:4], replace(run.rounds[4], answered=0))
    assert len(marks(bytes_curve(replace(run, rounds=rounds)), "bar")) == 4


def test_bars_are_in_proportion_to_bytes():
    run = watch_summary(devices=2, rounds=2)
    rounds = (replace(run.rounds[0], uplink_bytes=100), replace(run.rounds[1], uplink_bytes=300))
    low, high = (float(bar.get("height")) for bar in marks(bytes_curve(replace(run, rounds=rounds)), "bar"))
    assert high == pytest.approx(3 * low, rel=1e-3)


def test_a_histogram_has_a_bar_for_every_class():
    data = replace(watch_summary(devices=1).devices[0].data, class_counts=(4, 0, 8))
    heights = [float(bar.get("height")) for bar in marks(data_plot(data, "d"), "bar")]
    assert heights[0] == pytest.approx(heights[2] / 2)
    assert heights[1] == 0


def test_a_target_is_drawn_by_its_quantiles_even_if_it_never_varies():
    data = replace(regression_summary(1).devices[0].data, target_quantiles=(5.0,) * 5)
    assert len(marks(data_plot(data, "d"), "limit")) == 1


def test_nothing_to_draw_is_no_plot():
    nothing = replace(empty_summary(), devices=(bare_row(),))
    of = figures(nothing)
    drawn = (pareto_plot(nothing), scores_plot(nothing, of), latency_plot(of), round_curves(nothing))
    assert drawn == (None,) * 4
    assert data_plot(bare_row().data, "d") is None


def test_scores_that_are_not_numbers_are_left_out():
    run = watch_summary(devices=2)
    first, second = run.devices
    odd = replace(first.ladder, rungs=tuple(replace(rung, validation_score=nan) for rung in first.ladder.rungs))
    drawn = pareto_plot(replace(run, devices=(replace(first, ladder=odd), second)))
    assert "nan" not in drawn
    assert len(marks(drawn, "reference")) == 2
