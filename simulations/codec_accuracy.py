"""Accuracy against bytes: every method from every seed, each an errand for a worker process."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch

from fedtailor.protos.samples import DeviceData
from fedtailor.server.progress import Progress
from fedtailor.simulations.codec_rows import Run
from fedtailor.simulations.course import Course, course_of
from fedtailor.simulations.federation import Federation, Wire
from fedtailor.simulations.fleet import Fleet, fleet_table
from fedtailor.simulations.kept_runs import Shelf, carried_out, file_name
from fedtailor.strategies.task import TASKS

LAST_ROUNDS = 5  # one base's score varies from round to round by more than methods differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which methods, how often, with how many devices a round; `out` is a folder that keeps what was found."""

    methods: tuple[Wire, ...]
    seeds: int
    per_round: int
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One method from one seed; `fleet.job` says for how many rounds."""

    fleet: Fleet
    method: Wire
    per_round: int
    seed: int

    @property
    def file(self) -> str:
        """Named by all that decides what comes of it, but for the code itself."""
        fleet = fleet_table(replace(self.fleet, workers=1))
        asked = {"fleet": fleet, "method": asdict(self.method), "per_round": self.per_round}
        return file_name(f"{self.method.name}-seed{self.seed}", asked)


def bench_accuracy(fleet: Fleet, terms: Terms, progress: Progress) -> list[Run]:
    """A run for every seed and method, seed by seed.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used, or a codec is not known.
    """
    errands = [
        Errand(fleet=fleet, method=method, per_round=terms.per_round, seed=seed)
        for seed in range(terms.seeds)
        for method in terms.methods
    ]
    stage = f"{fleet.name}, {terms.per_round} devices a round"

    def told(done: int, run: Run | None) -> None:
        progress(stage, done, len(errands), "" if run is None else f"{run.method}, seed {run.seed}")

    shelf = Shelf(folder=terms.out, read=lambda kept: Run(**kept))
    return carried_out(carry_out, errands, shelf, fleet.workers, told)


def carry_out(errand: Errand) -> tuple[str, Run]:
    """The name of the errand's file, and what is kept in it; on one thread, for a process of its own."""
    torch.set_num_threads(1)
    course = course_of(errand.fleet, errand.per_round, errand.seed)
    return errand.file, run_method(course, errand.method)


def run_method(course: Course, method: Wire) -> Run:
    """All rounds of one method, scored over the last of them."""
    began = time.thread_time()
    federation = Federation(course, method)
    scores = []
    for number in range(1, course.job.rounds + 1):
        federation.round()
        if number > course.job.rounds - LAST_ROUNDS:
            scores.append(_scores(federation, course.rows))
    on_validation, on_test = zip(*scores, strict=True)
    task = TASKS[course.template.model.kind]
    return Run(
        method=method.name,
        seed=course.job.seed,
        metric=task.metric,
        better=task.better,
        parameters=federation.schema.size,
        uplink_bytes=mean(federation.uplink_bytes),
        downlink_bytes=mean(federation.downlink_bytes),
        broadcast_bytes=mean(federation.broadcast_bytes),
        validation_score=mean(on_validation),
        test_score=mean(on_test),
        cpu_s=time.thread_time() - began,
    )


def _scores(federation: Federation, rows: DeviceData) -> tuple[float, float]:
    return federation.score(rows.validation), federation.score(rows.test)
