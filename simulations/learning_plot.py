"""Every method of the bench of learning as a line from its mean over devices to its worst tenth of them."""

from collections.abc import Sequence

from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.standalone import standalone
from fedtailor.server.report.svg import Frame, Scale, diamond, linear, linear_ticks, padded, with_tip, x_axis
from fedtailor.server.report.wording import counted, score_text
from fedtailor.simulations.learning_rows import LearningRow

LEFT, ROW = 150, 26


def learning_svg(rows: Sequence[LearningRow]) -> str:
    """An SVG file: for each method the mean over devices (disc), the worst tenth (diamond) and newcomers (ring).

    Methods are in the table's order. Faint lines are one standard deviation over seeds to both sides.
    """
    frame = Frame(width=720, height=ROW * len(rows) + 62, left=LEFT)
    domain = padded(end for row in rows for value, deviation in _marks(row).values() for end in _ends(value, deviation))
    scale = linear(domain, frame.x_range)
    metric, better = (rows[0].metric, rows[0].better) if rows else ("score", "higher")
    return standalone(
        "learning",
        "Score by method",
        f"{counted(len(rows), 'method')}: the mean over devices (disc), of the worst tenth (diamond) and of "
        "devices never trained on (ring).",
        frame,
        x_axis(
            frame,
            scale,
            linear_ticks(domain),
            lambda score: score_text(score, metric),
            f"{metric} on test rows, {better} is better: mean (disc), worst tenth (diamond), unseen (ring)",
        ),
        [_row(row, frame.top + ROW * (place + 0.5), scale) for place, row in enumerate(rows)],
    )


def _marks(row: LearningRow) -> dict[str, tuple[float, float]]:
    """Score and deviation by class of mark, where there is a score."""
    marks = {
        "base": (row.unseen, row.unseen_spread),
        "variant": (row.worst_decile, row.worst_decile_spread),
        "personal": (row.mean, row.spread),
    }
    return {word: (score, deviation or 0.0) for word, (score, deviation) in marks.items() if score is not None}


def _ends(value: float, deviation: float) -> tuple[float, float]:
    return value - deviation, value + deviation


def _row(row: LearningRow, y: float, scale: Scale) -> Markup:
    marks = _marks(row)
    places = [scale(value) for value, _ in marks.values()]
    mean, worst, unseen = (score_text(score, row.metric) for score in (row.mean, row.worst_decile, row.unseen))
    tip = f"{row.method}: mean {mean}, worst tenth {worst}, unseen {unseen}, {counted(row.seeds, 'seed')}"
    return tag(
        "g",
        tag("text", row.method, class_="tick", x=LEFT - 8, y=y + 4, text_anchor="end"),
        [tag("line", class_="axis", x1=min(places), x2=max(places), y1=y, y2=y)] if places else [],
        [_span(scale, y, *_ends(*mark)) for mark in marks.values()],
        [_mark(word, scale(value), y, tip) for word, (value, _) in marks.items()],
    )


def _span(scale: Scale, y: float, low: float, high: float) -> Markup:
    return tag("line", class_="span", x1=scale(low), x2=scale(high), y1=y, y2=y)


def _mark(word: str, x: float, y: float, tip: str) -> Markup:
    if word == "variant":
        return with_tip(tip, "path", class_="score variant", d=diamond(x, y, 5))
    return with_tip(tip, "circle", class_=f"score {word}", cx=x, cy=y, r=4 if word == "base" else 4.6)
