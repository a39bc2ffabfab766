"""The figures of one run: means weighted equally by device, the worst device, medians; pure, from a Summary.

What did not happen is None and stays out of means. A score that is not a number (a model that diverged) does not:
it makes the mean unknown rather than better.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from fedtailor.protos.summary import DeviceRow, Summary
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.server.report.budgets import budget_checks, budget_met
from fedtailor.strategies.budget_check import Check

NO_VARIANT = "none"
OUTCOMES = (PROVEN, NOT_SHOWN_WORSE, REJECTED, FALLBACK, NO_VARIANT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFigures:
    """One device. Ratios are fp32 reference over deployed variant: above 1 is smaller, faster.

    `outcome` is the deployed variant's verdict, `fp32` where the personal model itself was kept, or `none`.
    `met` is None where the device has no variant or its budget sets no limit.
    """

    row: DeviceRow
    base: float | None
    personal: float | None
    variant: float | None
    outcome: str
    payload_ratio: float | None
    latency_ratio: float | None
    uplink_bytes_per_round: float | None
    checks: tuple[Check, ...]
    met: bool | None

    @property
    def device_id(self) -> str:
        return self.row.hardware.device_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A whole run. Scores are over the devices that have rows to test on; `outcomes` counts devices by outcome."""

    devices: tuple[DeviceFigures, ...]
    scored: int
    base_score: float | None
    personal_score: float | None
    variant_score: float | None
    worst_base_score: float | None
    worst_personal_score: float | None
    worst_variant_score: float | None
    payload_ratio_median: float | None
    latency_ratio_median: float | None
    uplink_bytes_per_device_round: float | None
    uplink_ratio: float | None
    outcomes: dict[str, int]
    budgets_met: int
    budgets_unmet: int


def figures(summary: Summary) -> Figures:
    """All figures of a run."""
    devices = tuple(device_figures(row) for row in summary.devices)
    base, personal, variant = (
        [score for device in devices if (score := getattr(device, name)) is not None]
        for name in ("base", "personal", "variant")
    )
    uplink = _per_answer(sum(r.uplink_bytes for r in summary.rounds), sum(r.answered for r in summary.rounds))
    counts = Counter(device.outcome for device in devices)
    return Figures(
        devices=devices,
        scored=len(base),
        base_score=_mean(base),
        personal_score=_mean(personal),
        variant_score=_mean(variant),
        worst_base_score=worst(base, summary.better),
        worst_personal_score=worst(personal, summary.better),
        worst_variant_score=worst(variant, summary.better),
        payload_ratio_median=_median(device.payload_ratio for device in devices),
        latency_ratio_median=_median(device.latency_ratio for device in devices),
        uplink_bytes_per_device_round=uplink,
        uplink_ratio=summary.base_fp32_bytes / uplink if uplink else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        budgets_met=sum(device.met is True for device in devices),
        budgets_unmet=sum(device.met is False for device in devices),
    )


def device_figures(row: DeviceRow) -> DeviceFigures:
    """One device's figures; scores are None where it had no rows to test on."""
    scores = row.scores if row.scores and row.scores.rows else None
    checks = budget_checks(row)
    return DeviceFigures(
        row=row,
        base=scores.base if scores else None,
        personal=scores.personal if scores else None,
        variant=scores.variant if scores else None,
        outcome=_outcome(row),
        payload_ratio=_payload_ratio(row),
        latency_ratio=row.variant.rung.latency_ratio if row.variant else None,
        uplink_bytes_per_round=_per_answer(row.uplink_bytes, row.rounds_answered),
        checks=checks,
        met=budget_met(checks) if row.variant else None,
    )


def worst(scores: Sequence[float], better: str) -> float | None:
    """The worst of the scores; not a number if one of them is not, None if there is none."""
    if not scores:
        return None
    if any(math.isnan(score) for score in scores):
        return math.nan
    return min(scores) if better == "higher" else max(scores)


def _outcome(row: DeviceRow) -> str:
    if row.variant is None:
        return NO_VARIANT
    rung = row.variant.rung
    return FALLBACK if rung.recipe == FALLBACK else rung.verdict.verdict


def _payload_ratio(row: DeviceRow) -> float | None:
    if row.variant is not None and row.variant.rung.recipe == FALLBACK:
        return 1.0  # it is the reference, whether or not a ladder was made
    if row.variant is None or row.ladder is None:
        return None
    deployed = row.variant.rung.efficiency.payload_bytes
    return row.ladder.reference.efficiency.payload_bytes / deployed if deployed else None


def _per_answer(total_bytes: int, answers: int) -> float | None:
    return total_bytes / answers if answers else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
