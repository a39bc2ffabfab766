"""What the bench of learning finds: one run of one method, a method over its seeds, and what newcomers get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, stdev
from typing import Any

Scores = Mapping[str, float]  # by device


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method from one seed. Scores are on each device's test rows, of which `rows` says how many.

    `scores` are of devices that took part and `finals` says how many of them ended with which kind of model; `unseen`
    are those of newcomers with the shared model, empty where there is none; `newcomers`: for each way that was tried,
    those of newcomers that could go it. Bytes are means over a round of a device, envelopes included; None where rows
    move, not models.
    """

    method: str
    seed: int
    metric: str
    better: str
    scores: Scores
    rows: Mapping[str, int]
    finals: Mapping[str, int]
    unseen: Scores
    newcomers: Mapping[str, Scores]
    uplink_bytes: float | None
    downlink_bytes: float | None
    cpu_s: float

    @property
    def judged(self) -> Scores:
        """What methods are compared by: devices that took part, or newcomers where no other has test rows."""
        return self.scores or self.unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The methods that share one training, from one seed."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over seeds, and the standard deviation of one; None where there is nothing to tell."""

    mean: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRow:
    """A method over its seeds: `mean` over devices, `mean_by_rows` over their test rows, `worst_decile` over the worst
    tenth of devices, `unseen` over newcomers. Devices are those of `Run.judged`; None without any, or without a model
    for them.

    `spread`, `worst_decile_spread` and `unseen_spread` are standard deviations over seeds. `cpu_s` is of one seed, the
    training that several methods share counted for each.
    """

    method: str
    metric: str
    better: str
    mean: float | None
    spread: float | None
    mean_by_rows: float | None
    worst_decile: float | None
    worst_decile_spread: float | None
    unseen: float | None
    unseen_spread: float | None
    bytes_per_device_round: float | None
    uplink_bytes: float | None
    downlink_bytes: float | None
    devices: int
    unseen_devices: int
    seeds: int
    cpu_s: float
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewcomerRow:
    """What a device gets that was never trained on, one way; `devices` of the first seed's newcomers could go it."""

    method: str
    way: str
    metric: str
    better: str
    mean: float | None
    spread: float | None
    devices: int
    seeds: int


def runs_from(kept: Mapping[str, Any]) -> Runs:
    """The inverse of `asdict`."""
    return Runs(runs=tuple(Run(**run) for run in kept["runs"]))


def learning_rows(runs: Sequence[Run]) -> list[LearningRow]:
    """One row for each method, in order of appearance."""
    return [_row([run for run in runs if run.method == name]) for name in dict.fromkeys(run.method for run in runs)]


def newcomer_rows(runs: Sequence[Run]) -> list[NewcomerRow]:
    """One row for each method and way that some newcomer could go, in order of appearance."""
    ways = dict.fromkeys((run.method, way) for run in runs for way, scores in run.newcomers.items() if scores)
    return [_newcomer_row([run for run in runs if run.method == method], way) for method, way in ways]


def worst_decile(scores: Sequence[float], better: str) -> float:
    """The mean of the worst tenth of the scores, at least one."""
    worst_first = sorted(scores, reverse=better == "lower")
    return fmean(worst_first[: ceil(len(scores) / 10)])


def spread(values: Sequence[float | None]) -> Spread:
    """Of one value for each seed; of nothing where a seed has none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Spread(mean=None, deviation=None)
    return Spread(mean=fmean(known), deviation=stdev(known) if len(known) > 1 else 0.0)


def _row(runs: Sequence[Run]) -> LearningRow:
    first = runs[0]
    means = spread([_mean(run.judged) for run in runs])
    worst = spread([worst_decile(list(run.judged.values()), run.better) if run.judged else None for run in runs])
    unseen = spread([_mean(run.unseen) for run in runs])
    up, down = spread([run.uplink_bytes for run in runs]).mean, spread([run.downlink_bytes for run in runs]).mean
    return LearningRow(
        method=first.method,
        metric=first.metric,
        better=first.better,
        mean=means.mean,
        spread=means.deviation,
        mean_by_rows=spread([_mean_by_rows(run) for run in runs]).mean,
        worst_decile=worst.mean,
        worst_decile_spread=worst.deviation,
        unseen=unseen.mean,
        unseen_spread=unseen.deviation,
        bytes_per_device_round=None if up is None or down is None else up + down,
        uplink_bytes=up,
        downlink_bytes=down,
        devices=len(first.judged),
        unseen_devices=len(first.unseen),
        seeds=len(runs),
        cpu_s=fmean(run.cpu_s for run in runs),
        runs=tuple(runs),
    )


def _newcomer_row(runs: Sequence[Run], way: str) -> NewcomerRow:
    found = spread([_mean(run.newcomers[way]) for run in runs])
    return NewcomerRow(
        method=runs[0].method,
        way=way,
        metric=runs[0].metric,
        better=runs[0].better,
        mean=found.mean,
        spread=found.deviation,
        devices=len(runs[0].newcomers[way]),
        seeds=len(runs),
    )


def _mean(scores: Scores) -> float | None:
    return fmean(scores.values()) if scores else None


def _mean_by_rows(run: Run) -> float | None:
    judged = run.judged
    return fmean(judged.values(), weights=[run.rows[name] for name in judged]) if judged else None
