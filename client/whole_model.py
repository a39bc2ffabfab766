"""The artefacts of a model that cannot be traced: what torch exports, and ONNX Runtime's own static quantisation of it.

Nothing is pruned, and layers that the runtime has no integer kernels for stay in float32.
"""

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static
from torch import nn

from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.errors import PlanError

_OPSET = 17  # the newest whose operators torch's exporter and the runtime's quantiser both know whole
_IN_INTEGERS = [  # what gains from it, and what stands between; the quantiser stumbles over layer norms
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "Relu", "Clip"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Transpose", "Squeeze", "Unsqueeze"),
]
_CHECKED_ROWS = 16
_BATCH_ROWS = 16
_CLOSE = 1e-4  # between torch and the runtime in float32, absolute and relative
_TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class WholeModel:
    """Two ONNX files, input "x" and output "y" with any number of rows, and the one line that says why not less."""

    fp32: bytes
    int8: bytes
    note: str


def whole_model(module: nn.Module, calibration: NDArray[np.generic], problem: PlanError) -> WholeModel:
    """Export a module as it is, in fp32 and int8, because of `problem`, what `trace` said of it.

    Args:
        module: Takes rows as a fleet file stores them; it is not changed.
        calibration: [N, *input_shape], some hundred rows; the export is checked on some of them.

    Raises:
        PlanError: torch cannot export it, or what it exports does not compute the same, or cannot be quantised.
    """
    still = copy.deepcopy(module).eval()
    fp32 = _exported(still, calibration)
    try:
        int8 = _quantised(fp32, calibration)
    except Exception as error:  # the quantiser raises whatever it meets
        raise PlanError(f"ONNX Runtime cannot quantise {type(module).__name__}: {_first_line(error)}") from error
    return WholeModel(fp32=fp32, int8=int8, note=str(problem))


def _exported(module: nn.Module, rows: NDArray[np.generic]) -> bytes:
    """By running it once; compiled from its source, if it can be, where it decides and one run shows only one side."""
    sample = torch.from_numpy(np.ascontiguousarray(rows[:1]))
    problems = []
    with _plainly() as said:
        with suppress(Exception):  # what is wrong with it the exporter says again
            torch.jit.trace(module, sample, check_trace=False)
        for compiled in (True, False) if any(map(_is_decision, said)) else (False,):
            try:
                model = _to_onnx(torch.jit.script(module) if compiled else module, sample)
                if _computes_the_same(module, model, rows):
                    return model
                problems.append("what it exports does not compute the same")
            except Exception as error:  # the exporter raises whatever it meets, with no class in common
                problems.append(_first_line(error))
    raise PlanError(f"torch cannot export {type(module).__name__}: {'; '.join(problems)}")


@contextmanager
def _plainly() -> Iterator[list[warnings.WarningMessage]]:
    """Without torch's fused attention, which has no operator in ONNX; warnings are kept.

    Torch calls this exporter old: the new one takes seconds and another package.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield said
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _is_decision(warning: warnings.WarningMessage) -> bool:
    """Whether torch has said of a line outside torch that it turns a tensor into a Python number or truth."""
    own = not warning.filename.startswith(_TORCH)
    return own and issubclass(warning.category, torch.jit.TracerWarning)  # type: ignore[attr-defined]


def _to_onnx(module: nn.Module, sample: torch.Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            (sample,),
            path,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
            opset_version=_OPSET,
        )
        return _with_whole_axes(onnx.load(path)).SerializeToString()


def _with_whole_axes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Axes of transpositions counted from the front: of `movedim(-1, 1)` the exporter writes what ONNX forbids."""
    for node in model.graph.node:
        if node.op_type == "Transpose":
            axes = node.attribute[0].ints
            axes[:] = [axis % len(axes) for axis in axes]
    return model


def _computes_the_same(module: nn.Module, model: bytes, rows: NDArray[np.generic]) -> bool:
    """On rows one by one and all together: an export may forget that there can be several."""
    session = open_session(model)
    some = rows[:_CHECKED_ROWS]
    for batch in (some, *(some[at : at + 1] for at in range(len(some)))):
        with torch.no_grad():
            wanted = module(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
        got = predict(session, batch)
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=_CLOSE, atol=_CLOSE):
            return False
    return True


def _quantised(model: bytes, rows: NDArray[np.generic]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        prepared, path = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(onnx.load_from_string(model), prepared, skip_symbolic_shape=True)
        ready = _untied(onnx.load(prepared))
        quantize_static(
            ready,
            path,
            _Rows(rows),
            op_types_to_quantize=[kind for kind in _IN_INTEGERS if kind != "Add" or not _adds_masks(ready)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


def _adds_masks(model: onnx.ModelProto) -> bool:
    """Whether sums go into a softmax, as in masked attention: they may hold −∞, which has no place on a grid."""
    scores = {name for node in model.graph.node if node.op_type == "Softmax" for name in node.input}
    return any(node.op_type == "Add" and scores & {*node.output} for node in model.graph.node)


def _untied(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a copy of a matrix for every layer that reads it: in integers the runtime refuses to open shared ones."""
    constants = {constant.name: constant for constant in model.graph.initializer}
    seen: set[str] = set()
    for at, node in enumerate(model.graph.node):
        for place, name in enumerate(node.input):
            if name in seen:
                copied = model.graph.initializer.add()
                copied.CopyFrom(constants[name])
                copied.name = node.input[place] = f"{name}.{at}"
            elif name in constants and len(constants[name].dims) > 1:
                seen.add(name)
    return model


class _Rows(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    """Calibration rows in batches, as the quantiser asks for them."""

    def __init__(self, rows: NDArray[np.generic]) -> None:
        self._batches: Iterator[NDArray[np.generic]] = (
            np.ascontiguousarray(rows[at : at + _BATCH_ROWS]) for at in range(0, len(rows), _BATCH_ROWS)
        )

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
