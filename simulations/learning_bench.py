"""The bench of learning: every training from every seed, an errand for a worker process, and what devices end with."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fedtailor.server.progress import Progress
from fedtailor.simulations.fleet import Fleet, fleet_table
from fedtailor.simulations.kept_runs import Shelf, carried_out, file_name
from fedtailor.simulations.learning_course import Intake, intake_of
from fedtailor.simulations.learning_finals import shared
from fedtailor.simulations.learning_methods import METHODS, OURS, TRAININGS, Method
from fedtailor.simulations.learning_newcomer import WAYS, Way
from fedtailor.simulations.learning_outcome import Ending, Outcome
from fedtailor.simulations.learning_paired import PairedRow, paired_rows
from fedtailor.simulations.learning_rows import (
    LearningRow,
    NewcomerRow,
    Run,
    Runs,
    learning_rows,
    newcomer_rows,
    runs_from,
)
from fedtailor.strategies.task import TASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which methods, from how many seeds, with how many devices a round, and which share of devices to hold out.

    `unseen` as in `intake_of`; `out` is a folder that keeps what was found.
    """

    methods: tuple[Method, ...]
    seeds: int
    per_round: int
    unseen: float | None = None
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One training from one seed, and the methods that end it; `fleet.job` says for how many rounds."""

    fleet: Fleet
    training: str
    methods: tuple[str, ...]
    per_round: int
    unseen: float | None
    seed: int

    @property
    def file(self) -> str:
        """Named by all that decides what comes of it, but for the code itself."""
        fleet = fleet_table(replace(self.fleet, workers=1))
        asked = {"fleet": fleet, "methods": self.methods, "per_round": self.per_round, "unseen": self.unseen}
        return file_name(f"{self.training}-seed{self.seed}", asked)


@dataclass(frozen=True, eq=False)
class _Trained:
    """A training that is over: what it led to, and the devices with rows to score methods on."""

    intake: Intake
    outcome: Outcome
    members: Sequence[Ending]
    newcomers: Sequence[Ending]
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The table, our method beside each other one, and what newcomers get from it."""

    rows: tuple[LearningRow, ...]
    paired: tuple[PairedRow, ...]
    newcomers: tuple[NewcomerRow, ...]


def bench_learning(fleet: Fleet, terms: Terms, progress: Progress) -> Found:
    """Every method from every seed.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used, or training diverged.
    """
    errands = _errands(fleet, terms)
    stage = f"{fleet.name}, {fleet.job.rounds} rounds"

    def told(done: int, found: Runs | None) -> None:
        note = "" if found is None else f"{', '.join(run.method for run in found.runs)}, seed {found.runs[0].seed}"
        progress(stage, done, len(errands), note)

    shelf = Shelf(folder=terms.out, read=runs_from)
    found = carried_out(carry_out, errands, shelf, fleet.workers, told)
    by_name = {(run.method, run.seed): run for each in found for run in each.runs}
    runs = [by_name[method.name, seed] for method in terms.methods for seed in range(terms.seeds)]
    return Found(
        rows=tuple(learning_rows(runs)),
        paired=tuple(paired_rows(runs, OURS)),
        newcomers=tuple(newcomer_rows(runs)),
    )


def carry_out(errand: Errand) -> tuple[str, Runs]:
    """The name of the errand's file, and what is kept in it; on one thread, for a process of its own."""
    torch.set_num_threads(1)
    intake = intake_of(errand.fleet, errand.per_round, errand.unseen, errand.seed)
    return errand.file, Runs(runs=run_training(intake, errand.training, [METHODS[name] for name in errand.methods]))


def run_training(intake: Intake, training: str, methods: Sequence[Method]) -> tuple[Run, ...]:
    """The training once, and what each of the methods that end it makes of it."""
    began = time.thread_time()
    outcome = TRAININGS[training](intake)
    took_s = time.thread_time() - began
    took_part = [Ending(intake, outcome, data) for data in intake.course.devices.values()]
    members = [ending for ending in took_part if len(ending.data.test)]
    newcomers = [Ending(intake, outcome, data, took_part) for data in intake.newcomers if len(data.test)]
    return tuple(_run(method, _Trained(intake, outcome, members, newcomers, took_s)) for method in methods)


def _errands(fleet: Fleet, terms: Terms) -> list[Errand]:
    """Seed by seed."""
    trainings = dict.fromkeys(method.training for method in terms.methods)
    return [
        Errand(
            fleet=fleet,
            training=training,
            methods=tuple(method.name for method in terms.methods if method.training == training),
            per_round=terms.per_round,
            unseen=terms.unseen,
            seed=seed,
        )
        for seed in range(terms.seeds)
        for training in trainings
    ]


def _run(method: Method, trained: _Trained) -> Run:
    began = time.thread_time()
    job, template = trained.intake.course.job, trained.intake.course.template
    finals = [(ending.data, method.final(ending)) for ending in trained.members]
    task = TASKS[template.model.kind]
    return Run(
        method=method.name,
        seed=job.seed,
        metric=task.metric,
        better=task.better,
        scores={data.device_id: final.score(data.test) for data, final in finals},
        rows={ending.data.device_id: len(ending.data.test) for ending in (*trained.members, *trained.newcomers)},
        finals=dict(Counter(final.way for _, final in finals)),
        unseen={} if trained.outcome.shared is None else _scores(shared, trained.newcomers),
        newcomers={name: _scores(way, trained.newcomers) for name, way in WAYS.items() if method.name == OURS},
        uplink_bytes=trained.outcome.uplink_bytes,
        downlink_bytes=trained.outcome.downlink_bytes,
        cpu_s=trained.cpu_s + time.thread_time() - began,
    )


def _scores(way: Way, endings: Sequence[Ending]) -> dict[str, float]:
    found = ((ending.data, way(ending)) for ending in endings)
    return {data.device_id: final.score(data.test) for data, final in found if final is not None}
