"""A made-up ladder of one device; a test replaces the figures it is about."""

from dataclasses import replace

import numpy as np
from small_variants import EFFICIENCY, REFERENCE, ladder

from fedtailor.protos.budget import Budget
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.variant import Rung
from fedtailor.simulations.optimised import Candidate, Optimised
from fedtailor.strategies.gate import judge

SPEC = ModelSpec(name="mlp", version=1, kind="classification", input_shape=(6,), outputs=3)
Y = np.arange(20) % 3


def rung(recipe: str, payload_bytes: int, *, lost: int = 0, ratio: float = 1.2, note: str = "", **costs: float) -> Rung:
    """A rung that gets `lost` of 20 rows wrong."""
    right = np.eye(3, dtype=np.float32)[Y]
    wrong = right.copy()
    wrong[:lost] = np.roll(right[:lost], 1, axis=1)
    return replace(
        REFERENCE,
        recipe=recipe,
        precision="int8",
        weight_bits=4.25,
        validation_score=1 - lost / 20,
        verdict=judge(right, wrong, Y, kind=SPEC.kind, gate=GatePlan()),
        latency_ratio=ratio,
        note=note,
        efficiency=replace(EFFICIENCY, payload_bytes=payload_bytes, file_bytes=2 * payload_bytes, **costs),
    )


def optimised(*rungs: Rung, chosen: str = "fp32", budget: Budget | None = None, test_rows: int = 20) -> Optimised:
    """These rungs beside a reference of 1,000 bytes."""
    samples = Samples(np.zeros((20, 6), np.float32), Y)
    tested = Samples(samples.x[:test_rows], Y[:test_rows])
    candidates = [
        Candidate(
            rung=one,
            payload=f"payload {one.recipe}".encode(),
            model=f"model {one.recipe}".encode(),
            test_score=one.validation_score if test_rows else None,
            test_interval=(one.validation_score - 0.1, one.validation_score + 0.05) if test_rows else None,
        )
        for one in (REFERENCE, *rungs)
    ]
    return Optimised(
        data=DeviceData("till-1", SPEC.kind, 3, samples, samples, tested),
        plan=plan_of(budget or Budget()),
        machine="a test",
        whole=False,
        ladder=ladder(*rungs),
        reference=candidates[0],
        rungs=tuple(candidates[1:]),
        chosen=next(candidate.rung for candidate in candidates if candidate.rung.recipe == chosen),
        reason="the smallest of 2 that may run and meet the budget",
        problems=("recipe 'x9' on device till-1: too hard",),
    )


def plan_of(budget: Budget) -> Plan:
    return Plan(
        device_id="till-1",
        round=0,
        seed=0,
        base_version=0,
        model=SPEC,
        train=TrainPlan(epochs=1, batch_size=8, learning_rate=0.1),
        personal=PersonalPlan(method="shared", epochs=1, batch_size=8, learning_rate=0.1),
        personal_parameters=(),
        recipes=(),
        codec=CodecSpec(name="none", version=1),
        feedback=False,
        gate=GatePlan(),
        downlink=CodecSpec(name="fp32", version=1),
        budget=budget,
    )
