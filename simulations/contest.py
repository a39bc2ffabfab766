"""What every method of a comparison starts from and is measured by: one trained base, one set of rows, one machine."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.measure import latency_ratio, measure
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.simulations.variant_row import VariantRow
from fedtailor.strategies.gate import judge
from fedtailor.strategies.task import TASKS, Task

LATENCY_S, MEMORY_S = 1.0, 0.5  # wall-clock time for one figure of one model


@dataclass(frozen=True, eq=False)
class Made:
    """A method's model as ONNX, the bytes it is sent as, and the CPU seconds it took to make."""

    method: str
    model: bytes
    payload_bytes: int
    cpu_s: float
    note: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Contest:
    """One base, as a net and as the fp32 model that all are held against.

    data: its train split is the calibration rows. train: all the rows that the base was trained on. plain_model: the
    reference in operators that every peer knows.
    """

    name: str
    net: Net
    reference: Made
    plain_model: bytes
    data: DeviceData
    train: Samples
    plan: Plan

    @property
    def task(self) -> Task:
        return TASKS[self.data.kind]

    def row(self, made: Made) -> VariantRow:
        """Score, judge and measure a model. This is where the test split is read: once for a final row."""
        sample = self.data.validation.x[:1]
        score = self._test_score(made.model)
        return VariantRow(
            **self._about(made.method),
            test_score=score,
            share=score / self._fp32_score if self.task.better == "higher" else self._fp32_score / score,
            payload_bytes=made.payload_bytes,
            payload_ratio=self.reference.payload_bytes / made.payload_bytes,
            file_bytes=len(made.model),
            latency_ratio=latency_ratio(self.reference.model, made.model, sample, seconds=LATENCY_S),
            memory_bytes=measure(made.model, b"", sample, 0, seconds=MEMORY_S).memory_bytes_measured,
            cpu_s=made.cpu_s,
            verdict=self._verdict(made.model),
            note=made.note,
        )

    def without_model(self, method: str, problem: str) -> VariantRow:
        """The row of a method that gave none."""
        return VariantRow(**self._about(method), note=problem)

    @cached_property
    def _fp32_score(self) -> float:
        return self._test_score(self.reference.model)

    @cached_property
    def _fp32_outputs(self) -> NDArray[np.float32]:
        return _outputs(self.reference.model, self.data.validation)

    def _about(self, method: str) -> dict[str, Any]:
        return {
            "data": self.name,
            "model": self.plan.model.name,
            "seed": self.plan.seed,
            "method": method,
            "metric": self.task.metric,
        }

    def _test_score(self, model: bytes) -> float:
        return self.task.score(_outputs(model, self.data.test), self.data.test.y)

    def _verdict(self, model: bytes) -> str:
        rows = self.data.validation
        outputs = _outputs(model, rows)
        return judge(self._fp32_outputs, outputs, rows.y, kind=self.data.kind, gate=self.plan.gate).verdict


def smallest_bytes(file: bytes) -> int:
    """What a peer's model is sent as: its file as it is, or deflated where that is smaller."""
    return min(len(file), len(zlib.compress(file, 9)))


def _outputs(model: bytes, rows: Samples) -> NDArray[np.float32]:
    return predict(open_session(model), rows.x)
