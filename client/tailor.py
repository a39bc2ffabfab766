"""The ladder on the device: every recipe of the plan tried, exported, judged and measured where it would run.

Which channels go and how many bits each layer gets is planned here, from this device's rows and this device's operator
timings. A variant is then a file that ONNX Runtime has opened: the gate sees what that file answers, not what torch
would, and its speed is that file's (int8 of a thin network is often slower than its fp32).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.artefact import Artefact, artefact
from fedtailor.client.energy import EnergyCounter, energy_counter
from fedtailor.client.forms import forms
from fedtailor.client.latency_table import LatencyTable
from fedtailor.client.layer_choices import layer_choices
from fedtailor.client.measure import latencies_us, latency_ratio, measure
from fedtailor.client.store import DeviceStore
from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Plan, Recipe
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import FALLBACK, Rung
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.budget_check import artefact_checks
from fedtailor.strategies.compression.allotment import Allotment
from fedtailor.strategies.compression.compress import Cloth, compress
from fedtailor.strategies.gate import itself, judge
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.planning.plan_layers import Choices, Limits, allot
from fedtailor.strategies.task import TASKS

MEASURE_S = 0.1  # wall-clock time for one figure of one artefact
_AS_SMALL, _AS_FAST = 1.1, 1.03  # payloads and latencies of forms of one rung that do not count as different

Told = Callable[[int, int, str], None]  # rungs done, rungs in all, a note
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
class _Bench:
    """What every recipe of one device is held against."""

    cloth: Cloth
    reference: Artefact
    plan: Plan
    hardware: DeviceProfile
    counter: EnergyCounter | None

    @property
    def data(self) -> DeviceData:
        return self.cloth.data

    @property
    def sample(self) -> NDArray[np.generic]:
        splits = (self.data.validation, self.data.train, self.data.test)
        return next(split.x[:1] for split in splits if len(split))

    def judge(self, made: Artefact) -> Verdict:
        labels = self.data.validation.y
        return judge(self.reference.outputs, made.outputs, labels, kind=self.data.kind, gate=self.plan.gate)

    def latencies_us(self, made: Sequence[Artefact]) -> tuple[float, ...]:
        return latencies_us([one.model for one in made], self.sample, seconds=MEASURE_S)

    def latency_ratio(self, made: Artefact) -> float:
        return latency_ratio(self.reference.model, made.model, self.sample, seconds=MEASURE_S)

    def measure(self, made: Artefact) -> Efficiency:
        return measure(
            made.model,
            made.payload,
            self.sample,
            made.macs,
            slowdown=self.hardware.slowdown_modelled,
            energy_pj_per_mac=self.hardware.energy_pj_per_mac_modelled,
            counter=self.counter,
            seconds=MEASURE_S,
        )


def tailor(
    personal: Net,
    data: DeviceData,
    plan: Plan,
    hardware: DeviceProfile,
    *,
    store: DeviceStore,
    told: Told = lambda _done, _total, _note: None,
) -> Tailored:
    """Try every recipe of the plan on the personal fp32 model.

    Calibration and distillation see the train split, decisions the validation split, nothing sees the test split.
    A recipe that cannot be carried out, or whose artefact answers NaN or infinity, becomes a line in `problems`; so
    does a device on whose rows nothing can be planned, which has only its reference.

    Args:
        store: Where operator timings are kept for the next time.
        told: Hears how far the ladder has come.

    Raises:
        PlanError: the personal model itself answers NaN or infinity.
    """
    bench = _bench(personal, data, plan, hardware)
    total = len(plan.recipes)
    told(0, total, "planning layer by layer")
    try:
        choices = _choices(bench, store)
    except Exception as error:  # whatever planning breaks on, the device goes on with the model that it has
        line = f"device {data.device_id}: {error}; it runs the fp32 model"
        return Tailored(_reference(bench), (), (line,))
    rungs, problems = [], []
    for done, recipe in enumerate(plan.recipes):
        told(done, total, recipe.name)
        try:
            rungs.append(_try_recipe(bench, recipe, _allotted(bench, choices, recipe)))
        except Exception as error:  # whatever one recipe breaks on, the device and the other recipes go on
            problems.append(f"recipe {recipe.name!r} on device {data.device_id}: {error}")
    told(total, total, "")
    return Tailored(_reference(bench), tuple(rungs), tuple(problems))


def reference_of(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> Tried:
    """The fp32 model as an artefact, measured; raises as `tailor`."""
    return _reference(_bench(personal, data, plan, hardware))


def _bench(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> _Bench:
    try:
        reference = artefact(personal, Mask(), data.validation.x)
    except PlanError:
        raise PlanError(f"device {data.device_id}: the personal model answers NaN or infinity; train it anew") from None
    cloth = Cloth(personal, data, plan.model, plan.seed, plan.budget.train_ram_bytes)
    return _Bench(cloth, reference, plan, hardware, _counter(plan.budget))


def _counter(budget: Budget) -> EnergyCounter | None:
    """The platform's; a battery's gauge takes ten seconds a figure, which only a limit on energy is worth."""
    counter = energy_counter()
    return None if counter and counter.window_s > MEASURE_S and budget.energy_mj is None else counter


def _reference(bench: _Bench) -> Tried:
    verdict = itself(len(bench.data.validation), bench.plan.gate)
    return _tried(bench, FALLBACK, bench.reference, verdict, 1.0)


def unmet(budget: Budget, efficiency: Efficiency) -> tuple[str, ...]:
    """The limits that an artefact exceeds, each with what it costs and what it may; empty if it fits."""
    checks = artefact_checks(budget, efficiency)
    return tuple(f"{check.name} {check.actual:.4g} of {check.limit:.4g}" for check in checks if check.met is False)


def _choices(bench: _Bench, store: DeviceStore) -> Choices:
    data = bench.data
    if not len(data.train) or not len(data.validation):
        counts = f"{len(data.train)} train and {len(data.validation)} validation rows"
        raise PlanError(f"{counts}, tailoring needs both")
    return layer_choices(bench.cloth.personal, bench.cloth.calibration, bench.plan.model, LatencyTable(store))


def _allotted(bench: _Bench, choices: Choices, recipe: Recipe) -> Allotment:
    """Within the device's budget if that can be; a variant that misses it may still be the best there is."""
    payload_bytes = float_bytes(bench.cloth.personal) / recipe.shrink
    budget = bench.plan.budget
    latency_us = None if budget.latency_ms is None else budget.latency_ms * 1000 / bench.hardware.slowdown_modelled
    try:
        return allot(choices, Limits(payload_bytes, latency_us, budget.peak_ram_bytes))
    except PlanError:
        return allot(choices, Limits(payload_bytes))


