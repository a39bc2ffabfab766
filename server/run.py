"""A run under way: who takes part, by which plan, from which base; begun anew or resumed from the registry."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flwr.serverapp import Grid
from sqlalchemy import func, select

from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import PlanError, RegistryError, RoundError
from fedtailor.protos.messages import Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, Plan
from fedtailor.protos.schema import Schema, schema_of
from fedtailor.protos.summary import RoundRow
from fedtailor.protos.wire import from_bytes
from fedtailor.server.base import Base, base_from, checkpoint_of, first_base
from fedtailor.server.job import AUTO, Job, check_ensemble, job_json
from fedtailor.server.masks import masks_known
from fedtailor.server.peer import Peer
from fedtailor.server.progress import Progress
from fedtailor.server.proxy import fitted, read_proxy
from fedtailor.server.records import run_row, save_plan, save_profile
from fedtailor.server.registry import Registry, add_problems
from fedtailor.server.roster import PROFILE, Roster, enrol, wait_for_nodes
from fedtailor.server.rounds import Call, Clock, Exchange
from fedtailor.server.rows import DeviceEntry, ProblemRow, RoundEntry, RunRow, UpdateRow
from fedtailor.server.training import traffic_rows
from fedtailor.server.uplink import downlink_of, uplink_of
from fedtailor.strategies.choice.choice import choose_of
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.ring import LONGEST
from fedtailor.strategies.codec.sent_mask import NO_MASKS
from fedtailor.strategies.codec.shared_only import shared_part
from fedtailor.strategies.ensemble import Rows, Teacher
from fedtailor.strategies.label_prior import FleetLabels, fleet_labels
from fedtailor.strategies.merge.aggregate import aggregate_of
from fedtailor.strategies.merge.optimizer import optimizer_of
from fedtailor.strategies.models.model import initial_state, model_named
from fedtailor.strategies.plan import check_profile, choose_model_spec, choose_plan
from fedtailor.strategies.submodel.choose import DEPTH, exits_needed, trains


@dataclass(slots=True)
class Run:
    """What the stages of one run share. `plans` and `peers` are by device."""

    grid: Grid
    job: Job
    registry: Registry
    progress: Progress
    clock: Clock
    model: ModelSpec
    base: Base
    next_round: int
    roster: Roster
    plans: dict[str, Plan] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    proxy: Rows | None = None  # what the job's ensemble is asked; None without one

    @property
    def downlink(self) -> CodecSpec:
        """How the base's next step is written."""
        return downlink_of(self.job, self.labels)

    def teacher(self) -> Teacher | None:
        """One that has heard nobody yet, for a round."""
        return None if self.proxy is None else Teacher(self.model, self.proxy)

    def trainable(self, devices: Sequence[str]) -> list[str]:
        """Those with rows to train on, and a plan to train something."""
        return [device_id for device_id in self.with_rows(devices) if trains(self.plans[device_id].submodel)]

    @property
    def labels(self) -> FleetLabels:
        """Those of all devices that have joined so far."""
        return fleet_labels(profile.data.class_counts for profile in self.roster.profiles.values())

    def with_rows(self, devices: Sequence[str]) -> list[str]:
        """Those with rows to train on."""
        return [device_id for device_id in devices if self.roster.rows(device_id) > 0]


