"""The ladder of a model that cannot be traced: its fp32 file and one int8 rung, judged and measured as any other.

Kept and sent, such a model is its ONNX file, compressed by gzip.
"""

import gzip
import hashlib
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from fedtailor.client.forms import FP32, INT8
from fedtailor.client.measure import latency_ratio, measure
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.tailor import MEASURE_S, Tailored, Told, Tried, unmet
from fedtailor.client.whole_model import whole_model
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import FALLBACK, Rung
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.compression.compress import CALIBRATION_ROWS
from fedtailor.strategies.compression.spread import spread_rows
from fedtailor.strategies.gate import itself, judge
from fedtailor.strategies.task import TASKS

Outputs = NDArray[np.float32]


def whole_ladder(
    module: nn.Module,
    problem: PlanError,
    data: DeviceData,
    plan: Plan,
    hardware: DeviceProfile,
    *,
    told: Told = lambda _done, _total, _note: None,
) -> Tailored:
    """What ONNX Runtime's static quantisation makes of a module, because of `problem`, which `trace` raised.

    Args:
        module: The personal fp32 model.
        data: With train and validation rows.
        told: Hears how far it has come.

    Raises:
        PlanError: the module cannot be exported or quantised, or answers NaN or infinity.
    """
    told(0, 1, "as a whole: it cannot be traced")
    whole = whole_model(module, spread_rows(data.train.x, CALIBRATION_ROWS), problem)
    x, y = data.validation.x, data.validation.y
    reference, outputs = (predict(open_session(model), x) for model in (whole.fp32, whole.int8))
    if not np.isfinite(reference).all():
        raise PlanError(f"device {data.device_id}: the model answers NaN or infinity; train it anew")
    verdict = judge(reference, outputs, y, kind=data.kind, gate=plan.gate)
    ratio = latency_ratio(whole.fp32, whole.int8, x[:1], seconds=MEASURE_S)
    shelf = _Shelf(data, plan, hardware)
    tried = (
        shelf.tried(FALLBACK, whole.fp32, reference, itself(len(y), plan.gate), 1.0),
        shelf.tried(INT8, whole.int8, outputs, verdict, ratio),
    )
    told(1, 1, "")
    return Tailored(tried[0], tried[1:], (whole.note,))


def packed_whole(model: bytes) -> bytes:
    """An ONNX file as it is kept and sent; equal files give equal bytes."""
    return gzip.compress(model, mtime=0)


def unpacked_whole(payload: bytes) -> bytes:
    """The inverse."""
    return gzip.decompress(payload)


@dataclass(frozen=True, eq=False)
class _Shelf:
    data: DeviceData
    plan: Plan
    hardware: DeviceProfile

    def tried(self, recipe: str, model: bytes, outputs: Outputs, verdict: Verdict, ratio: float) -> Tried:
        payload = packed_whole(model)
        efficiency = measure(
            model,
            payload,
            self.data.validation.x[:1],
            macs=None,
            slowdown=self.hardware.slowdown_modelled,
            seconds=MEASURE_S,
        )
        rung = Rung(
            recipe=recipe,
            precision=INT8 if recipe == INT8 else FP32,
            weight_bits=_weight_bits(model),
            mask=Mask(),
            validation_score=TASKS[self.data.kind].score(outputs, self.data.validation.y),
            verdict=verdict,
            efficiency=efficiency,
            latency_ratio=ratio,
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            unmet=unmet(self.plan.budget, efficiency),
            note=_note(verdict, ratio),
        )
        return Tried(rung, payload)


def _note(verdict: Verdict, ratio: float) -> str:
    if verdict.verdict == REJECTED:
        return f"rejected: a drop of {verdict.drop:.2%} on {verdict.rows} rows, the margin is {verdict.margin:.2%}"
    return f"slower than the fp32 reference: {ratio:.2f} of its speed" if ratio < 1 else ""


def _weight_bits(model: bytes) -> float:
    """The mean width of the numbers in matrices and kernels: layers without an integer form stay in float32."""
    stored = [onnx.numpy_helper.to_array(constant) for constant in onnx.load_from_string(model).graph.initializer]
    weights = [array for array in stored if array.ndim > 1]
    values = sum(array.size for array in weights)
    return sum(8 * array.nbytes for array in weights) / values if values else 32.0
