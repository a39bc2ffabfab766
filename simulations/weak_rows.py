"""What the bench of weak devices finds: one run of one way from one seed, and a way over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

Scores = Mapping[str, float]  # by device


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way from one seed. `base` are test scores of the shared base, a mean over the last rounds, `tuned` those of
    the personal models; `validation` are the base's on validation rows, which alone may be tuned by. `weak` are the
    devices of the weak tier. Bytes are means over a round of a device that was asked, envelopes included.
    """

    way: str
    seed: int
    metric: str
    better: str
    base: Scores
    tuned: Scores
    validation: Scores
    weak: tuple[str, ...]
    uplink_bytes: float
    weak_uplink_bytes: float | None
    downlink_bytes: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakRow:
    """A way over its seeds: means over devices of each tier, with the base and with their personal models.

    `worst` and `worst_tuned` are of the tier that does worse, seed by seed; `worst_spread` is the standard deviation of
    the former.
    """

    way: str
    metric: str
    better: str
    mean: float
    strong: float
    weak: float
    worst: float
    worst_spread: float
    mean_tuned: float
    strong_tuned: float
    weak_tuned: float
    worst_tuned: float
    validation_weak: float
    uplink_bytes: float
    weak_uplink_bytes: float | None
    downlink_bytes: float
    seeds: int
    cpu_s: float
    runs: tuple[Run, ...]


def run_from(kept: Mapping[str, Any]) -> Run:
    """The inverse of `asdict`, of what JSON makes of it."""
    return Run(**{**kept, "weak": tuple(kept["weak"])})


def weak_rows(runs: Sequence[Run]) -> list[WeakRow]:
    """One row for each way, in order of appearance."""
    return [_row([run for run in runs if run.way == way]) for way in dict.fromkeys(run.way for run in runs)]


def _row(runs: Sequence[Run]) -> WeakRow:
    first = runs[0]
    base, tuned = [_tiers(run, run.base) for run in runs], [_tiers(run, run.tuned) for run in runs]
    worst = min if first.better == "higher" else max
    own = [run.weak_uplink_bytes for run in runs if run.weak_uplink_bytes is not None]
    return WeakRow(
        way=first.way,
        metric=first.metric,
        better=first.better,
        mean=fmean(fmean(run.base.values()) for run in runs),
        strong=fmean(strong for strong, _ in base),
        weak=fmean(weak for _, weak in base),
        worst=fmean(map(worst, base)),
        worst_spread=stdev(map(worst, base)) if len(base) > 1 else 0.0,
        mean_tuned=fmean(fmean(run.tuned.values()) for run in runs),
        strong_tuned=fmean(strong for strong, _ in tuned),
        weak_tuned=fmean(weak for _, weak in tuned),
        worst_tuned=fmean(map(worst, tuned)),
        validation_weak=fmean(_tiers(run, run.validation)[1] for run in runs),
        uplink_bytes=fmean(run.uplink_bytes for run in runs),
        weak_uplink_bytes=fmean(own) if own else None,
        downlink_bytes=fmean(run.downlink_bytes for run in runs),
        seeds=len(runs),
        cpu_s=fmean(run.cpu_s for run in runs),
        runs=tuple(runs),
    )


def _tiers(run: Run, scores: Scores) -> tuple[float, float]:
    """The means of the strong tier and of the weak one."""
    strong, weak = ([score for name, score in scores.items() if (name in run.weak) == tier] for tier in (False, True))
    return fmean(strong), fmean(weak)
