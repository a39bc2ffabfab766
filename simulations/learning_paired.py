"""Ours beside each other method, device by device: what devices gain on average, and at least.

A cohort's devices are paired over the seeds that both methods ran: a device counts once, with the mean of its
differences. The bound is one-sided, by Student's t over devices (`mean_bound`), so it says what other devices like
these would gain, not what other training runs would.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

import numpy as np

from fedtailor.simulations.learning_rows import Run
from fedtailor.strategies.paired import mean_bound

CONFIDENCE = 0.95
COHORTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """In the metric's unit, above 0 where ours is better; `at_least` is None for a single device."""

    devices: int
    mean: float
    at_least: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRow:
    """`method` against another one: all devices, and quarters of them from where `against` does worst to where it does
    best; there are none with fewer than two devices each. `worse` of the devices lose.

    Quarters are formed by the very scores that they compare, so chance alone favours ours in the first of them and
    `against` in the last.
    """

    method: str
    against: str
    metric: str
    better: str
    everyone: Gain
    quarters: tuple[Gain, ...]
    worse: int


def paired_rows(runs: Sequence[Run], method: str) -> list[PairedRow]:
    """The method against each other one that has scores of the same devices, in order of appearance."""
    others = dict.fromkeys(run.method for run in runs if run.method != method)
    found = (_row(runs, method, against) for against in others)
    return [row for row in found if row is not None]


def _row(runs: Sequence[Run], method: str, against: str) -> PairedRow | None:
    gains, theirs = _by_device(runs, method, against)
    if not gains:
        return None
    metric, better = runs[0].metric, runs[0].better
    worst_first = sorted(gains, key=lambda name: (theirs[name] if better == "higher" else -theirs[name], name))
    cohorts = np.array_split(worst_first, COHORTS) if len(gains) >= 2 * COHORTS else []
    return PairedRow(
        method=method,
        against=against,
        metric=metric,
        better=better,
        everyone=_gain(gains.values()),
        quarters=tuple(_gain(gains[name] for name in names.tolist()) for names in cohorts),
        worse=sum(gain < 0 for gain in gains.values()),
    )


def _by_device(runs: Sequence[Run], method: str, against: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """What each device gains, and what it has with the other method: means over the seeds of both."""
    sign = 1 if runs[0].better == "higher" else -1
    ours, theirs = ({run.seed: run.judged for run in runs if run.method == name} for name in (method, against))
    seeds = [seed for seed in ours if seed in theirs]
    shared = dict.fromkeys(name for seed in seeds for name in ours[seed] if name in theirs[seed])
    pairs = {
        name: [
            (ours[seed][name], theirs[seed][name]) for seed in seeds if name in ours[seed].keys() & theirs[seed].keys()
        ]
        for name in shared
    }
    gains = {name: fmean(sign * (mine - other) for mine, other in scores) for name, scores in pairs.items()}
    return gains, {name: fmean(other for _, other in scores) for name, scores in pairs.items()}


def _gain(gains: Iterable[float]) -> Gain:
    values = np.array(list(gains))
    at_least = -mean_bound(-values, CONFIDENCE)
    return Gain(devices=len(values), mean=float(values.mean()), at_least=at_least if isfinite(at_least) else None)
