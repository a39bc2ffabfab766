"""Nouns into rows: what the registry keeps of a run, beside its rounds.

Text from a device becomes one printable line: PostgreSQL refuses NUL, and nobody queries for line breaks.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from fedtailor.protos.messages import Profile, Scores, TailorReply
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import GatePlan, Plan
from fedtailor.protos.variant import Rung, Variant
from fedtailor.protos.verdict import Verdict
from fedtailor.protos.wire import to_bytes
from fedtailor.server.job import Job, job_json
from fedtailor.server.problem import one_line
from fedtailor.server.rows import (
    SCHEMA_VERSION,
    CohortRow,
    DeviceEntry,
    LadderRow,
    PlanRow,
    ProfileRow,
    RungRow,
    RunRow,
    ScoreRow,
    VariantRow,
)
from fedtailor.strategies.drift import moved
from fedtailor.strategies.gate import pool


def run_row(job: Job, model: ModelSpec, *, parameters: int, machine: str) -> RunRow:
    """What a run is, known once its model is chosen."""
    return RunRow(
        key=1,
        schema_version=SCHEMA_VERSION,
        name=job.name,
        about=job.about,
        machine=machine,
        job_json=job_json(job),
        spec=to_bytes(model),
        parameters=parameters,
        seconds=0.0,
    )


def save_profile(session: Session, profile: Profile) -> None:
    device_id = profile.data.device_id
    session.merge(DeviceEntry(device_id=device_id, device_class=one_line(profile.hardware.device_class)))
    session.flush()  # before what refers to it
    session.add(
        ProfileRow(
            device_id=device_id,
            round=profile.data.round,
            train_samples=profile.data.train_samples,
            moved=", ".join(moved(profile.data.drift)),
            profile=to_bytes(profile),
        )
    )


def save_plan(session: Session, plan: Plan, word: str) -> None:
    session.add(PlanRow(device_id=plan.device_id, word=word, plan=to_bytes(plan)))


def save_ladder(session: Session, reply: TailorReply) -> None:
    """A ladder with all its rungs, measurements and verdicts."""
    ladder = reply.ladder
    row = LadderRow(
        device_id=ladder.device_id,
        round=ladder.round,
        base_version=ladder.base_version,
        personal_method=one_line(ladder.personal_method),
        base_validation_score=ladder.base_validation_score,
        personal_validation_score=ladder.personal_validation_score,
        tailor_cpu_s=reply.tailor_cpu_s,
        ladder=to_bytes(ladder),
    )
    session.add(row)
    session.flush()  # gives the row its key
    session.add_all(_rung_row(row.key, at, rung) for at, rung in enumerate((ladder.reference, *ladder.rungs)))


def save_cohorts(
    session: Session, cohorts: Mapping[str, Sequence[Verdict]], gate: GatePlan, withdrawn: tuple[str, ...]
) -> None:
    """`cohorts`: recipe to the verdicts of all devices that tried it; what is kept is their pooled one."""
    for recipe, verdicts in cohorts.items():
        verdict = pool(verdicts, gate)
        session.merge(
            CohortRow(
                recipe=recipe,
                devices=len(verdicts),
                verdict=verdict.verdict,
                score_drop=verdict.drop,
                drop_bound=verdict.bound,
                withdrawn=recipe in withdrawn,
            )
        )


def save_scores(session: Session, device_id: str, base_version: int, scores: Scores) -> None:
    session.merge(
        ScoreRow(
            device_id=device_id,
            base_version=base_version,
            metric=one_line(scores.metric),
            test_rows=scores.rows,
            base=scores.base,
            personal=scores.personal,
            variant=scores.variant,
            scores=to_bytes(scores),
        )
    )


def save_variant(session: Session, variant: Variant) -> None:
    """Its payload is an artefact of this session already."""
    session.add(
        VariantRow(
            device_id=variant.device_id,
            base_version=variant.base_version,
            recipe=one_line(variant.rung.recipe),
            verdict=variant.rung.verdict.verdict,
            payload_sha256=variant.rung.payload_sha256,
            parent=one_line(variant.parent) if variant.parent else None,
            reason=one_line(variant.reason),
            variant=to_bytes(variant),
        )
    )


def _rung_row(ladder: int, position: int, rung: Rung) -> RungRow:
    cost, verdict = rung.efficiency, rung.verdict
    return RungRow(
        ladder=ladder,
        position=position,
        recipe=one_line(rung.recipe),
        precision=one_line(rung.precision),
        weight_bits=rung.weight_bits,
        validation_score=rung.validation_score,
        payload_bytes=cost.payload_bytes,
        file_bytes=cost.file_bytes,
        memory_bytes_measured=cost.memory_bytes_measured,
        latency_p50_us_measured=cost.latency_p50_us_measured,
        latency_ms_modelled=cost.latency_ms_modelled,
        energy_mj_modelled=cost.energy_mj_modelled,
        energy_mj_measured=cost.energy_mj_measured,
        latency_ratio=rung.latency_ratio,
        verdict=verdict.verdict,
        verdict_rows=verdict.rows,
        reference_only=verdict.reference_only,
        variant_only=verdict.variant_only,
        score_drop=verdict.drop,
        drop_bound=verdict.bound,
        unmet=one_line("; ".join(rung.unmet)),
        note=one_line(rung.note),
    )
