"""Virtual time to a score: synchronous rounds beside buffered commits, on one fleet with slow and absent devices.

All devices are of one class, so that who is slow is what the fleet says. What a base is scored on, the pooled
validation rows, takes no virtual time. Buffered training merges half as many updates again as the rounds that wait for
everyone: fast devices, which nobody keeps waiting, have the time for that.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from fedtailor.client.fleet_file import read_fleet_file
from fedtailor.client.profile_data import profile_data
from fedtailor.client.train import score_state
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import schema_of
from fedtailor.server.coordinator import train
from fedtailor.server.job import BUFFERED, Job, job_from, job_table
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.run import Run, start
from fedtailor.server.summarise import summarise
from fedtailor.simulations.app import conditions_of, virtual_app
from fedtailor.simulations.central import pooled
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.materialise import resolve
from fedtailor.simulations.reliability import round_s, straggles
from fedtailor.simulations.simulate import CONFIG, prepare
from fedtailor.simulations.virtual_grid import VirtualGrid
from fedtailor.simulations.workers import Workers
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, initial_state
from fedtailor.strategies.plan import choose_model_spec
from fedtailor.strategies.task import TASKS

DEVICE_CLASS = "phone"
FP32_BYTES = 4
CODED = 16  # an update is at most this part of a model in fp32: the codecs that a job chooses by itself
SLACK = 1.05  # of a deadline over the slowest device that is to make it
MORE_UPDATES = 1.5
CHECKS, LAST_CHECKS = 40, 3  # one base's score varies from commit to commit by more than ways to train differ
EVERYONE, CUT_OFF = "rounds, all waited for", "rounds, slow ones cut off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceRow:
    """One way to train on one seed. Seconds are virtual; `score` is the validation rows', a mean over the last checks.

    `buffered_s` is when buffered training had reached that score, at two checks in a row; None: never, or it is that
    row. `share` is this over `virtual_s`.
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
    buffered_s: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The base after so many commits and virtual seconds; `score` is the mean over the last checks."""

    commits: int
    virtual_s: float
    score: float


@dataclass(frozen=True, eq=False, slots=True)
class Course:
    """One seed's resolved fleet: its model, the rows that bases are scored on, how many devices are slow, and the
    deadlines of its rounds.
    """

    fleet: Fleet
    spec: ModelSpec
    validation: Samples
    slow: int
    deadlines_s: Mapping[str, float]


def bench_pace(fleet: Fleet, seeds: int, buffer: int, progress: Progress) -> list[PaceRow]:
    """Both modes for every seed; the fleet says who is slow and who drops out. `buffer`: see `Job`.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used. RoundError: nobody answered.
    """
    rows = []
    for seed in range(seeds):
        asked = replace(fleet, seed=seed, job=replace(fleet.job, seed=seed))
        with TemporaryDirectory() as folder:
            rows += _rows(course_of(asked, Path(folder)), buffer, Path(folder), progress)
    return rows


def course_of(fleet: Fleet, folder: Path) -> Course:
    """
    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    settled = resolve(fleet, folder)
    members = tuple(replace(member, device_class=DEVICE_CLASS) for member in settled.members)
    settled = replace(settled, members=members)
    file = read_fleet_file(settled.data or Path())
    devices = [file.device(member.device_id) for member in members]
    spec = choose_model_spec([profile_data(device) for device in devices], settled.job.model)
    slow = [straggles(conditions_of(settled, index), device.device_id) for index, device in enumerate(devices)]
    deadlines_s = _deadlines_s(settled, spec, devices, slow)
    return Course(settled, spec, pooled(devices).validation, sum(slow), deadlines_s)


def reached_s(checks: Sequence[Check], score: float, better: str) -> float | None:
    """When the score was reached at two checks in a row; None: never."""
    sign = 1 if better == "higher" else -1
    pairs = (one for one, two in pairwise(checks) if min(sign * one.score, sign * two.score) >= sign * score)
    return next((check.virtual_s for check in pairs), None)


