"""A ladder as a table for a terminal, with what a person needs to know to read it."""

from rich.console import Group, RenderableType
from rich.text import Text

from fedtailor.server.report.budgets import WORDS
from fedtailor.server.report.columns import VERDICT_STYLES, Column, fitting_table
from fedtailor.server.report.wording import (
    bytes_text,
    counted,
    limit_text,
    milliseconds_text,
    points_text,
    ratio_text,
    score_text,
)
from fedtailor.simulations.optimised import Candidate, Optimised
from fedtailor.strategies.budget_check import Check, artefact_checks

RUNS = "→ "
REFERENCE = "reference"


def ladder_table(optimised: Optimised, width: int) -> RenderableType:
    """The rungs in a table that fits into `width` characters, the chosen one marked, and a key below it."""
    rungs = [candidate.rung for candidate in optimised.candidates]
    table = fitting_table(
        _columns(optimised), width, lambda cell: VERDICT_STYLES.get(cell, ""), bold_row=rungs.index(optimised.chosen)
    )
    return Group(table, Text(_key(optimised), style="dim"))


def remarks(optimised: Optimised) -> list[str]:
    """What runs and why, then a line for each rung that may not or better should not, for each limit that nobody could
    check, and for each problem."""
    first = f"{optimised.chosen.recipe} runs: {_reason(optimised)}"
    said = {candidate.rung.recipe: _against(optimised, candidate) for candidate in optimised.candidates}
    notes = [f"{recipe}: {'; '.join(lines)}" for recipe, lines in said.items() if lines]
    unknown = [
        f"budget: {WORDS[check.name]} is not measured on this machine, so that limit was not held"
        for check in _checks(optimised, optimised.reference)
        if check.met is None
    ]
    return [first, *notes, *unknown, *optimised.problems]


def _against(optimised: Optimised, candidate: Candidate) -> list[str]:
    rung = candidate.rung
    return [*filter(None, [rung.note or rung.doubt]), *_exceeded(_checks(optimised, candidate))]


def _reason(optimised: Optimised) -> str:
    if optimised.chosen is optimised.reference.rung:
        return f"none of {counted(len(optimised.rungs), 'variant')} may" if optimised.rungs else "there is no variant"
    budgeted = _checks(optimised, optimised.reference)
    return optimised.reason if budgeted else optimised.reason.replace(" and meet the budget", "")


def _checks(optimised: Optimised, candidate: Candidate) -> tuple[Check, ...]:
    return artefact_checks(optimised.plan.budget, candidate.rung.efficiency)


def _exceeded(checks: tuple[Check, ...]) -> list[str]:
    return [
        f"over budget: {WORDS[check.name]} {limit_text(check.name, check.actual)}, at most "
        f"{limit_text(check.name, check.limit)}"
        for check in checks
        if check.met is False
    ]


def _columns(optimised: Optimised) -> list[Column]:
    def column(title: str, cells: list[str], drop: int = 0, *, number: bool = True) -> Column:
        return Column(title=title, cells=cells, drop=drop, number=number)

    found, metric = optimised.candidates, optimised.task.metric
    takes = [candidate.rung.efficiency for candidate in found]
    largest = takes[0].payload_bytes
    return [
        column("  recipe", [_name(candidate, optimised) for candidate in found], number=False),
        column("computes\nin", [candidate.rung.precision for candidate in found], 2, number=False),
        column("bits", [f"{candidate.rung.weight_bits:.2g}" for candidate in found], 5),
        column("payload", [bytes_text(cost.payload_bytes) for cost in takes]),
        column("smaller", [ratio_text(largest / cost.payload_bytes) for cost in takes]),
        column("file", [bytes_text(cost.file_bytes) for cost in takes], 4),
        column("p50", [milliseconds_text(cost.latency_p50_us_measured / 1000) for cost in takes], 1),
        column("p99", [milliseconds_text(cost.latency_p99_us_measured / 1000) for cost in takes], 6),
        column("faster", [ratio_text(candidate.rung.latency_ratio) for candidate in found]),
        column("memory", [bytes_text(cost.memory_bytes_measured) for cost in takes], 3),
        column("vali-\ndation", [_bare(candidate.rung.validation_score, metric) for candidate in found]),
        column("test\n(95 % interval)", [_test(candidate, metric) for candidate in found]),
        column("verdict", [_verdict(candidate, optimised) for candidate in found], number=False),
    ]


def _name(candidate: Candidate, optimised: Optimised) -> str:
    mark = RUNS if candidate.rung is optimised.chosen else " " * len(RUNS)
    return mark + candidate.rung.recipe


def _verdict(candidate: Candidate, optimised: Optimised) -> str:
    return REFERENCE if candidate is optimised.reference else candidate.rung.verdict.verdict


def _test(candidate: Candidate, metric: str) -> str:
    if candidate.test_interval is None:
        return _bare(candidate.test_score, metric)
    low, high = (_bare(end, metric) for end in candidate.test_interval)
    return f"{_bare(candidate.test_score, metric)} ({low}–{high})"


def _bare(score: float | None, metric: str) -> str:
    """Without its unit, which stands below the table."""
    return score_text(score, metric).removesuffix("%").rstrip()


def _key(optimised: Optimised) -> str:
    data, task = optimised.data, optimised.task
    unit = f"{task.metric}{' in %' if task.metric == 'accuracy' else ''}"
    verdict = optimised.reference.rung.verdict
    return (
        f"{RUNS}runs. Scores: {unit}, {task.better} is better, on {counted(len(data.validation), 'validation row')} "
        f"and {counted(len(data.test), 'test row')}. Verdict: on the validation rows against fp32, margin "
        f"{points_text(verdict.margin, data.kind)}, at {100 * verdict.confidence:g} % confidence. Payload: as kept and "
        "sent; smaller: than that of fp32. p50, p99: one sample, one thread, measured here; faster: CPU time of fp32 "
        "over this one's, taken in turns."
    )
