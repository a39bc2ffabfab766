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
from fedtailor.client.train import score_state, train
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
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


def train_centrally(fleet: Fleet, seeds: Sequence[int], epochs: int, told: Callable[[int], None]) -> list[Central]:
    """Train once per seed on the pooled train split, and score every device's test split.

    `told` hears how many seeds are done.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    with TemporaryDirectory() as folder:
        settled = resolve(fleet, Path(folder))
        file = read_fleet_file(settled.data or Path())
        devices = [file.device(member.device_id) for member in settled.members]
    rows = []
    for done, seed in enumerate(seeds):
        told(done)
        rows.append(_once(devices, fleet.job.model, seed, replace(PLAN, epochs=epochs)))
    told(len(seeds))
    return rows


def _once(devices: Sequence[DeviceData], name: str | None, seed: int, plan: TrainPlan) -> Central:
    spec = choose_model_spec([profile_data(device, None) for device in devices], name)
    task = TASKS[spec.kind]
    pooled = Samples(
        np.concatenate([device.train.x for device in devices]), np.concatenate([device.train.y for device in devices])
    )
    state = train(initial_state(spec, seed), pooled, spec, plan, seed=seed).state
    scores = [score_state(state, spec, device.test) for device in devices if len(device.test)]
    return Central(
        seed=seed,
        metric=task.metric,
        better=task.better,
        model=spec.name,
        devices=len(scores),
        mean=float(np.mean(scores)),
        worst=min(scores) if task.better == "higher" else max(scores),
    )
