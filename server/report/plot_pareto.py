"""Size against score: every rung that was tried, each device's fp32 reference, and what was deployed."""

from dataclasses import dataclass
from math import isfinite

from fedtailor.protos.summary import DeviceRow, Summary
from fedtailor.protos.variant import Rung
from fedtailor.protos.verdict import PROVEN, REJECTED
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    cross,
    diamond,
    drawing,
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
from fedtailor.server.report.wording import bytes_text, score_text

MOST_TRAILS = 24  # more lines from reference to deployed than this hide the dots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    x: Scale
    y: Scale
    metric: str


def pareto_plot(summary: Summary) -> Markup | None:
    """Payload (logarithmic) against validation score; None where no device has a ladder."""
    rows = [row for row in summary.devices if row.ladder]
    points = [rung for row in rows for rung in _rungs(row) if isfinite(rung.validation_score)]
    if not points:
        return None
    frame = Frame(width=560, height=340)
    x_domain = log_padded(rung.efficiency.payload_bytes for rung in points)
    y_domain = padded(rung.validation_score for rung in points)
    plane = _Plane(x=logarithmic(x_domain, frame.x_range), y=linear(y_domain, frame.y_range), metric=summary.metric)
    label = "payload (logarithmic): smaller is further left"
    return drawing(
        "pareto",
        "Payload against score",
        f"{len(points)} artefacts of {len(rows)} devices: payload in bytes against the score on validation rows; "
        f"{summary.better} is better.",
        frame,
        y_axis(frame, plane.y, linear_ticks(y_domain), lambda v: score_text(v, summary.metric)),
        x_axis(frame, plane.x, log_ticks(x_domain), bytes_text, label),
        tag(
            "g",
            [_trail(row, plane) for row in rows] if len(rows) <= MOST_TRAILS else None,
            [_tried(row, rung, plane) for row in rows for rung in _rungs(row)[1:]],
            [_reference(row, plane) for row in rows],
            [_deployed(row, plane) for row in rows],
            class_="dense" if len(rows) > MOST_TRAILS else None,
        ),
    )


def _rungs(row: DeviceRow) -> tuple[Rung, ...]:
    return (row.ladder.reference, *row.ladder.rungs) if row.ladder else ()


def _at(rung: Rung, plane: _Plane) -> tuple[float, float] | None:
    payload, score = rung.efficiency.payload_bytes, rung.validation_score
    return (plane.x(payload), plane.y(score)) if payload > 0 and isfinite(score) else None


def _tip(row: DeviceRow, rung: Rung, plane: _Plane) -> str:
    return (
        f"{row.hardware.device_id}: {rung.recipe} {rung.precision}, {bytes_text(rung.efficiency.payload_bytes)}, "
        f"{score_text(rung.validation_score, plane.metric)} on validation, {rung.verdict.verdict}"
    )


def _tried(row: DeviceRow, rung: Rung, plane: _Plane) -> Markup | None:
    at = _at(rung, plane)
    return None if at is None else verdict_mark(rung.verdict.verdict, at, _tip(row, rung, plane))


def verdict_mark(verdict: str, at: tuple[float, float], tip: str) -> Markup:
    """A dot, diamond or cross: verdicts differ in shape, not in colour alone."""
    x, y = at
    if verdict == REJECTED:
        return with_tip(tip, "path", class_="mark rejected", d=cross(x, y, 3))
    if verdict == PROVEN:
        return with_tip(tip, "circle", class_="mark proven", cx=x, cy=y, r=3.2)
    return with_tip(tip, "path", class_="mark not-shown-worse", d=diamond(x, y, 4))


def _reference(row: DeviceRow, plane: _Plane) -> Markup | None:
    at = _at(row.ladder.reference, plane) if row.ladder else None
    if row.ladder is None or at is None:
        return None
    return with_tip(_tip(row, row.ladder.reference, plane), "path", class_="mark reference", d=square(*at, 3.6))


def _deployed(row: DeviceRow, plane: _Plane) -> Markup | None:
    at = _at(row.variant.rung, plane) if row.variant else None
    if row.variant is None or at is None:
        return None
    tip = f"deployed on {_tip(row, row.variant.rung, plane)}"
    return with_tip(tip, "circle", class_="mark deployed", cx=at[0], cy=at[1], r=7)


def _trail(row: DeviceRow, plane: _Plane) -> Markup | None:
    start = _at(row.ladder.reference, plane) if row.ladder else None
    end = _at(row.variant.rung, plane) if row.variant else None
    if start is None or end is None:
        return None
    return tag("line", class_="trail", x1=start[0], y1=start[1], x2=end[0], y2=end[1])
