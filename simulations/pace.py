"""Virtual time to a score: synchronous rounds beside buffered commits, on one fleet with slow and absent devices.

What a base is scored on, the pooled validation rows, takes no virtual time.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from fedtailor.client.train import score_state
from fedtailor.server.coordinator import train
from fedtailor.server.job import Job
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.run import Run, start
from fedtailor.server.summarise import summarise
from fedtailor.simulations.app import virtual_app
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.pace_course import Course, course_of, jobs_of
from fedtailor.simulations.simulate import CONFIG, prepare
from fedtailor.simulations.virtual_grid import VirtualGrid
from fedtailor.simulations.workers import Workers
from fedtailor.strategies.task import TASKS

CHECKS, LAST_CHECKS = 40, 3  # one base's score varies from commit to commit by more than ways to train differ


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceRow:
    """One way to train on one seed. Seconds are virtual; `score` is the validation rows', a mean over the last checks.

    `reached_s` is when this way had reached the score with which the rounds that wait for everyone end, at two checks
    in a row, None: never. `share` is this over the time of those rounds.
    """

    data: str
    model: str
    seed: int
    mode: str
    devices: int
    slow_devices: int
    metric: str
    deadline_s: float
    commits: int
    updates: int
    virtual_s: float
    score: float
    reached_s: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """The base after so many commits and virtual seconds; `score` is the mean over the last checks."""

    commits: int
    virtual_s: float
    score: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The base's way through a job, and how many updates were merged on it."""

    checks: Sequence[Check]
    updates: int


def bench_pace(fleet: Fleet, seeds: int, buffer: int, progress: Progress) -> list[PaceRow]:
    """Every way for every seed; the fleet says who is slow and who drops out. `buffer`: see `Job`.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used, or are too few devices'. RoundError: nobody
            answered.
    """
    rows = []
    for seed in range(seeds):
        asked = replace(fleet, seed=seed, job=replace(fleet.job, seed=seed))
        with TemporaryDirectory() as folder:
            rows += _rows(course_of(asked, Path(folder)), buffer, Path(folder), progress)
    return rows


def reached_s(checks: Sequence[Check], score: float, better: str) -> float | None:
    """When the score was reached at two checks in a row; None: never."""
    sign = 1 if better == "higher" else -1
    pairs = (one for one, two in pairwise(checks) if min(sign * one.score, sign * two.score) >= sign * score)
    return next((check.virtual_s for check in pairs), None)


def trained(course: Course, job: Job, out: Path, told: Callable[[int], None]) -> Trained:
    """A job, in a run folder of its own; `told` hears of every commit."""
    fleet = prepare(replace(course.fleet, job=job), out)
    nodes = len(fleet.members)
    with Workers(virtual_app, min(fleet.workers, nodes)) as workers, open_registry(out) as registry:
        grid = VirtualGrid(InProcessGrid(workers, nodes=nodes, run_config={"config": str(out / CONFIG)}))
        way = _Way(course, max(1, job.rounds // CHECKS), told)
        way.run = start(grid, fleet.job, registry, way.progress, grid.clock)
        train(way.run)
        return Trained(way.checks, sum(row.answered for row in summarise(registry).rounds if row.committed))


class _Way:
    """Scores the base now and then, as the run tells of its progress."""

    def __init__(self, course: Course, every: int, told: Callable[[int], None]) -> None:
        self.checks: list[Check] = []
        self.run: Run | None = None
        self._scores: deque[float] = deque(maxlen=LAST_CHECKS)
        self._course = course
        self._every = every
        self._told = told

    def progress(self, _stage: str, done: int, total: int, _note: str) -> None:
        if self.run is None:  # still profiling
            return
        self._told(done)
        if done % self._every == 0 or done == total:
            self._scores.append(score_state(self.run.base.public.state, self._course.spec, self._course.validation))
            self.checks.append(Check(done, self.run.clock.now(), mean(self._scores)))


def _rows(course: Course, buffer: int, folder: Path, progress: Progress) -> list[PaceRow]:
    """The way that waits for everyone comes first: its score is what the others are to reach."""
    rows: list[PaceRow] = []
    for at, (mode, job) in enumerate(jobs_of(course, buffer).items()):

        def told(done: int, mode: str = mode, total: int = job.rounds) -> None:
            progress(f"seed {course.fleet.seed}, {mode}", done, total, "")

        way = trained(course, job, folder / str(at), told)
        rows.append(_row(course, job, mode, way, waiting=rows[0] if rows else None))
    return rows


def _row(course: Course, job: Job, mode: str, way: Trained, *, waiting: PaceRow | None) -> PaceRow:
    task, last = TASKS[course.spec.kind], way.checks[-1]
    score, whole_s = (waiting.score, waiting.virtual_s) if waiting else (last.score, last.virtual_s)
    there_s = reached_s(way.checks, score, task.better)
    return PaceRow(
        data=course.fleet.name,
        model=course.spec.name,
        seed=course.fleet.seed,
        mode=mode,
        devices=len(course.fleet.members),
        slow_devices=sum(course.slow),
        metric=task.metric,
        deadline_s=job.deadline_s,
        commits=last.commits,
        updates=way.updates,
        virtual_s=last.virtual_s,
        score=last.score,
        reached_s=there_s,
        share=None if there_s is None else there_s / whole_s,
    )
