"""Latency of what each device runs, against its budget and its own fp32 reference."""

from dataclasses import dataclass

from fedtailor.server.report.figures import DeviceFigures, Figures
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.plot_scores import MOST_ROWS, ROW
from fedtailor.server.report.svg import (
    Frame,
    Scale,
    cross,
    drawing,
    log_padded,
    log_ticks,
    logarithmic,
    square,
    with_tip,
    x_axis,
)
from fedtailor.server.report.wording import milliseconds_text, short


@dataclass(frozen=True, slots=True, kw_only=True)
class _Latency:
    device: DeviceFigures
    deployed_ms: float
    reference_ms: float | None
    limit_ms: float | None

    @property
    def share(self) -> float:
        """Of the budget; devices without one come last."""
        return self.deployed_ms / self.limit_ms if self.limit_ms else 0.0

    @property
    def outcome(self) -> str:
        return "free" if self.limit_ms is None else "met" if self.deployed_ms <= self.limit_ms else "unmet"


def latency_plot(of: Figures) -> Markup | None:
    """One row per device, the tightest budget first (at most `MOST_ROWS`); None without a deployed variant."""
    everyone = [entry for device in of.devices if (entry := _latency(device))]
    if not everyone:
        return None
    entries = sorted(everyone, key=lambda entry: -entry.share)[:MOST_ROWS]
    frame = Frame(width=560, height=ROW * len(entries) + 62, left=132)
    domain = log_padded(ms for e in entries for ms in (e.deployed_ms, e.reference_ms, e.limit_ms) if ms)
    scale = logarithmic(domain, frame.x_range)
    unmet = sum(entry.outcome == "unmet" for entry in everyone)
    return drawing(
        "latency",
        "Latency of the deployed variant against its budget, by device",
        f"{len(entries)} of {len(everyone)} devices, the tightest first; {unmet} of all exceed their budget.",
        frame,
        x_axis(frame, scale, log_ticks(domain), milliseconds_text, "latency of one sample (logarithmic)"),
        [_row(entry, frame, ROW * (place + 0.5) + frame.top, scale) for place, entry in enumerate(entries)],
    )


def _latency(device: DeviceFigures) -> _Latency | None:
    row = device.row
    if row.variant is None or not row.variant.rung.efficiency.latency_ms > 0:
        return None
    return _Latency(
        device=device,
        deployed_ms=row.variant.rung.efficiency.latency_ms,
        reference_ms=row.ladder.reference.efficiency.latency_ms if row.ladder else None,
        limit_ms=row.budget.latency_ms,
    )


def _row(entry: _Latency, frame: Frame, y: float, x: Scale) -> Markup:
    deployed, reference, limit = entry.deployed_ms, entry.reference_ms, entry.limit_ms
    tip = (
        f"{entry.device.device_id}: {milliseconds_text(deployed)}, budget {milliseconds_text(limit)}, "
        f"fp32 {milliseconds_text(reference)}"
    )
    marks = [tag("text", short(entry.device.device_id), class_="tick", x=frame.left - 8, y=y + 4, text_anchor="end")]
    if reference:
        marks.append(tag("line", class_="span", x1=x(deployed), x2=x(reference), y1=y, y2=y))
        marks.append(with_tip(tip, "path", class_="mark reference", d=square(x(reference), y, 3.6)))
    if limit:
        marks.append(with_tip(tip, "line", class_="limit", x1=x(limit), x2=x(limit), y1=y - 8, y2=y + 8))
    marks.append(_deployed(entry.outcome, x(deployed), y, tip))
    return tag("g", marks)


def _deployed(outcome: str, x: float, y: float, tip: str) -> Markup:
    if outcome == "unmet":
        return with_tip(tip, "path", class_="latency unmet", d=cross(x, y, 4))
    return with_tip(tip, "circle", class_=f"latency {outcome}", cx=x, cy=y, r=4.8)