def start(grid: Grid, job: Job, registry: Registry, progress: Progress, clock: Clock) -> Run:
    """Enrol the fleet, and choose its model and initial base, or take up what the registry holds.

    Raises:
        RoundError: too few devices joined. PlanError: their data do not fit together, or no model takes it.
        RegistryError: the registry holds another job's run, or cannot be used. ConfigError, DataError: the job's
            ensemble cannot be asked.
    """
    check_names(job)
    check_ensemble(job)
    rows = read_proxy(Path(job.ensemble.proxy)) if job.ensemble.proxy else None
    stored = _stored_run(registry, job)
    model = from_bytes(ModelSpec, stored.spec, sender=registry.name) if stored else None
    roster = Roster()

    def accept(profile: Profile) -> None:
        if model is not None:
            check_profile(profile.data, model)

    call = Call(message_type=PROFILE, round=_profile_round(registry, job), deadline_s=job.deadline_s)
    found, joined = _gather(grid, job, progress, call=call, accept=accept, roster=roster, clock=clock)
    if model is None:
        model = _model([roster.profiles[device_id] for device_id in joined], job)
    proxy = None if rows is None else fitted(rows, model, source=job.ensemble.proxy)
    base, next_round = _resume(registry, model) if stored else _begin(registry, job, model)
    run = Run(grid, job, registry, progress, clock, model, base, next_round, roster, proxy=proxy)
    run.peers = _peers(registry)
    admit(run, found, joined, round_=next_round - 1)
    return run


def check_names(job: Job) -> None:
    """Whether this side knows the codecs, the choice of devices, the aggregate, the optimizer and the model of the job.

    Raises:
        PlanError: it does not; the line says what it knows.
    """
    for spec in (job.codec, job.downlink):
        if spec.name != AUTO:
            coder_of(spec)
        elif spec.args:
            raise PlanError(f"codec auto takes no parameters, got {', '.join(spec.args)}; name the codec that has them")
    choose_of(job.choice)
    aggregate_of(job.aggregate, Schema((), ()))
    optimizer_of(job.optimizer)
    if job.model is not None:
        model_named(job.model)


def join(run: Run, round_: int) -> None:
    """Enrol devices that have connected since, or have come back under another node id."""
    call = Call(message_type=PROFILE, round=round_, deadline_s=run.job.join_s)
    found, joined = enrol(
        run.grid, run.roster, call, lambda profile: check_profile(profile.data, run.model), clock=run.clock
    )
    admit(run, found, joined, round_=round_)


def admit(run: Run, found: Exchange, joined: Sequence[str], *, round_: int) -> None:
    """Plan for the devices that joined, and keep their profiles and plans."""
    if not joined and not found.problems:
        return
    labels = run.labels
    with run.registry.transaction() as session:
        for device_id in joined:
            save_profile(session, run.roster.profiles[device_id])
            save_plan(session, *planned(run, found, device_id, labels))
        for row in traffic_rows(found, PROFILE, round_):
            session.merge(row)
        told = set(session.scalars(select(ProblemRow.line).where(ProblemRow.stage == PROFILE)))  # by a process before
        fresh = [problem for problem in found.problems if problem.line not in told]
        add_problems(session, fresh, stage=PROFILE, round_=round_)


def planned(run: Run, found: Exchange, device_id: str, labels: FleetLabels) -> tuple[Plan, str]:
    """The device's plan from now on, by its profile and the fleet's labels, with its word; `found` hears why it
    trains nothing.
    """
    profile = run.roster.profiles[device_id]
    plan, word = choose_plan(profile, plan_template(run.job, run.model, labels), labels, weak=run.job.weak)
    run.plans[device_id] = plan
    if plan.submodel is not None and plan.submodel.note:
        found.note(device_id, f"device {device_id}: {plan.submodel.note}")
    return plan, word


def _model(profiles: Sequence[Profile], job: Job) -> ModelSpec:
    """The fleet's model, with the exits at which its weak devices stop."""
    spec = choose_model_spec([profile.data for profile in profiles], job.model)
    if job.weak != DEPTH:
        return spec
    rows = max(job.train.batch_size, job.personal.batch_size)
    limits = [profile.budget.train_ram_bytes for profile in profiles if profile.data.train_samples]
    return replace(spec, exits=exits_needed(spec, [(rows, limit) for limit in limits if limit is not None]))


