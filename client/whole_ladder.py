"""The ladder of a model that cannot be traced: its fp32 file and one int8 rung, judged and measured as any other.

Kept and sent, such a model is its ONNX file, compressed by gzip.
"""

import gzip

import numpy as np
import onnx
from torch import nn

from fedtailor.client.artefact import Artefact
from fedtailor.client.bench import Bench
from fedtailor.client.forms import FP32, INT8
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.tailor import Tailored, Told
from fedtailor.client.whole_model import whole_model
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.strategies.compression.compress import CALIBRATION_ROWS
from fedtailor.strategies.compression.spread import spread_rows


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
    reference, int8 = _whole(whole.fp32, FP32, data), _whole(whole.int8, INT8, data)
    if not np.isfinite(reference.outputs).all():
        raise PlanError(f"device {data.device_id}: the model answers NaN or infinity; train it anew")
    bench = Bench(reference, data, plan, hardware)
    tailored = Tailored(bench.fp32(), (bench.tried(INT8, int8, bench.judge(int8)),), (whole.note,))
    told(1, 1, "")
    return tailored


def _whole(model: bytes, precision: str, data: DeviceData) -> Artefact:
    return Artefact(
        mask=Mask(),
        precision=precision,
        weight_bits=_weight_bits(model),
        model=model,
        payload=packed_whole(model),
        macs=None,
        outputs=predict(open_session(model), data.validation.x),
    )


def packed_whole(model: bytes) -> bytes:
    """An ONNX file as it is kept and sent; equal files give equal bytes."""
    return gzip.compress(model, mtime=0)


def unpacked_whole(payload: bytes) -> bytes:
    """The inverse."""
    return gzip.decompress(payload)


def _weight_bits(model: bytes) -> float:
    """The mean width of the numbers in matrices and kernels: layers without an integer form stay in float32."""
    stored = [onnx.numpy_helper.to_array(constant) for constant in onnx.load_from_string(model).graph.initializer]
    weights = [array for array in stored if array.ndim > 1]
    values = sum(array.size for array in weights)
    return sum(8 * array.nbytes for array in weights) / values if values else 32.0
