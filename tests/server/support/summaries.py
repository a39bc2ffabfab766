"""Made-up runs that look like real ones: for tests, and for looking at tables and pages."""

import math
from dataclasses import replace

import numpy as np
from variants import FP32_BYTES, deployed, hardware, ladder_of, verdict

from fedtailor.protos.budget import Budget
from fedtailor.protos.certificate import Certificates
from fedtailor.protos.data_profile import DataProfile, Drift, Shift
from fedtailor.protos.messages import Scores
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.summary import DeviceRow, RoundRow, Summary
from fedtailor.server.certify import certify_fleet

CLASSES = (
    ("phone-high", 1.0, 8.0),
    ("phone-mid", 2.1, 21.0),
    ("watch", 6.5, 38.0),
    ("retail-camera", 4.2, 30.0),
    ("gateway", 1.6, 55.0),
    ("sensor-node", 19.0, 12.0),
)
WITHDRAWN = ("w25-fp32",)


def device_row(index, rng, *, fleet=CLASSES):
    device_class, slowdown, energy = fleet[index % len(fleet)]
    hw = hardware(f"watch-{index + 1:02d}", device_class, slowdown, energy)
    personal = float(np.clip(rng.normal(0.972, 0.016), 0.9, 0.995))
    base = personal - abs(float(rng.normal(0.04, 0.02)))
    budget = Budget(
        latency_ms=(0.05, 0.2, 0.3, 0.25, 0.1, 0.35)[index % 6],
        size_bytes=16_000 if device_class != "gateway" else None,
        peak_ram_bytes=1_000_000,
        energy_mj=0.05,
        uplink_bytes=40_000,
    )
    ladder = ladder_of(hw, personal, rng, budget_ms=budget.latency_ms)
    variant = deployed(ladder, withdrawn=WITHDRAWN)
    return DeviceRow(
        hardware=hw,
        data=data(hw.device_id, rng),
        budget=budget,
        plan="finetune",
        scores=Scores(
            metric="accuracy",
            better="higher",
            rows=310,
            base=base,
            personal=personal,
            variant=personal - variant.rung.verdict.drop + float(rng.normal(0, 0.002)),
        ),
        ladder=ladder,
        variant=variant,
        rounds_answered=40 - (index == 3) * 4,
        uplink_bytes=29_900 * 40,
        downlink_bytes=FP32_BYTES * 40,
        problems=("round 7: no answer within 20 s; the update of round 6 counts",) if index == 3 else (),
    )


def data(device_id, rng, classes=7):
    counts = tuple(int(n) for n in rng.integers(14, 70, classes))
    return DataProfile(
        device_id=device_id,
        kind="classification",
        sample_shape=(100, 6),
        outputs=classes,
        train_samples=sum(counts),
        validation_samples=200,
        class_counts=counts,
        feature_means=(0.1,) * 6,
        feature_variances=(1.2,) * 6,
        drift=Drift(label=Shift(size=0.04, level=0.6), feature=Shift(size=0.1, level=1.0)),
    )


def round_rows(rounds, devices, rng):
    rows = []
    for number in range(1, rounds + 1):
        answered = devices - (number % 9 == 7)
        score = 0.95 - 0.75 * math.exp(-number / 6) + float(rng.normal(0, 0.006))
        rows.append(
            RoundRow(
                round=number,
                base_version=number,
                committed=True,
                asked=devices,
                answered=answered,
                base_validation_score=score,
                train_loss=1.6 * math.exp(-number / 9) + 0.1,
                uplink_bytes=29_900 * answered,
                downlink_bytes=(FP32_BYTES + 700) * devices,
                seconds=0.9,
                problems=() if answered == devices else ("watch-04: no answer within 20 s",),
            )
        )
    return tuple(rows)