def _try_recipe(bench: _Bench, recipe: Recipe, allotment: Allotment) -> Tried:
    net, mask = compress(bench.cloth, allotment, recipe.distil_steps)
    ways = forms(net, bench.cloth.calibration, recipe.precision)
    made, verdict = _best(bench, [artefact(form, mask, bench.data.validation.x) for form in ways])
    return _tried(bench, recipe.name, made, verdict, bench.latency_ratio(made))


def _best(bench: _Bench, made: Sequence[Artefact]) -> tuple[Artefact, Verdict]:
    """Of those not rejected, if there are any, and about as small as the smallest payload, the fastest one.

    Of several that are about as fast, the smallest file: luck in measuring is no reason.
    """
    judged = [(one, bench.judge(one)) for one in made]
    passed = [(one, verdict) for one, verdict in judged if verdict.verdict != REJECTED] or judged
    smallest = min(len(one.payload) for one, _ in passed)
    small = [(one, verdict) for one, verdict in passed if len(one.payload) <= _AS_SMALL * smallest]
    took_us = bench.latencies_us([one for one, _ in small]) if len(small) > 1 else (0.0,)
    fast = [pair for pair, us in zip(small, took_us, strict=True) if us <= _AS_FAST * min(took_us)]
    return min(fast, key=lambda pair: len(pair[0].model))


def _tried(bench: _Bench, recipe: str, made: Artefact, verdict: Verdict, ratio: float) -> Tried:
    efficiency = bench.measure(made)
    rung = Rung(
        recipe=recipe,
        precision=made.precision,
        weight_bits=made.weight_bits,
        mask=made.mask,
        validation_score=_score(made.outputs, bench.data),
        verdict=verdict,
        efficiency=efficiency,
        latency_ratio=ratio,
        payload_sha256=hashlib.sha256(made.payload).hexdigest(),
        unmet=unmet(bench.plan.budget, efficiency),
        note=_note(verdict, ratio),
    )
    return Tried(rung, made.payload)


def _note(verdict: Verdict, ratio: float) -> str:
    if verdict.verdict == REJECTED:
        return f"rejected: a drop of {verdict.drop:.2%} on {verdict.rows} rows, the margin is {verdict.margin:.2%}"
    return f"slower than the fp32 reference: {ratio:.2f} of its speed" if ratio < 1 else ""


def _score(outputs: Outputs, data: DeviceData) -> float:
    return TASKS[data.kind].score(outputs, data.validation.y) if len(data.validation) else 0.0
