"""A device with a small table of rows that can be learned, and the instruction a server would send it."""

from pathlib import Path

import numpy as np
from small_variants import HARDWARE

from fedtailor.client.device import Device
from fedtailor.client.store import DeviceStore
from fedtailor.protos.budget import Budget
from fedtailor.protos.messages import Instruction
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, Recipe, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import schema_of
from fedtailor.strategies.codec.broadcast import snapshot
from fedtailor.strategies.codec.grid import steps_of
from fedtailor.strategies.codec.public_base import PublicBase, first_public
from fedtailor.strategies.models.model import initial_state

SPEC = ModelSpec(
    name="mlp",
    version=1,
    kind="classification",
    input_shape=(6,),
    outputs=3,
    feature_means=(0.0,) * 6,
    feature_scales=(1.0,) * 6,
)


def rows(count: int, seed: int, *, shift: int = 0) -> Samples:
    """Rows whose class is the largest of the first three features, renamed by `shift`."""
    x = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    return Samples(x, ((x[:, :3].argmax(1) + shift) % 3).astype(np.int64))


def device(folder: Path, *, train: int = 96, validation: int = 48, test: int = 60, shift: int = 0) -> Device:
    data = DeviceData(
        device_id="till-1",
        kind="classification",
        outputs=3,
        train=rows(train, 1, shift=shift),
        validation=rows(validation, 2, shift=shift),
        test=rows(test, 3, shift=shift),
    )
    return Device(data=data, store=DeviceStore(folder), budget=Budget(), hardware=lambda: HARDWARE)


def plan(*, round_: int = 1, base_version: int = 0, method: str = "finetune", learning_rate: float = 0.1) -> Plan:
    return Plan(
        device_id="till-1",
        round=round_,
        seed=7,
        base_version=base_version,
        model=SPEC,
        train=TrainPlan(epochs=2, batch_size=16, learning_rate=learning_rate),
        personal=PersonalPlan(method=method, epochs=5, batch_size=16, learning_rate=learning_rate, proximal=0.1),
        personal_parameters=("head.weight", "head.bias"),
        recipes=(
            Recipe(name="int8", shrink=1, precision="int8"),
            Recipe(name="x8", shrink=8, distil_steps=20),
        ),
        codec=CodecSpec(name="uniform", version=1),
        feedback=True,
        gate=GatePlan(margin=0.05),
        downlink=CodecSpec(name="fp32", version=1),
        budget=Budget(),
    )


def public_base(version: int = 0) -> PublicBase:
    """Of the small model, the same for every version."""
    state = initial_state(SPEC, seed=0)
    return first_public(schema_of(state), version, steps_of(state))


def instruction(asked: Plan, *, acknowledged_round: int = 0, withdrawn: tuple[str, ...] = ()) -> Instruction:
    base = snapshot(public_base(asked.base_version))
    return Instruction(plan=asked, base=base, acknowledged_round=acknowledged_round, withdrawn=withdrawn)
