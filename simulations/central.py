"""What a fleet gives up by not pooling its rows: the same model trained centrally on all of them.

A reference for reports only: it breaks the promise that rows stay on their device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fedtailor.client.fleet_file import read_fleet_file
from fedtailor.client.profile_data import profile_data
from fedtailor.client.train import Schedule, constant, score_state, train
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import State
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.materialise import resolve
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.plan import choose_model_spec
from fedtailor.strategies.task import TASKS

PLAN = TrainPlan(epochs=15, batch_size=32, learning_rate=0.02, clip_norm=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Central:
    """Test scores of one centrally trained model: mean over devices, and the worst device."""

    seed: int
    metric: str
    better: str
    model: str
    devices: int
    mean: float
    worst: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Base:
    """A model trained on the pooled rows of a fleet; `cpu_s` is what that took."""

    spec: ModelSpec
    state: State
    cpu_s: float


def train_centrally(fleet: Fleet, seeds: Sequence[int], epochs: int, told: Callable[[int], None]) -> list[Central]:
    """Train once per seed on the pooled train split, and score every device's test split.

    `told` hears how many seeds are done.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    devices = devices_of(fleet)
    rows = []
    for done, seed in enumerate(seeds):
        told(done)
        base = train_base(devices, fleet.job.model, replace(PLAN, epochs=epochs), seed=seed)
        rows.append(_scored(base, devices, seed))
    told(len(seeds))
    return rows


def devices_of(fleet: Fleet) -> list[DeviceData]:
    """The rows of every device of a fleet.

    Raises:
        DataError, ConfigError: the fleet's rows cannot be used.
    """
    with TemporaryDirectory() as folder:
        settled = resolve(fleet, Path(folder))
        file = read_fleet_file(settled.data or Path())
        return [file.device(member.device_id) for member in settled.members]


def pooled(devices: Sequence[DeviceData]) -> DeviceData:
    """All rows as if one device held them."""

    def together(parts: Sequence[Samples]) -> Samples:
        return Samples(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))

    return DeviceData(
        device_id="pooled",
        kind=devices[0].kind,
        outputs=devices[0].outputs,
        train=together([device.train for device in devices]),
        validation=together([device.validation for device in devices]),
        test=together([device.test for device in devices]),
    )


def train_base(
    devices: Sequence[DeviceData], model: str | None, plan: TrainPlan, *, seed: int, schedule: Schedule = constant
) -> Base:
    """Train a model, by name or chosen by the data, on all train rows.

    Raises:
        PlanError: the devices' data do not fit together, or no model takes it.
    """
    spec = choose_model_spec([profile_data(device) for device in devices], model)
    trained = train(initial_state(spec, seed), pooled(devices).train, spec, plan, seed=seed, schedule=schedule)
    return Base(spec=spec, state=trained.state, cpu_s=trained.cpu_s)


def _scored(base: Base, devices: Sequence[DeviceData], seed: int) -> Central:
    task = TASKS[base.spec.kind]
    scores = [score_state(base.state, base.spec, device.test) for device in devices if len(device.test)]
    return Central(
        seed=seed,
        metric=task.metric,
        better=task.better,
        model=base.spec.name,
        devices=len(scores),
        mean=float(np.mean(scores)),
        worst=min(scores) if task.better == "higher" else max(scores),
    )