def jobs_of(course: Course, buffer: int) -> dict[str, Job]:
    """By mode. A round is committed whoever answers: the cut-off leaves many out."""
    job, fleet = course.fleet.job, course.fleet
    rounds = {
        mode: replace(job, minimum_fraction=0.0, deadline_s=deadline_s)
        for mode, deadline_s in course.deadlines_s.items()
    }
    updates = MORE_UPDATES * job.rounds * len(fleet.members) * (1 - fleet.dropout)
    each = buffer or max(1, len(fleet.members) // 4)
    table = {**job_table(job), "mode": BUFFERED, "buffer": each, "rounds": max(1, round(updates / each))}
    del table["optimizer"]  # the mode's own
    return {**rounds, BUFFERED: replace(job_from(table), deadline_s=course.deadlines_s[EVERYONE])}


def trained(course: Course, job: Job, out: Path, told: Callable[[int], None]) -> tuple[list[Check], int]:
    """The base's way through a job, in a run folder of its own, and how many updates were merged.

    `told` hears of every commit.
    """
    fleet = prepare(replace(course.fleet, job=job), out)
    nodes = len(fleet.members)
    with Workers(virtual_app, min(fleet.workers, nodes)) as workers, open_registry(out) as registry:
        grid = VirtualGrid(InProcessGrid(workers, nodes=nodes, run_config={"config": str(out / CONFIG)}))
        way = _Way(course, max(1, job.rounds // CHECKS), told)
        way.run = start(grid, fleet.job, registry, way.progress, grid.clock)
        train(way.run)
        return way.checks, sum(row.answered for row in summarise(registry).rounds if row.committed)


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
    task, seed = TASKS[course.spec.kind], course.fleet.seed
    rows, ways = [], {}
    for at, (mode, job) in enumerate(jobs_of(course, buffer).items()):

        def told(done: int, mode: str = mode, total: int = job.rounds) -> None:
            progress(f"seed {seed}, {mode}", done, total, "")

        ways[mode], updates = trained(course, job, folder / str(at), told)
        last = ways[mode][-1]
        rows.append(
            PaceRow(
                data=course.fleet.name,
                model=course.spec.name,
                seed=seed,
                mode=mode,
                devices=len(course.fleet.members),
                slow_devices=course.slow,
                metric=task.metric,
                deadline_s=job.deadline_s,
                commits=last.commits,
                updates=updates,
                virtual_s=last.virtual_s,
                score=last.score,
            )
        )
    return [_compared(row, reached_s(ways[BUFFERED], row.score, task.better)) for row in rows]


def _compared(row: PaceRow, buffered_s: float | None) -> PaceRow:
    if row.mode == BUFFERED or buffered_s is None:
        return row
    return replace(row, buffered_s=buffered_s, share=buffered_s / row.virtual_s)


def _deadlines_s(
    fleet: Fleet, spec: ModelSpec, devices: Sequence[DeviceData], slow: Sequence[bool]
) -> dict[str, float]:
    """The shortest that let everyone, or everyone who is not slow, answer: a whole model down, a coded update up."""
    model_bytes = FP32_BYTES * schema_of(initial_state(spec, 0)).size
    work = macs(trace(build(spec), spec)) * fleet.job.train.epochs
    seconds = []
    for index, device in enumerate(devices):
        conditions = conditions_of(fleet, index)
        slowdown = conditions.slowdown * (conditions.slow_factor if slow[index] else 1)
        rows = float(work * len(device.train))
        link = {"down_bytes": model_bytes, "up_bytes": model_bytes // CODED}
        seconds.append(SLACK * round_s(conditions, slowdown, train_macs=rows, **link))
    others = [each for each, is_slow in zip(seconds, slow, strict=True) if not is_slow]
    return {EVERYONE: max(seconds), CUT_OFF: max(others, default=max(seconds))}
