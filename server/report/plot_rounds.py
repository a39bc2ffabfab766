"""The run over its rounds: the base's validation score, and bytes sent by a device."""

from collections.abc import Sequence
from math import isfinite

from fedtailor.protos.summary import RoundRow, Summary
from fedtailor.server.report.markup import Markup, join, tag
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    cross,
    drawing,
    linear,
    linear_ticks,
    padded,
    polyline,
    with_tip,
    x_axis,
    y_axis,
)
from fedtailor.server.report.wording import bytes_text, score_text

Point = tuple[RoundRow, float]


def round_curves(summary: Summary) -> Markup | None:
    """Both curves, one above the other; None where no round was run."""
    drawn = [curve for curve in (score_curve(summary), bytes_curve(summary)) if curve]
    return join(drawn) if drawn else None


def score_curve(summary: Summary) -> Markup | None:
    """Mean validation score of the public base at the start of each round; abandoned rounds are crosses."""
    points = [(row, v) for row in summary.rounds if (v := row.base_validation_score) is not None and isfinite(v)]
    if not points:
        return None
    frame = Frame(width=560, height=220, top=22)
    domain = padded(value for _, value in points)
    scale = linear(domain, frame.y_range)
    return drawing(
        "score-curve",
        "Validation score of the shared base, by round",
        f"From {score_text(points[0][1], summary.metric)} in round {points[0][0].round} to "
        f"{score_text(points[-1][1], summary.metric)} in round {points[-1][0].round}; {summary.better} is better.",
        frame,
        y_axis(frame, scale, linear_ticks(domain), lambda v: score_text(v, summary.metric)),
        tag("text", f"base, {summary.metric}", class_="label", x=4, y=11),
        _curve(summary.rounds, points, frame, scale, summary.metric),
    )


def bytes_curve(summary: Summary) -> Markup | None:
    """Uplink bytes of one answering device in each round, against the fp32 base it replaces."""
    points = [(row, row.uplink_bytes / row.answered) for row in summary.rounds if row.answered]
    if not points:
        return None
    frame = Frame(width=560, height=180, top=22)
    domain = (0.0, max(value for _, value in points) * 1.15 or 1.0)
    scale = linear(domain, frame.y_range)
    x = round_scale(summary.rounds, frame)
    bar = max(1.5, min(14.0, 0.7 * (frame.x_range[1] - frame.x_range[0]) / len(summary.rounds)))
    return drawing(
        "bytes-curve",
        "Bytes sent to the server by a device, by round",
        f"Last round {bytes_text(points[-1][1])} a device; the fp32 base is {bytes_text(summary.base_fp32_bytes)}.",
        frame,
        y_axis(frame, scale, linear_ticks(domain, 4), bytes_text),
        tag("text", "bytes up a device", class_="label", x=4, y=11),
        _round_axis(summary.rounds, frame),
        [
            with_tip(
                f"round {row.round}: {bytes_text(value)} a device, {row.answered} of {row.asked} answered",
                "rect",
                class_="bar",
                x=x(row.round) - bar / 2,
                y=scale(value),
                width=bar,
                height=scale(0) - scale(value),
            )
            for row, value in points
        ],
    )


def round_scale(rounds: Sequence[RoundRow], frame: Frame) -> Scale:
    """First round to last, half a round of air at both ends."""
    return linear((rounds[0].round - 0.5, rounds[-1].round + 0.5), frame.x_range)


def _round_axis(rounds: Sequence[RoundRow], frame: Frame) -> Markup:
    domain = (rounds[0].round - 0.5, rounds[-1].round + 0.5)
    ticks = [t for t in linear_ticks(domain, 8) if t == int(t)]
    return x_axis(frame, round_scale(rounds, frame), ticks, lambda v: f"{v:.0f}", "round")


def _curve(rounds: Sequence[RoundRow], points: Sequence[Point], frame: Frame, y: Scale, metric: str) -> Markup:
    x = round_scale(rounds, frame)
    return tag(
        "g",
        _round_axis(rounds, frame),
        polyline(((x(row.round), y(value)) for row, value in points), class_="curve"),
        [_dot(row, value, x(row.round), y(value), metric) for row, value in points],
    )


def _dot(row: RoundRow, value: float, x: float, y: float, metric: str) -> Markup:
    tip = f"round {row.round}: {score_text(value, metric)}, {row.answered} of {row.asked} answered"
    if not row.committed:
        return with_tip(f"{tip}, abandoned", "path", class_="mark rejected", d=cross(x, y, 3.5))
    return with_tip(tip, "circle", class_="point", cx=x, cy=y, r=2.2)
