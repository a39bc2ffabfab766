"""Accuracy against bytes: every method from every seed, each a task for a worker process.

What a task found is kept as a file, so that a bench that was interrupted takes up where it stopped.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch

from fedtailor.protos.samples import DeviceData
from fedtailor.server.progress import Progress
from fedtailor.simulations.codec_course import Course, course_of
from fedtailor.simulations.codec_federation import Federation
from fedtailor.simulations.codec_methods import Method
from fedtailor.simulations.codec_rows import Run
from fedtailor.simulations.fleet import Fleet, fleet_table
from fedtailor.simulations.task_pool import in_processes
from fedtailor.strategies.task import TASKS

LAST_ROUNDS = 5  # one base's score varies from round to round by more than methods differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which methods, how often, with how many devices a round; `out` is a folder that keeps what was found."""

    methods: tuple[Method, ...]
    seeds: int
    per_round: int
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One method from one seed; `fleet.job` says for how many rounds."""

    fleet: Fleet
    method: Method
    per_round: int
    seed: int

    @property
    def file(self) -> str:
        """Named by all that decides what comes of it, but for the code itself."""
        fleet = fleet_table(replace(self.fleet, workers=1))
        asked = {"fleet": fleet, "method": asdict(self.method), "per_round": self.per_round}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return f"{self.method.name}-seed{self.seed}-{digest[:12]}.json"


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
    found = {errand.file: run for errand in errands if (run := _kept(terms.out, errand)) is not None}
    missing = [errand for errand in errands if errand.file not in found]
    stage = f"{fleet.name}, {terms.per_round} devices a round"
    progress(stage, len(found), len(errands), "")
    for name, run in in_processes(carry_out, missing, fleet.workers):
        found[name] = run
        if terms.out is not None:
            _keep(terms.out / name, run)
        progress(stage, len(found), len(errands), f"{run.method}, seed {run.seed}")
    return [found[errand.file] for errand in errands]


def carry_out(errand: Errand) -> tuple[str, Run]:
    """The name of the errand's file, and what is kept in it; on one thread, for a process of its own."""
    torch.set_num_threads(1)
    course = course_of(errand.fleet, errand.per_round, errand.seed)
    return errand.file, run_method(course, errand.method)


def run_method(course: Course, method: Method) -> Run:
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


def _kept(out: Path | None, errand: Errand) -> Run | None:
    path = None if out is None else out / errand.file
    if path is None or not path.exists():
        return None
    return Run(**json.loads(path.read_text(encoding="utf-8")))


def _keep(path: Path, run: Run) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(run), indent=2), encoding="utf-8")
    part.replace(path)  # a bench that is killed here leaves no half of a file
