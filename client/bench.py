"""What a variant is held against on its device, and the rung that becomes of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.artefact import Artefact
from fedtailor.client.energy import EnergyCounter, energy_counter
from fedtailor.client.measure import latencies_us, latency_ratio, measure
from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import FALLBACK, Rung
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.budget_check import artefact_checks
from fedtailor.strategies.doubt import doubt
from fedtailor.strategies.gate import itself, judge
from fedtailor.strategies.task import TASKS

MEASURE_S = 0.1  # wall-clock time for one figure of one artefact


@dataclass(frozen=True, eq=False)
class Tried:
    """A rung and the bytes that it is kept and sent as."""

    rung: Rung
    payload: bytes


@dataclass(frozen=True, eq=False)
class Bench:
    """The fp32 reference, the rows it is compared on, and the machine."""

    reference: Artefact
    data: DeviceData
    plan: Plan
    hardware: DeviceProfile

    @property
    def sample(self) -> NDArray[np.generic]:
        splits = (self.data.validation, self.data.train, self.data.test)
        return next(split.x[:1] for split in splits if len(split))

    @cached_property
    def counter(self) -> EnergyCounter | None:
        """The platform's; a battery's gauge takes ten seconds a figure, which only a limit on energy is worth."""
        counter = energy_counter()
        slow = counter is not None and counter.window_s > MEASURE_S
        return None if slow and self.plan.budget.energy_mj is None else counter

    def judge(self, made: Artefact) -> Verdict:
        labels = self.data.validation.y
        return judge(self.reference.outputs, made.outputs, labels, kind=self.data.kind, gate=self.plan.gate)

    def latencies_us(self, made: Sequence[Artefact]) -> tuple[float, ...]:
        return latencies_us([one.model for one in made], self.sample, seconds=MEASURE_S)

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

    def fp32(self) -> Tried:
        """The reference itself as a rung."""
        return self._tried(FALLBACK, self.reference, itself(len(self.data.validation), self.plan.gate), 1.0, doubt="")

    def tried(self, recipe: str, made: Artefact, verdict: Verdict) -> Tried:
        """An artefact and its verdict as the rung of a recipe, measured."""
        ratio = latency_ratio(self.reference.model, made.model, self.sample, seconds=MEASURE_S)
        labels = self.data.validation.y
        found = doubt(self.reference.outputs, made.outputs, labels, kind=self.data.kind, gate=self.plan.gate)
        return self._tried(recipe, made, verdict, ratio, doubt=found)

    def _tried(self, recipe: str, made: Artefact, verdict: Verdict, ratio: float, *, doubt: str) -> Tried:
        efficiency = self.measure(made)
        labels = self.data.validation.y
        rung = Rung(
            recipe=recipe,
            precision=made.precision,
            weight_bits=made.weight_bits,
            mask=made.mask,
            validation_score=TASKS[self.data.kind].score(made.outputs, labels) if len(labels) else 0.0,
            verdict=verdict,
            efficiency=efficiency,
            latency_ratio=ratio,
            payload_sha256=hashlib.sha256(made.payload).hexdigest(),
            unmet=unmet(self.plan.budget, efficiency),
            note=_note(verdict, ratio),
            doubt=doubt,
        )
        return Tried(rung, made.payload)


def unmet(budget: Budget, efficiency: Efficiency) -> tuple[str, ...]:
    """The limits that an artefact exceeds, each with what it costs and what it may; empty if it fits."""
    checks = artefact_checks(budget, efficiency)
    return tuple(f"{check.name} {check.actual:.4g} of {check.limit:.4g}" for check in checks if check.met is False)


def _note(verdict: Verdict, ratio: float) -> str:
    if verdict.verdict == REJECTED:
        return f"rejected: a drop of {verdict.drop:.2%} on {verdict.rows} rows, the margin is {verdict.margin:.2%}"
    return f"slower than the fp32 reference: {ratio:.2f} of its speed" if ratio < 1 else ""
