"""The table fits the terminal, and says what matters in any width."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from summaries import bare_row, device_row, empty_summary, fallback_row, regression_summary, watch_summary

from fedtailor.server.report.figures import figures
from fedtailor.server.report.tables import MOST_REMARKS, to_table


def shown(run, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_table(run, width))
    return console.file.getvalue().replace("\u00a0", " ")


def mixed():
    rows = (*watch_summary(devices=8).devices, fallback_row(), bare_row())
    return replace(watch_summary(), devices=rows)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("run", [watch_summary(), mixed(), regression_summary()], ids=["watch", "mixed", "engines"])
def test_nothing_is_cut_off_and_no_line_is_too_long(run, width):
    text = shown(run, width)
    table = text[: text.index("scores: ")]
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in table
    for row in run.devices:
        assert row.hardware.device_id in table
    assert "not-shown-worse" in table


def test_a_narrow_terminal_drops_columns_not_devices():
    wide, narrow = (shown(watch_summary(), width).split("scores: ")[0] for width in (160, 80))
    for title in ("class", "plan", "recipe", "modelled", "memory"):
        assert title in wide
        assert f" {title} " not in narrow
    for title in ("payload", "smaller", "faster", "verdict", "budget"):
        assert title in narrow


def test_the_overall_row_holds_means_and_medians():
    run = watch_summary()
    of = figures(run)
    line = next(line for line in shown(run, 160).splitlines() if line.startswith("all 10"))
    scores = "→".join(f"{100 * score:.1f}" for score in (of.base_score, of.personal_score, of.variant_score))
    assert scores in line
    assert f"{of.payload_ratio_median:.1f}×" in line
    assert f"{of.budgets_met}/10 met" in line


def test_a_budget_that_is_exceeded_is_marked_with_its_limit():
    line = next(line for line in shown(watch_summary(), 160).splitlines() if line.startswith("watch-06"))
    assert line.rstrip().endswith("✗ latency")


def test_names_cannot_smuggle_markup_into_the_terminal():
    row = replace(bare_row("[red]x[/red]"), problems=("[bold]boom[/bold]",))
    text = shown(replace(watch_summary(), devices=(row,)), 120)
    assert "[red]x[/red]" in text
    assert "[bold]boom[/bold]" in text


def test_remarks_are_capped_and_counted():
    rows = tuple(replace(bare_row(f"device-{number}"), problems=("lost",)) for number in range(30))
    text = shown(replace(watch_summary(), devices=rows, withdrawn=(), rounds=()), 120)
    assert text.count(": lost") == MOST_REMARKS
    assert "… and 18 more remarks" in text


def test_an_empty_run_prints_its_claim():
    assert shown(empty_summary(), 80).startswith("None of 0 devices runs a variant.")


def test_a_device_on_another_machine_shows_its_modelled_latency():
    run = replace(watch_summary(), devices=(device_row(5, np.random.default_rng(1)),))
    modelled = run.devices[0].variant.rung.efficiency.latency_ms_modelled
    assert f"{1000 * modelled:.0f} µs" in shown(run, 160)
