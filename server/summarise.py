"""A run in figures, read from its registry: at any moment, finished or not."""

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from fedtailor.protos.errors import RegistryError
from fedtailor.protos.messages import Profile, Scores
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.summary import DeviceRow, DriftRow, RoundRow, Summary
from fedtailor.protos.variant import Ladder, Variant
from fedtailor.protos.wire import from_bytes
from fedtailor.server.certify import certify_fleet
from fedtailor.server.job import job_from_json
from fedtailor.server.registry import Registry
from fedtailor.server.rows import (
    CohortRow,
    LadderRow,
    PlanRow,
    ProblemRow,
    ProfileRow,
    RoundEntry,
    RunRow,
    ScoreRow,
    TrafficRow,
    VariantRow,
)
from fedtailor.server.training import TRAIN
from fedtailor.strategies.task import TASKS

FP32_BYTES = 4


def summarise(registry: Registry) -> Summary:
    """The run's rounds and devices, devices sorted by id.

    Raises:
        RegistryError: it holds no run, or cannot be read. DecodeError: a row is damaged.
    """
    with registry.transaction() as session:
        run = session.get(RunRow, 1)
        if run is None:
            raise RegistryError(f"{registry.name}: holds no run yet; run a job into it first")
        model = from_bytes(ModelSpec, run.spec, sender=registry.name)
        job = job_from_json(run.job_json)
        codec = _codec(session, registry.name)
        task = TASKS[model.kind]
        devices = _devices(session, registry.name)
        withdrawn = session.scalars(select(CohortRow.recipe).where(CohortRow.withdrawn).order_by(CohortRow.recipe))
        return Summary(
            name=run.name,
            about=run.about,
            kind=model.kind,
            metric=task.metric,
            better=task.better,
            model=f"{model.name} v{model.version}, {run.parameters:,} parameters",
            codec=codec,
            base_fp32_bytes=FP32_BYTES * run.parameters,
            seed=job.seed,
            machine=run.machine,
            rounds=_rounds(session),
            devices=devices,
            gate=job.gate,
            withdrawn=tuple(withdrawn),
            seconds=run.seconds,
            certificates=certify_fleet(devices, model.kind, job.gate, job.seed),
        )


def _codec(session: Session, sender: str) -> str:
    """What the first device was told to write its updates in; devices that join later may be told another."""
    first = session.scalars(select(PlanRow.plan).order_by(PlanRow.key).limit(1)).first()
    if first is None:
        return ""
    codec = from_bytes(Plan, first, sender=sender).codec
    return f"{codec.name} v{codec.version}"


def _rounds(session: Session) -> tuple[RoundRow, ...]:
    problems: defaultdict[int, list[str]] = defaultdict(list)
    for row in session.scalars(select(ProblemRow).where(ProblemRow.stage == TRAIN).order_by(ProblemRow.key)):
        problems[row.round].append(row.line)
    entries = session.scalars(select(RoundEntry).where(RoundEntry.round > 0).order_by(RoundEntry.round))
    return tuple(
        RoundRow(
            round=entry.round,
            base_version=entry.base_version,
            committed=entry.base_sha256 is not None,
            asked=entry.asked,
            answered=entry.answered,
            base_validation_score=entry.base_validation_score,
            train_loss=entry.train_loss,
            uplink_bytes=entry.uplink_bytes,
            downlink_bytes=entry.downlink_bytes,
            seconds=entry.seconds,
            problems=tuple(problems[entry.round]),
        )
        for entry in entries
    )


def _devices(session: Session, sender: str) -> tuple[DeviceRow, ...]:
    profiles = {row.device_id: row.profile for row in session.scalars(select(ProfileRow).order_by(ProfileRow.key))}
    words = {row.device_id: row.word for row in session.scalars(select(PlanRow).order_by(PlanRow.key))}
    ladders = {row.device_id: row.ladder for row in session.scalars(select(LadderRow).order_by(LadderRow.key))}
    variants = {row.device_id: row.variant for row in session.scalars(select(VariantRow).order_by(VariantRow.key))}
    scores = {row.device_id: row.scores for row in session.scalars(select(ScoreRow).order_by(ScoreRow.base_version))}
    drifts = _drifts(session, sender)
    problems: defaultdict[str | None, list[str]] = defaultdict(list)
    for row in session.scalars(select(ProblemRow).where(ProblemRow.stage != TRAIN).order_by(ProblemRow.key)):
        problems[row.device_id].append(row.line)
    traffic = _traffic(session)
    rows = []
    for device_id in sorted(profiles):
        profile = from_bytes(Profile, profiles[device_id], sender=sender)
        answered, uplink_bytes, downlink_bytes = traffic.get(device_id, (0, 0, 0))
        ladder, variant, score = ladders.get(device_id), variants.get(device_id), scores.get(device_id)
        rows.append(
            DeviceRow(
                hardware=profile.hardware,
                data=profile.data,
                budget=profile.budget,
                plan=words.get(device_id, ""),
                scores=from_bytes(Scores, score, sender=sender) if score is not None else None,
                ladder=from_bytes(Ladder, ladder, sender=sender) if ladder is not None else None,
                variant=from_bytes(Variant, variant, sender=sender) if variant is not None else None,
                rounds_answered=answered,
                uplink_bytes=uplink_bytes,
                downlink_bytes=downlink_bytes,
                problems=tuple(problems[device_id]),
                drifts=tuple(drifts[device_id].values()),
            )
        )
    return tuple(rows)


def _drifts(session: Session, sender: str) -> defaultdict[str, dict[int, DriftRow]]:
    """Where a device's data had moved, by round; a run that goes on may find it twice."""
    found: defaultdict[str, dict[int, DriftRow]] = defaultdict(dict)
    for row in session.scalars(select(ProfileRow).where(ProfileRow.moved != "").order_by(ProfileRow.key)):
        drift = from_bytes(Profile, row.profile, sender=sender).data.drift
        if drift is not None:
            found[row.device_id][row.round] = DriftRow(round=row.round, parts=tuple(row.moved.split(", ")), drift=drift)
    return found


def _traffic(session: Session) -> dict[str, tuple[int, int, int]]:
    """Rounds answered, uplink and downlink bytes of each device, over the rounds of training."""
    totals: dict[str, tuple[int, int, int]] = {}
    for row in session.scalars(select(TrafficRow).where(TrafficRow.stage == TRAIN)):
        answered, up, down = totals.get(row.device_id, (0, 0, 0))
        totals[row.device_id] = (answered + row.answered, up + row.uplink_bytes, down + row.downlink_bytes)
    return totals
