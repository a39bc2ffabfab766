"""A run under way: who takes part, by which plan, from which base; begun anew or resumed from the registry."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flwr.serverapp import Grid
from sqlalchemy import func, select

from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import PlanError, RegistryError, RoundError
from fedtailor.protos.messages import Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import schema_of
from fedtailor.protos.summary import RoundRow
from fedtailor.protos.wire import from_bytes
from fedtailor.server.base import Base, base_from, checkpoint_of, first_base
from fedtailor.server.job import AUTO, Job, job_json
from fedtailor.server.peer import Peer
from fedtailor.server.progress import Progress
from fedtailor.server.records import run_row, save_plan, save_profile
from fedtailor.server.registry import Registry, add_problems
from fedtailor.server.roster import PROFILE, Roster, enrol, wait_for_nodes
from fedtailor.server.rounds import Call, Clock, Exchange
from fedtailor.server.rows import DeviceEntry, RoundEntry, RunRow, UpdateRow
from fedtailor.server.training import traffic_rows
from fedtailor.server.uplink import uplink_of
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.ring import LONGEST
from fedtailor.strategies.codec.shared_only import shared_part
from fedtailor.strategies.models.model import initial_state, model_named
from fedtailor.strategies.plan import check_profile, choose_model_spec, choose_plan, fleet_counts


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

    def trainable(self, devices: Sequence[str]) -> list[str]:
        """Those with rows to train on."""
        return [device_id for device_id in devices if self.roster.rows(device_id) > 0]


def start(grid: Grid, job: Job, registry: Registry, progress: Progress, clock: Clock) -> Run:
    """Enrol the fleet, and choose its model and initial base, or take up what the registry holds.

    Raises:
        RoundError: too few devices joined. PlanError: their data do not fit together, or no model takes it.
        RegistryError: the registry holds another job's run, or cannot be used.
    """
    check_names(job)
    stored = _stored_run(registry, job)
    model = from_bytes(ModelSpec, stored.spec, sender=registry.name) if stored else None
    roster = Roster()

    def accept(profile: Profile) -> None:
        if model is not None:
            check_profile(profile.data, model)

    found, joined = _gather(grid, job, progress, accept=accept, roster=roster, clock=clock)
    if model is None:
        model = choose_model_spec([roster.profiles[device_id].data for device_id in joined], job.model)
    base, next_round = _resume(registry, model) if stored else _begin(registry, job, model)
    run = Run(grid, job, registry, progress, clock, model, base, next_round, roster)
    run.peers = _peers(registry)
    admit(run, found, joined, round_=next_round - 1)
    return run


def check_names(job: Job) -> None:
    """Whether this side knows the codecs and the model that the job names.

    Raises:
        PlanError: it does not; the line says what it knows.
    """
    if job.codec.name != AUTO:
        coder_of(job.codec)
    elif job.codec.args:
        raise PlanError(
            f"codec auto takes no parameters, got {', '.join(job.codec.args)}; name the codec that has them"
        )
    coder_of(job.downlink)
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
    counts = fleet_counts([profile.data for profile in run.roster.profiles.values()])
    with run.registry.transaction() as session:
        for device_id in joined:
            profile = run.roster.profiles[device_id]
            plan, word = choose_plan(profile, plan_template(run.job, run.model), counts)
            run.plans[device_id] = plan
            save_profile(session, profile)
            save_plan(session, plan, word)
        for row in traffic_rows(found, PROFILE, round_):
            session.merge(row)
        add_problems(session, found.problems, stage=PROFILE, round_=round_)


def _gather(
    grid: Grid, job: Job, progress: Progress, *, accept: Callable[[Profile], None], roster: Roster, clock: Clock
) -> tuple[Exchange, list[str]]:
    nodes = wait_for_nodes(grid, job.minimum_devices, job.join_s, clock)
    if len(nodes) < job.minimum_devices:
        raise RoundError(
            f"{len(nodes)} devices joined within {job.join_s:g} s, the job needs {job.minimum_devices}; "
            "start more devices, or lower minimum_devices"
        )
    progress("profile", 0, len(nodes), "")

    call = Call(message_type=PROFILE, round=0, deadline_s=job.deadline_s)
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
        query = select(UpdateRow.device_id, func.max(UpdateRow.round)).group_by(UpdateRow.device_id)
        acknowledged = {row[0]: row[1] for row in session.execute(query)}
        return {
            device.device_id: Peer(
                acknowledged_round=acknowledged.get(device.device_id, 0), held_version=device.held_version
            )
            for device in session.scalars(select(DeviceEntry))
        }


def plan_template(job: Job, model: ModelSpec) -> Plan:
    uplink = uplink_of(job, schema_of(initial_state(model, job.seed)).size)
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
        downlink=job.downlink,
        step_ahead=uplink.step_ahead,
        local_parameters=job.local_parameters,
    )


def _machine() -> str:
    return f"{platform.machine()} {platform.system()}, Python {platform.python_version()}"
