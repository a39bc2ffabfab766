"""Accuracy against bytes as a picture: how many times fewer bytes an update takes, and the score that is left."""

from collections.abc import Sequence

from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.standalone import standalone
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    cross,
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
from fedtailor.server.report.wording import counted, ratio_text, score_text
from fedtailor.simulations.codec_rows import FP32, OURS, MethodRow, Run, delta_text
from fedtailor.simulations.place_labels import place_labels

FRAME = Frame(width=720, height=440, left=64)
RADIUS = 5.0
LABEL = "times fewer bytes than fp32, envelope included (logarithmic); upwards: test score"
HALO = "paint-order: stroke; stroke: var(--panel); stroke-width: 3px"


def codec_svg(rows: Sequence[MethodRow]) -> str:
    """An SVG file: a mark for each method's mean over its seeds, with the range of the seeds.

    Circles are ours, crosses the other methods, squares fp32.
    """
    x_domain = log_padded(row.ratio for row in rows)
    y_domain = padded(run.test_score for row in rows for run in row.runs)
    x, y = logarithmic(x_domain, FRAME.x_range), linear(y_domain, FRAME.y_range)
    metric = rows[0].metric if rows else "accuracy"
    return standalone(
        "codecs",
        "Score against bytes of an update",
        f"{counted(len(rows), 'method')}: how many times fewer bytes than fp32 an update takes, and the test score of "
        "the last bases. Circles: ours. Crosses: other methods. Squares: fp32.",
        FRAME,
        y_axis(FRAME, y, linear_ticks(y_domain), lambda score: score_text(score, metric)),
        x_axis(FRAME, x, log_ticks(x_domain), ratio_text, LABEL),
        tag("g", [_range(row.runs, x(row.ratio), y) for row in rows]),
        tag("g", [_mark(row, x, y) for row in rows]),
        _names(rows, x, y),
    )


def _range(runs: Sequence[Run], at: float, y: Scale) -> Markup:
    scores = [run.test_score for run in runs]
    return tag("line", class_="span", x1=at, x2=at, y1=y(min(scores)), y2=y(max(scores)))


def _mark(row: MethodRow, x: Scale, y: Scale) -> Markup:
    at = x(row.ratio), y(row.test_score)
    tip = (
        f"{row.name}: {ratio_text(row.ratio)} fewer bytes, {score_text(row.test_score, row.metric)}, {delta_text(row)}"
    )
    if row.name.startswith(OURS):
        return with_tip(tip, "circle", class_="mark proven", cx=at[0], cy=at[1], r=RADIUS)
    if row.name == FP32:
        return with_tip(tip, "path", class_="mark reference", d=square(*at, RADIUS))
    return with_tip(tip, "path", class_="mark rejected", d=cross(*at, RADIUS))


def _names(rows: Sequence[MethodRow], x: Scale, y: Scale) -> Markup:
    (left, right), (bottom, top) = FRAME.x_range, FRAME.y_range
    points = [(x(row.ratio), y(row.test_score)) for row in rows]
    labels = place_labels([row.name for row in rows], points, radius=RADIUS, within=(left, right, top, bottom))
    return tag(
        "g",
        [
            tag("text", label.text, class_="tick", x=label.x, y=label.y, text_anchor=label.anchor, style=HALO)
            for label in labels
        ],
    )
