"""The ladder on the device: every recipe of the plan tried, exported, judged and measured where it would run.

A recipe narrows the personal fp32 model (prune, distil), turns it into int8 or keeps fp32, and is then a file that
ONNX Runtime has opened: the gate sees what that file answers, not what torch would, and its speed is that file's
(int8 of a thin network is often slower than its fp32).
"""

import hashlib
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
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
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import FALLBACK, Rung
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.budget_check import artefact_checks
from fedtailor.strategies.distil import distil
from fedtailor.strategies.gate import itself, judge
from fedtailor.strategies.macs import macs
from fedtailor.strategies.payload import pack
from fedtailor.strategies.prune import prune
from fedtailor.strategies.quantise import quantise
from fedtailor.strategies.realise import realise
from fedtailor.strategies.task import TASKS

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
        splits = (self.data.validation, self.data.train, self.data.test)
        return next(split.x[:1] for split in splits if len(split))

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
    A recipe that cannot be carried out, or whose artefact answers NaN or infinity, becomes a line in `problems`; so
    does a device without train or validation rows, which has only its reference.

    Raises:
        PlanError: the personal model itself answers NaN or infinity.
    """
    bench = _bench(personal, data, plan, hardware)
    narrow = cache(partial(_narrow, bench))  # recipes that differ in precision alone share it
    rungs, problems = [], []
    for recipe in plan.recipes if len(data.train) and len(data.validation) else ():
        try:
            rungs.append(_try_recipe(bench, recipe, *narrow(recipe.keep_fraction, recipe.distil_steps)))
        except Exception as error:  # whatever one recipe breaks on, the device and the other recipes go on
            problems.append(f"recipe {recipe.name!r} on device {data.device_id}: {error}")
    if not len(data.train) or not len(data.validation):
        problems.append(
            f"device {data.device_id}: {len(data.train)} train and {len(data.validation)} validation rows; "
            "tailoring needs both, so it runs the fp32 model"
        )
    return Tailored(_reference(bench), tuple(rungs), tuple(problems))


def reference_of(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> Tried:
    """The fp32 model as an artefact, measured; raises as `tailor`."""
    return _reference(_bench(personal, data, plan, hardware))


def _bench(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> _Bench:
    reference = _artefact(personal, Mask(), data.validation.x)
    if not np.isfinite(reference.outputs).all():
        raise PlanError(f"device {data.device_id}: the personal model answers NaN or infinity; train it anew")
    return _Bench(personal, reference, data, plan, hardware)


def _reference(bench: _Bench) -> Tried:
    verdict = itself(len(bench.data.validation), bench.plan.gate)
    return _tried(bench, FALLBACK, bench.reference, verdict, 1.0)


def unmet(budget: Budget, efficiency: Efficiency) -> tuple[str, ...]:
    """The limits that an artefact exceeds, each with what it costs and what it may; empty if it fits."""
    checks = artefact_checks(budget, efficiency)
    return tuple(f"{check.name} {check.actual:.4g} of {check.limit:.4g}" for check in checks if check.met is False)


def _try_recipe(bench: _Bench, recipe: Recipe, net: Net, mask: Mask) -> Tried:
    artefact = _artefact(_in_precision(net, recipe, bench.data), mask, bench.data.validation.x, recipe.weight_bits)
    if not np.isfinite(artefact.outputs).all():
        raise PlanError("its artefact answers NaN or infinity; it is left out")
    return _tried(bench, recipe.name, artefact, bench.judge(artefact), bench.latency_ratio(artefact))


def _narrow(bench: _Bench, keep_fraction: float, distil_steps: int) -> tuple[Net, Mask]:
    """The personal model with fewer channels, distilled where that does not lower the validation score."""
    data, spec = bench.data, bench.plan.model
    pruned, mask = prune(bench.personal, data.train.x, keep_fraction)
    if distil_steps == 0:
        return pruned, mask
    tuned = distil(pruned, bench.personal, data.train, spec=spec, steps=distil_steps, seed=bench.plan.seed)
    worse = TASKS[data.kind].improves(_torch_score(pruned, data), over=_torch_score(tuned, data))
    return (pruned if worse else tuned), mask


def _in_precision(net: Net, recipe: Recipe, data: DeviceData) -> Net | QuantisedNet:
    if recipe.precision == "fp32":
        return net
    if recipe.precision != "int8":
        raise PlanError(f"precision must be int8 or fp32, got {recipe.precision!r}")
    return quantise(net, data.train.x, weight_bits=recipe.weight_bits)


def _artefact(net: Net | QuantisedNet, mask: Mask, x: NDArray[np.generic], weight_bits: int = 32) -> _Artefact:
    quantised = isinstance(net, QuantisedNet)
    model = to_onnx(net)
    return _Artefact(
        precision="int8" if quantised else "fp32",
        weight_bits=weight_bits if quantised else 32,
        mask=mask,
        model=model,
        payload=pack(net),
        macs=macs(net),
        outputs=predict(open_session(model), x),
    )


def _tried(bench: _Bench, recipe: str, artefact: _Artefact, verdict: Verdict, ratio: float) -> Tried:
    efficiency = bench.measure(artefact)
    rung = Rung(
        recipe=recipe,
        precision=artefact.precision,
        weight_bits=artefact.weight_bits,
        mask=artefact.mask,
        validation_score=_score(artefact.outputs, bench.data),
        verdict=verdict,
        efficiency=efficiency,
        latency_ratio=ratio,
        payload_sha256=hashlib.sha256(artefact.payload).hexdigest(),
        unmet=unmet(bench.plan.budget, efficiency),
        note=_note(verdict, ratio),
    )
    return Tried(rung, artefact.payload)


def _note(verdict: Verdict, ratio: float) -> str:
    if verdict.verdict == REJECTED:
        return f"rejected: a drop of {verdict.drop:.2%} on {verdict.rows} rows, the margin is {verdict.margin:.2%}"
    return f"slower than the fp32 reference: {ratio:.2f} of its speed" if ratio < 1 else ""


def _score(outputs: Outputs, data: DeviceData) -> float:
    return TASKS[data.kind].score(outputs, data.validation.y) if len(data.validation) else 0.0


def _torch_score(net: Net, data: DeviceData) -> float:
    with torch.no_grad():
        return _score(realise(net)(torch.from_numpy(data.validation.x)).numpy(), data)
