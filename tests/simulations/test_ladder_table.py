import io
from dataclasses import replace

import pytest
from rich.console import Console
from small_optimised import optimised, rung

from fedtailor.protos.budget import Budget
from fedtailor.simulations.ladder_table import ladder_table, remarks

RUNGS = (rung("int8", 250), rung("x8", 125, lost=1), rung("x40", 25, lost=9, note="rejected: a drop"))


def shown(found, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(ladder_table(found, width))
    return console.file.getvalue().replace("\u00a0", " ")


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_nothing_wraps_or_is_cut_in_any_width(width):
    text = shown(optimised(*RUNGS, chosen="x8"), width)
    table = text[: text.index("→ runs")]
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in table
    assert len(table.splitlines()) == 3 + 4  # two lines of heads and a rule, then a line for each
    for always in ("payload", "smaller", "faster", "verdict", "90.0–105.0", "not-shown-worse", "rejected"):
        assert always in table


def test_a_wide_terminal_shows_every_figure():
    line = next(line for line in shown(optimised(*RUNGS, chosen="int8"), 160).splitlines() if "x8" in line)
    figures = "x8 int8 4.2 125 B 8.0× 250 B 1.5 ms 1.0 µs 1.2× 300 B 95.0 95.0 (85.0–100.0) rejected"
    assert " ".join(line.split()) == figures


@pytest.mark.parametrize("chosen", ["fp32", "x8"])
def test_what_runs_is_marked_once(chosen):
    marked = [line for line in shown(optimised(*RUNGS, chosen=chosen), 120).splitlines() if line.startswith("→ ")]
    assert [line.split()[1] for line in marked] == [chosen, "runs."]


def test_the_key_says_metric_rows_margin_and_what_is_compared():
    text = " ".join(shown(optimised(*RUNGS), 100).split())
    for fact in ("accuracy in %, higher is better", "20 validation rows", "margin 1.0 points", "than that of fp32"):
        assert fact in text


def test_without_test_rows_there_is_a_dash():
    line = next(line for line in shown(optimised(*RUNGS, test_rows=0), 160).splitlines() if "x8" in line)
    assert line.split()[-3:] == ["95.0", "–", "rejected"]


def test_the_first_remark_says_what_runs_and_why():
    assert remarks(optimised(*RUNGS, chosen="x8"))[0] == "x8 runs: the smallest of 2 that may run"
    limited = optimised(*RUNGS, chosen="x8", budget=Budget(size_bytes=10**6))
    assert remarks(limited)[0] == "x8 runs: the smallest of 2 that may run and meet the budget"
    assert remarks(optimised(*RUNGS))[0] == "fp32 runs: none of 3 variants may"
    assert remarks(optimised())[0] == "fp32 runs: there is no variant"


def test_every_rung_that_may_not_run_and_every_problem_is_a_remark():
    said = remarks(optimised(*RUNGS, chosen="x8"))
    assert said[1:] == ["x40: rejected: a drop", "recipe 'x9' on device till-1: too hard"]


def test_limits_that_are_exceeded_are_named_with_both_figures():
    said = remarks(optimised(*RUNGS, chosen="x8", budget=Budget(size_bytes=300, latency_ms=1.0)))
    assert [line.replace("\u00a0", " ") for line in said if line.startswith("int8")] == [
        "int8: over budget: latency 1.5 ms, at most 1 ms; over budget: size 500 B, at most 300 B"
    ]


def test_a_limit_that_nothing_measures_is_said_to_be_open():
    found = optimised(*RUNGS, chosen="x8", budget=Budget(energy_mj=1.0))
    assert "budget: energy is not measured on this machine, so that limit was not held" in remarks(found)
    costs = replace(found.reference.rung.efficiency, energy_mj_measured=0.5)
    measured = replace(found.reference, rung=replace(found.reference.rung, efficiency=costs))
    assert not any("not measured" in line for line in remarks(replace(found, reference=measured)))
