"""Base, personal and variant score of every device: what personalising gained and what compressing cost."""

from collections.abc import Sequence
from math import isfinite

from fedtailor.protos.summary import Summary
from fedtailor.server.report.figures import DeviceFigures, Figures
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.svg import Frame, Scale, diamond, drawing, linear, linear_ticks, padded, with_tip, x_axis
from fedtailor.server.report.wording import score_text, short

MOST_ROWS = 40
ROW = 20


def scores_plot(summary: Summary, of: Figures) -> Markup | None:
    """One row per device, the worst variant first; the worst `MOST_ROWS` of a large fleet. None without scores."""
    devices = worst_first(of.devices, summary.better)[:MOST_ROWS]
    if not devices:
        return None
    frame = Frame(width=560, height=ROW * len(devices) + 62, left=132)
    domain = padded(score for device in devices for score in _scores(device).values())
    scale = linear(domain, frame.x_range)
    label = f"{summary.metric} on test rows, {summary.better} is better"
    base, personal, variant = (
        score_text(score, summary.metric) for score in (of.base_score, of.personal_score, of.variant_score)
    )
    return drawing(
        "scores",
        "Score of the base, the personal model and the deployed variant, by device",
        f"{len(devices)} devices, the worst variant first. Mean over all: base {base}, personal {personal}, "
        f"variant {variant}.",
        frame,
        x_axis(frame, scale, linear_ticks(domain), lambda v: score_text(v, summary.metric), label),
        [_row(device, frame.top + ROW * (place + 0.5), scale, summary.metric) for place, device in enumerate(devices)],
    )


def worst_first(devices: Sequence[DeviceFigures], better: str) -> list[DeviceFigures]:
    """The devices that have a score, by what they run now."""
    scored = [device for device in devices if device.variant is not None and isfinite(device.variant)]
    return sorted(scored, key=lambda device: device.variant or 0.0, reverse=better == "lower")


def _scores(device: DeviceFigures) -> dict[str, float]:
    named = {"base": device.base, "personal": device.personal, "variant": device.variant}
    return {word: score for word, score in named.items() if score is not None and isfinite(score)}


def _row(device: DeviceFigures, y: float, scale: Scale, metric: str) -> Markup:
    scores = _scores(device)
    x = {word: scale(score) for word, score in scores.items()}
    tip = f"{device.device_id}: " + ", ".join(f"{word} {score_text(score, metric)}" for word, score in scores.items())
    return tag(
        "g",
        tag("text", short(device.device_id), class_="tick", x=124, y=y + 4, text_anchor="end"),
        tag("line", class_="span", x1=min(x.values()), x2=max(x.values()), y1=y, y2=y),
        [score_mark(word, place, y, tip) for word, place in x.items()],
    )


def score_mark(word: str, x: float, y: float, tip: str) -> Markup:
    """Base is a ring, personal a disc, variant a diamond."""
    if word == "variant":
        return with_tip(tip, "path", class_="score variant", d=diamond(x, y, 5))
    return with_tip(tip, "circle", class_=f"score {word}", cx=x, cy=y, r=4 if word == "base" else 4.6)