def _gather(
    grid: Grid,
    job: Job,
    progress: Progress,
    *,
    call: Call,
    accept: Callable[[Profile], None],
    roster: Roster,
    clock: Clock,
) -> tuple[Exchange, list[str]]:
    nodes = wait_for_nodes(grid, job.minimum_devices, job.join_s, clock)
    if len(nodes) < job.minimum_devices:
        raise RoundError(
            f"{len(nodes)} devices joined within {job.join_s:g} s, the job needs {job.minimum_devices}; "
            "start more devices, or lower minimum_devices"
        )
    progress("profile", 0, len(nodes), "")

    found, joined = enrol(grid, roster, call, accept, clock=clock)
    progress("profile", len(joined), len(nodes), "")
    if len(joined) < job.minimum_devices:
        first = f"; first problem: {found.problems[0].line}" if found.problems else ""
        raise RoundError(
            f"{len(joined)} of {len(nodes)} devices sent a profile, the job needs {job.minimum_devices}{first}"
        )
    return found, joined


def _stored_run(registry: Registry, job: Job) -> RunRow | None:
    with registry.transaction() as session:
        stored = session.get(RunRow, 1)
    if stored is not None and stored.job_json != job_json(job):
        raise RegistryError(f"{registry.name}: holds the run of another job; give this run a folder of its own")
    return stored


def _profile_round(registry: Registry, job: Job) -> int:
    """0, or where a run goes on, the last round in which it asked for profiles."""
    with registry.transaction() as session:
        latest = session.scalars(select(func.max(RoundEntry.round))).one() or 0
    return latest // job.reprofile_every * job.reprofile_every if job.reprofile_every else 0


def _begin(registry: Registry, job: Job, model: ModelSpec) -> tuple[Base, int]:
    base = first_base(initial_state(model, job.seed))
    shared_part(base.state, job.local_parameters)  # or no round could be merged
    row = run_row(job, model, parameters=schema_of(base.state).size, machine=_machine())
    opening = RoundRow(
        round=0,
        base_version=0,
        committed=True,
        asked=0,
        answered=0,
        base_validation_score=None,
        train_loss=None,
        uplink_bytes=0,
        downlink_bytes=0,
        seconds=0.0,
    )
    registry.commit_round(opening, checkpoint_of(base), rows=[row])
    return base, 1


def _resume(registry: Registry, model: ModelSpec) -> tuple[Base, int]:
    checkpoints = registry.checkpoints(LONGEST + 1)
    if not checkpoints:
        raise RegistryError(f"{registry.name}: holds a run without a base; start it anew in another folder")
    base = base_from(checkpoints, schema_of(initial_state(model, 0)), sender=registry.name)
    with registry.transaction() as session:
        latest = session.scalars(select(func.max(RoundEntry.round))).one()
    return base, (latest or 0) + 1


def _peers(registry: Registry) -> dict[str, Peer]:
    with registry.transaction() as session:
        asked = RoundEntry.base_version == UpdateRow.base_version  # the last round from it, others were abandoned
        query = select(UpdateRow.device_id, func.max(RoundEntry.round)).join(RoundEntry, asked)
        query = query.group_by(UpdateRow.device_id)
        acknowledged = {row[0]: row[1] for row in session.execute(query)}
        masks = masks_known(session)
        return {
            device.device_id: Peer(
                acknowledged_round=acknowledged.get(device.device_id, 0),
                held_version=device.held_version,
                masks=masks.get(device.device_id, NO_MASKS),
            )
            for device in session.scalars(select(DeviceEntry))
        }


def plan_template(job: Job, model: ModelSpec, labels: FleetLabels) -> Plan:
    """What the plans of all devices of a fleet have in common."""
    uplink = uplink_of(job, schema_of(initial_state(model, job.seed)).size, labels)
    return Plan(
        device_id="",
        round=0,
        seed=job.seed,
        base_version=0,
        model=model,
        train=job.train,
        personal=job.personal,
        personal_parameters=(),
        recipes=job.recipes,
        codec=uplink.codec,
        feedback=uplink.feedback,
        gate=job.gate,
        budget=Budget(),
        downlink=downlink_of(job, labels),
        step_ahead=uplink.step_ahead,
        local_parameters=job.local_parameters,
    )


def _machine() -> str:
    return f"{platform.machine()} {platform.system()}, Python {platform.python_version()}"
