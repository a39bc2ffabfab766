"""The ladder on the device: every recipe of the plan tried, exported, judged and measured where it would run.

A recipe narrows the personal fp32 model (prune, distil), turns it into int8 or keeps fp32, and is then a file that
ONNX Runtime has opened: the gate sees what that file answers, not what torch would.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.export import to_onnx
from fedtailor.client.measure import latency_ratio, measure
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Plan, Recipe
from fedtailor.protos.quantised_net import QuantisedNet
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.variant import FALLBACK, Rung
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.distil import distil
from fedtailor.strategies.gate import itself, judge
from fedtailor.strategies.macs import macs
from fedtailor.strategies.payload import pack
from fedtailor.strategies.prune import prune
from fedtailor.strategies.quantise import quantise
from fedtailor.strategies.task import TASKS

NEAR_TIE = 1.03  # latencies closer than this are the same: the smaller payload decides
MEASURE_S = 0.15  # wall-clock time for one figure of one artefact

Outputs = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Tried:
    """A rung and the bytes that it is kept and sent as."""

    rung: Rung
    payload: bytes


@dataclass(frozen=True, eq=False)
class Tailored:
    """The fp32 reference, the rungs in the order of the recipes, and a line for each recipe that became none."""

    reference: Tried
    rungs: tuple[Tried, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Artefact:
    """A net as the file that would run. `outputs` are the runtime's for the validation rows."""

    precision: str
    weight_bits: int
    mask: Mask
    model: bytes
    payload: bytes
    macs: int
    outputs: Outputs


@dataclass(frozen=True, eq=False)
class _Bench:
    """What every recipe of one device is held against."""

    personal: Net
    reference: _Artefact
    data: DeviceData
    plan: Plan
    hardware: DeviceProfile

    @property
    def sample(self) -> NDArray[np.generic]:
        return self.data.validation.x[:1]

    def judge(self, artefact: _Artefact) -> Verdict:
        labels = self.data.validation.y
        return judge(self.reference.outputs, artefact.outputs, labels, kind=self.data.kind, gate=self.plan.gate)

    def latency_ratio(self, artefact: _Artefact) -> float:
        return latency_ratio(self.reference.model, artefact.model, self.sample, seconds=MEASURE_S)

    def measure(self, artefact: _Artefact) -> Efficiency:
        return measure(
            artefact.model,
            artefact.payload,
            self.sample,
            artefact.macs,
            slowdown=self.hardware.slowdown_modelled,
            energy_pj_per_mac=self.hardware.energy_pj_per_mac_modelled,
            seconds=MEASURE_S,
        )


def tailor(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> Tailored:
    """Try every recipe of the plan on the personal fp32 model.

    Calibration and distillation see the train split, decisions the validation split, nothing sees the test split.
    A recipe that cannot be carried out, or whose artefact answers NaN or infinity, becomes a line in `problems`.

    Raises:
        PlanError: there is no validation row to judge on, or the personal model itself answers NaN or infinity.
    """
    if len(data.validation) == 0:
        raise PlanError(f"device {data.device_id}: tailoring needs validation rows to judge variants on, got none")
    reference = _artefact(personal, Mask(), data.validation.x)
    bench = _Bench(personal, reference, data, plan, hardware)
    rungs, problems = [], []
    for recipe in plan.recipes:
        try:
            rungs.append(_try_recipe(bench, recipe))
        except Exception as error:  # whatever one recipe breaks on, the device and the other recipes go on
            problems.append(f"recipe {recipe.name!r} on device {data.device_id}: {error}")
    verdict = itself(len(data.validation), plan.gate)
    return Tailored(_tried(bench, FALLBACK, reference, verdict, 1.0), tuple(rungs), tuple(problems))


def _try_recipe(bench: _Bench, recipe: Recipe) -> Tried:
    net, mask = _narrow(bench, recipe)
    candidates = [
        _artefact(make(), mask, bench.data.validation.x, recipe.weight_bits)
        for precision, make in _PRECISIONS(bench, net, recipe).items()
        if recipe.precision in (precision, "auto")
    ]
    ...
