"""Score against size, one picture for any number of files and models: both as shares of each one's fp32 model."""

from collections.abc import Sequence

from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.standalone import standalone
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    cross,
    diamond,
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
from fedtailor.server.report.wording import ratio_text, score_text
from fedtailor.simulations.variant_row import OURS, REFERENCE, SMALL, VariantRow

FRAME = Frame(width=720, height=440)
LABEL = "times smaller than fp32 (logarithmic); upwards: share of its test score"


def variants_svg(rows: Sequence[VariantRow]) -> str:
    """An SVG file: how many times smaller (logarithmic) against the share of the fp32 test score.

    Circles are ours, crosses the peers, diamonds small models trained from the start, squares fp32.
    """
    shown = [row for row in rows if row.share is not None and row.payload_ratio is not None]
    x_domain = log_padded(row.payload_ratio or 0 for row in shown)
    y_domain = padded(row.share or 0 for row in shown)
    x, y = logarithmic(x_domain, FRAME.x_range), linear(y_domain, FRAME.y_range)
    return standalone(
        "variants",
        "Score against size",
        f"{len(shown)} variants: how many times smaller than fp32, and the share of the fp32 model's test score. "
        "Circles: fedtailor. Crosses: peers. Diamonds: small models trained from the start. Squares: fp32.",
        FRAME,
        y_axis(FRAME, y, linear_ticks(y_domain), lambda share: score_text(share, "accuracy")),
        x_axis(FRAME, x, log_ticks(x_domain), ratio_text, LABEL),
        tag("g", [_mark(row, x, y) for row in shown]),
    )


def _mark(row: VariantRow, x: Scale, y: Scale) -> Markup:
    at = x(row.payload_ratio or 1.0), y(row.share or 0.0)
    tip = (
        f"{row.data}, {row.model}, seed {row.seed}: {row.method}, {ratio_text(row.payload_ratio)} smaller, "
        f"{score_text(row.share, 'accuracy')} of the fp32 score, {row.verdict}"
    )
    if row.method.startswith(OURS):
        return with_tip(tip, "circle", class_="mark proven", cx=at[0], cy=at[1], r=3.6)
    if row.method == REFERENCE:
        return with_tip(tip, "path", class_="mark reference", d=square(*at, 3.6))
    if row.method == SMALL:
        return with_tip(tip, "path", class_="mark not-shown-worse", d=diamond(*at, 4.4))
    return with_tip(tip, "path", class_="mark rejected", d=cross(*at, 3.6))
