"""A ladder as a picture: score against what each rung costs, the chosen one ringed, the budget's limits drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.server.report.claim import OUTCOME_WORDS
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.plot_pareto import verdict_mark
from fedtailor.server.report.standalone import standalone
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    linear,
    linear_ticks,
    log_padded,
    log_ticks,
    logarithmic,
    padded,
    square,
    with_tip,
    x_axis,
    y_axis,
)
from fedtailor.server.report.wording import bytes_text, limit_text, milliseconds_text, score_text
from fedtailor.simulations.optimised import Candidate, Optimised
from fedtailor.simulations.place_labels import HEIGHT, Label, place_labels

PANEL = Frame(width=440, height=300, top=36)
COLUMNS = 2
LEGEND_HEIGHT = 44
FEWEST_TICKS = 3
MARK_RADIUS = 7.0
HALO = "paint-order: stroke; stroke: var(--panel); stroke-width: 3px"  # names stay readable across lines


@dataclass(frozen=True, slots=True)
class _Cost:
    """What is drawn to the right, and how much of it the budget allows."""

    title: str
    of: Callable[[Efficiency], float]
    words: Callable[[float], str]
    limit: float | None = None


def ladder_svg(optimised: Optimised) -> str:
    """An SVG file with a panel for the payload, one for the latency, and one for whatever else the budget limits.

    Upwards is the test score with its 95 % interval; without test rows, the validation score.
    """
    costs = _costs(optimised)
    rows = -(-len(costs) // COLUMNS)
    whole = Frame(width=PANEL.width * COLUMNS, height=PANEL.height * rows + LEGEND_HEIGHT)
    panels = [
        _moved(_panel(optimised, cost), PANEL.width * (at % COLUMNS), PANEL.height * (at // COLUMNS))
        for at, cost in enumerate(costs)
    ]
    return standalone(
        "ladder",
        f"{optimised.plan.model.name} on {optimised.data.device_id}",
        f"{len(optimised.candidates)} variants of one model: score against {', '.join(cost.title for cost in costs)}. "
        f"{optimised.chosen.recipe} runs.",
        whole,
        panels,
        _moved(_legend(any(cost.limit for cost in costs)), 0, PANEL.height * rows + LEGEND_HEIGHT / 2),
    )


def _costs(optimised: Optimised) -> list[_Cost]:
    budget = optimised.plan.budget
    others = [
        _Cost("file", lambda cost: cost.file_bytes, bytes_text, budget.size_bytes),
        _Cost("memory", lambda cost: cost.memory_bytes_measured, bytes_text, budget.peak_ram_bytes),
        _Cost("energy", lambda cost: cost.energy_mj or 0.0, lambda mj: limit_text("energy_mj", mj), budget.energy_mj),
    ]
    known = optimised.reference.rung.efficiency.energy_mj is not None
    return [
        _Cost("payload", lambda cost: cost.payload_bytes, bytes_text),
        _Cost("latency of one sample, p50", lambda cost: cost.latency_ms, milliseconds_text, budget.latency_ms),
        *(cost for cost in others if cost.limit is not None and (known or cost.title != "energy")),
    ]


def _panel(optimised: Optimised, cost: _Cost) -> Markup:
    metric, found = optimised.task.metric, optimised.candidates
    values = [max(cost.of(candidate.rung.efficiency), 1e-9) for candidate in found]
    x_domain = log_padded([*values, *([cost.limit] if cost.limit else [])])
    y_domain = padded(end for candidate in found for end in (_score(candidate), *(candidate.test_interval or ())))
    x, y = logarithmic(x_domain, PANEL.x_range), linear(y_domain, PANEL.y_range)
    points = [(x(value), y(_score(candidate))) for value, candidate in zip(values, found, strict=True)]
    return tag(
        "g",
        y_axis(PANEL, y, linear_ticks(y_domain), lambda score: score_text(score, metric)),
        x_axis(PANEL, x, _ticks(x_domain), cost.words, f"{cost.title} (logarithmic)"),
        tag("text", _heading(optimised), class_="label", x=PANEL.left, y=20),
        [_interval(candidate, at[0], y) for candidate, at in zip(found, points, strict=True)],
        None if cost.limit is None else _limit(cost.limit, x, cost.words),
        [_mark(optimised, candidate, at) for candidate, at in zip(found, points, strict=True)],
        _labels([candidate.rung.recipe for candidate in found], points),
    )


def _heading(optimised: Optimised) -> str:
    rows = "test rows, with 95 % intervals" if len(optimised.data.test) else "validation rows"
    return f"{optimised.task.metric} on {rows}; {optimised.task.better} is better"


def _score(candidate: Candidate) -> float:
    return candidate.rung.validation_score if candidate.test_score is None else candidate.test_score


def _ticks(domain: tuple[float, float]) -> list[float]:
    ticks = log_ticks(domain)
    return ticks if len(ticks) >= FEWEST_TICKS else [tick for tick in linear_ticks(domain) if tick > 0]


def _interval(candidate: Candidate, x: float, y: Scale) -> Markup | None:
    if candidate.test_interval is None:
        return None
    low, high = candidate.test_interval
    return tag("line", class_="span", x1=x, x2=x, y1=y(low), y2=y(high))


def _limit(limit: float, x: Scale, words: Callable[[float], str]) -> Markup:
    bottom, top = PANEL.y_range
    text = tag("text", f"limit {words(limit)}", class_="label", x=x(limit) - 6, y=bottom - 8, text_anchor="end")
    return tag("g", _limit_line(x(limit), top, bottom), text)


def _limit_line(x: float, top: float, bottom: float) -> Markup:
    return tag("line", class_="limit", x1=x, x2=x, y1=top, y2=bottom, stroke_dasharray="5 4")


def _mark(optimised: Optimised, candidate: Candidate, at: tuple[float, float]) -> Markup:
    rung = candidate.rung
    tip = (
        f"{rung.recipe}: {bytes_text(rung.efficiency.payload_bytes)}, "
        f"{milliseconds_text(rung.efficiency.latency_ms)}, {rung.verdict.verdict}"
    )
    is_reference = candidate is optimised.reference
    mark = _reference(at, tip) if is_reference else verdict_mark(rung.verdict.verdict, at, tip)
    return tag("g", mark, _ring(at) if rung is optimised.chosen else None)


def _reference(at: tuple[float, float], tip: str) -> Markup:
    return with_tip(tip, "path", class_="mark reference", d=square(*at, 3.6))


def _ring(at: tuple[float, float]) -> Markup:
    return tag("circle", class_="mark deployed", cx=at[0], cy=at[1], r=MARK_RADIUS)


def _labels(names: Sequence[str], points: Sequence[tuple[float, float]]) -> list[Markup]:
    (left, right), (bottom, top) = PANEL.x_range, PANEL.y_range
    placed = place_labels(names, points, radius=MARK_RADIUS, within=(left, right, top, bottom))
    return [
        tag(
            "g",
            _leader(label, at),
            tag("text", label.text, class_="tick", x=label.x, y=label.y, text_anchor=label.anchor, style=HALO),
        )
        for label, at in zip(placed, points, strict=True)
    ]


def _leader(label: Label, at: tuple[float, float]) -> Markup | None:
    """A line to a name that stands away from its point."""
    if abs(label.y - at[1]) < 2 * MARK_RADIUS + HEIGHT:
        return None
    return tag("line", x1=at[0], y1=at[1], x2=label.x, y2=label.y, style="stroke: var(--muted)")


def _legend(limited: bool) -> Markup:
    origin = (0.0, 0.0)
    entries = [(verdict_mark(verdict, origin, ""), OUTCOME_WORDS[verdict]) for verdict in _VERDICTS]
    entries += [(_reference(origin, "fp32"), "fp32 reference"), (_ring(origin), "runs")]
    if limited:
        entries.append((_limit_line(0, -8, 8), "limit of the budget"))
    each = (COLUMNS * PANEL.width - PANEL.left) / len(entries)
    return tag(
        "g",
        [
            _moved(tag("g", mark, tag("text", words, x=14, y=4)), PANEL.left + each * at, 0)
            for at, (mark, words) in enumerate(entries)
        ],
    )


_VERDICTS = (PROVEN, NOT_SHOWN_WORSE, REJECTED)


def _moved(drawn: Markup, x: float, y: float) -> Markup:
    return tag("g", drawn, transform=f"translate({x:g} {y:g})")
