"""In words: what of a device's data has moved, and how far."""

from collections.abc import Sequence

from fedtailor.protos.data_profile import Drift, Shift
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.server.report.wording import number_text
from fedtailor.strategies.drift import moved


def drift_text(drift: Drift, parts: Sequence[str], kind: str) -> str:
    """labels by 0.62 of all rows, loss by 1.3 nats."""
    return ", ".join(_part_text(part, *_measured(drift, part, kind)) for part in parts)


def latest_text(drift: Drift | None, kind: str) -> str:
    """What a device's last profile says."""
    if drift is None:
        return "first profile"
    return drift_text(drift, moved(drift), kind) or "none beyond chance"


def _part_text(part: str, shift: Shift | None, unit: str) -> str:
    return part if shift is None else f"{part} by {number_text(shift.size)} {unit}"


def _measured(drift: Drift, part: str, kind: str) -> tuple[Shift | None, str]:
    regression = kind == REGRESSION
    return {
        "labels": (drift.label, "standard deviations" if regression else "of all rows"),
        "features": (drift.feature, "standard deviations"),
        "loss": (drift.confidence, "of the squared error" if regression else "nats"),
    }[part]