def watch_summary(devices=10, rounds=40, seed=0):
    """The default job as it may come out: ten watches, forty rounds, seven rungs."""
    rng = np.random.default_rng(seed)
    rows = tuple(device_row(index, rng) for index in range(devices))
    return Summary(
        name="watch",
        about="ten people's smart-watches, seven exercises; windows of 2 s at 50 Hz",
        kind="classification",
        metric="accuracy",
        better="higher",
        model="conv1d v1, 29,639 parameters",
        codec="int8 v1",
        base_fp32_bytes=FP32_BYTES,
        seed=seed,
        machine="x86_64 Linux, 2 cores",
        rounds=round_rows(rounds, devices, rng),
        devices=rows,
        gate=GatePlan(),
        withdrawn=WITHDRAWN,
        seconds=83.4,
        certificates=certify_fleet(rows, "classification", GatePlan(), seed),
    )


def regression_summary(devices=4):
    """Lower is better; no classes, target quantiles instead."""
    whole = watch_summary(devices=devices, rounds=6)
    rows = tuple(_as_regression(row, index) for index, row in enumerate(whole.devices))
    return replace(
        whole,
        name="engines",
        about="remaining useful life of turbofans",
        kind="regression",
        metric="rmse",
        better="lower",
        devices=rows,
        certificates=certify_fleet(rows, "regression", whole.gate, whole.seed),
        rounds=tuple(
            replace(row, base_validation_score=40.0 - 3 * row.round, train_loss=1 / row.round) for row in whole.rounds
        ),
    )


def _as_regression(row, index):
    target = (1.0, 31.0, 77.0, 118.0, 125.0)
    ladder = replace(
        row.ladder,
        base_validation_score=22.0 + index,
        personal_validation_score=19.0 + index,
        reference=replace(row.ladder.reference, validation_score=19.0 + index),
        rungs=tuple(
            replace(r, validation_score=19.0 + index + 0.2 * place) for place, r in enumerate(row.ladder.rungs)
        ),
    )
    return replace(
        row,
        data=replace(row.data, kind="regression", outputs=1, class_counts=(), target_quantiles=target),
        scores=Scores(
            metric="rmse", better="lower", rows=90, base=23.1 + index, personal=19.4 + index, variant=19.6 + index
        ),
        ladder=ladder,
        variant=deployed(ladder),
    )


def bare_row(device_id="silent"):
    """A device that sent its profile and was never heard of again."""
    rng = np.random.default_rng(9)
    hw = replace(hardware(device_id, "sensor-node", 19.0, None), isa=(), providers=(), battery_fraction=None)
    return DeviceRow(
        hardware=hw,
        data=replace(data(device_id, rng), drift=None, class_counts=()),
        budget=Budget(),
        plan="shared",
        scores=None,
        ladder=None,
        variant=None,
        rounds_answered=0,
        uplink_bytes=0,
        downlink_bytes=0,
        problems=("no answer in 40 rounds",),
    )


def fallback_row(device_id="stubborn"):
    """A device on which every rung was rejected: it keeps the personal fp32 model."""
    row = device_row(0, np.random.default_rng(3))
    rungs = tuple(replace(r, verdict=verdict(200, 9, 1), note="rejected by the gate") for r in row.ladder.rungs)
    ladder = replace(row.ladder, device_id=device_id, rungs=rungs)
    return replace(
        row,
        hardware=replace(row.hardware, device_id=device_id),
        data=replace(row.data, device_id=device_id),
        ladder=ladder,
        variant=deployed(ladder),
    )


def summary_of(*rows):
    """The watch job with these devices."""
    whole = watch_summary(devices=1)
    return replace(whole, devices=rows, certificates=certify_fleet(rows, whole.kind, whole.gate, whole.seed))


def empty_summary():
    """A run in which nothing happened."""
    return replace(
        watch_summary(devices=1, rounds=1),
        rounds=(),
        devices=(),
        withdrawn=(),
        seconds=0.0,
        certificates=Certificates(),
    )
