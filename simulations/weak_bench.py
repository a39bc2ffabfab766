"""The bench of weak devices: what a fleet of two tiers gains by letting the weak one train what it can."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

from fedtailor.client.personalise import PRIOR, SHARED, personalise
from fedtailor.client.profile_data import profile_data
from fedtailor.client.train import score_state
from fedtailor.protos.errors import DataError
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import State
from fedtailor.server.progress import Progress
from fedtailor.simulations.course import course_of
from fedtailor.simulations.federation import Federation, Wire
from fedtailor.simulations.fleet import Fleet, fleet_table
from fedtailor.simulations.kept_runs import Shelf, carried_out, file_name
from fedtailor.simulations.weak_rows import Run, WeakRow, run_from, weak_rows
from fedtailor.simulations.weak_tiers import weak_devices
from fedtailor.simulations.weak_ways import ALL_STRONG, WAYS, TieredCourse, course_of_way
from fedtailor.strategies.models.model import head_of
from fedtailor.strategies.plan import choose_personal, for_round
from fedtailor.strategies.task import TASKS

LAST_ROUNDS = 5  # one base's score varies from round to round by more than ways differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How many seeds, with how many devices a round; a way that leaves devices out asks the same share of the rest.

    `proxy_devices` take part in no way: the ensemble is asked about their rows. `out` is a folder that keeps what was
    found.
    """

    seeds: int
    per_round: int
    proxy_devices: int
    ways: tuple[str, ...] = WAYS
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One way from one seed; `fleet.job` says for how many rounds."""

    fleet: Fleet
    way: str
    per_round: int
    proxy_devices: int
    seed: int

    @property
    def file(self) -> str:
        """Named by all that decides what comes of it, but for the code itself."""
        asked = {
            "fleet": fleet_table(replace(self.fleet, workers=1)),
            "way": self.way,
            "per_round": self.per_round,
            "proxy_devices": self.proxy_devices,
        }
        return file_name(f"{self.way.replace(' ', '-')}-seed{self.seed}", asked)


def bench_weak(fleet: Fleet, terms: Terms, progress: Progress) -> list[WeakRow]:
    """A row for each way.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used, or its model has no half to train.
    """
    errands = [
        Errand(fleet=fleet, way=way, per_round=terms.per_round, proxy_devices=terms.proxy_devices, seed=seed)
        for seed in range(terms.seeds)
        for way in terms.ways
    ]

    def told(done: int, run: Run | None) -> None:
        progress(
            f"{fleet.name}, in two tiers", done, len(errands), "" if run is None else f"{run.way}, seed {run.seed}"
        )

    shelf = Shelf(folder=terms.out, read=run_from)
    return weak_rows(carried_out(carry_out, errands, shelf, fleet.workers, told))


def carry_out(errand: Errand) -> tuple[str, Run]:
    """The name of the errand's file, and what is kept in it; on one thread, for a process of its own."""
    torch.set_num_threads(1)
    course = course_of(errand.fleet, errand.per_round, errand.seed, proxy_devices=errand.proxy_devices)
    weak = weak_devices(course.devices, errand.seed)
    if not weak:
        raise DataError(f"fleet {errand.fleet.name!r}: expected two devices with rows to train on, or more, got one")
    return errand.file, run_way(course_of_way(course, weak, errand.way), errand.way, weak)


def run_way(course: TieredCourse, way: str, weak: frozenset[str]) -> Run:
    """All rounds of one way, scored over the last of them, and every device's personal model."""
    began = time.thread_time()
    federation = Federation(course, Wire(name=way, uplink=None, downlink=course.template.downlink))
    on_test, on_validation, sent = [], [], []
    for number in range(1, course.job.rounds + 1):
        federation.round()
        sent += list(course.plans(number))
        if number > course.job.rounds - LAST_ROUNDS:
            on_test.append(_scores(course, federation.state, "test"))
            on_validation.append(_scores(course, federation.state, "validation"))
    task, up = TASKS[course.template.model.kind], federation.uplink_bytes
    of_weak = [took for name, took in zip(sent, up, strict=True) if name in weak]
    return Run(
        way=way,
        seed=course.job.seed,
        metric=task.metric,
        better=task.better,
        base={name: fmean(each[name] for each in on_test) for name in on_test[0]},
        tuned=_tuned(course, federation.state, frozenset() if way == ALL_STRONG else weak),
        validation={name: fmean(each[name] for each in on_validation) for name in on_validation[0]},
        weak=tuple(sorted(weak)),
        uplink_bytes=fmean(up),
        weak_uplink_bytes=fmean(of_weak) if of_weak else None,
        downlink_bytes=fmean(federation.downlink_bytes),
        cpu_s=time.thread_time() - began,
    )


def personal_plan(course: TieredCourse, name: str, *, weak: bool) -> Plan:
    """How the job personalises this device; one that is too small for a step of the whole model trains the head."""
    data, job = profile_data(course.devices[name]), course.job
    personal, _ = choose_personal(data, course.labels, job.personal)
    if weak and personal.method not in (SHARED, PRIOR):
        personal = replace(personal, method="head")
    plan = replace(
        course.template,
        device_id=name,
        personal=personal,
        personal_parameters=head_of(course.template.model) if personal.method == "head" else (),
        label_prior=course.priors[name],
    )
    return for_round(plan, seed=job.seed, round_=job.rounds, base_version=job.rounds)


def _scores(course: TieredCourse, state: State, split: str) -> dict[str, float]:
    """Of every device of a tier with rows in the split."""
    rows = {name: getattr(course.devices[name], split) for name in course.tiers}
    return {name: score_state(state, course.template.model, each) for name, each in rows.items() if len(each)}


def _tuned(course: TieredCourse, state: State, weak: frozenset[str]) -> dict[str, float]:
    found = {}
    for name in course.tiers:
        data = course.devices[name]
        if len(data.test):
            own = personalise(state, data, personal_plan(course, name, weak=name in weak)).state
            found[name] = score_state(own, course.template.model, data.test)
    return found
