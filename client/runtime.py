"""ONNX Runtime as a variant runs in it: one thread, every graph optimisation, quiet."""

import platform
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from fedtailor.client.processor import saturates, this_processor

_PREDICT_ROWS = 32  # amortises a call; more rows leave the cache, and on pictures cost up to a third more per row


def open_session(model: bytes) -> ort.InferenceSession:
    """A single-threaded CPU session of a model in ONNX form or, made by `optimised`, in the runtime's own."""
    return _open(model, _options())


def predict(session: ort.InferenceSession, x: NDArray[np.generic]) -> NDArray[np.float32]:
    """Outputs for all rows: x [N, *sample] to [N, outputs] or [N, T, outputs], computed in batches."""
    name = session.get_inputs()[0].name
    starts = range(0, max(len(x), 1), _PREDICT_ROWS)
    parts = [session.run(None, {name: np.ascontiguousarray(x[at : at + _PREDICT_ROWS])})[0] for at in starts]
    return np.concatenate(parts)


def optimised(model: bytes) -> bytes:
    """The model in ONNX Runtime's own form, its graph optimised for this processor: the same answers, opened in less
    than half the time and in less memory. It is for this machine and this version of the runtime alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ort"
        _save(model, path)
        return path.read_bytes()


def optimised_operators(model: bytes) -> Counter[str]:
    """How often each operator occurs in the graph that really runs, after ONNX Runtime's optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        _save(model, path)
        return Counter(node.op_type for node in onnx.load(path).graph.node)


def _save(model: bytes, path: Path) -> None:
    """Write the optimised graph in the form that the file's ending names."""
    options = _options()
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", path.suffix[1:].upper())
    _open(model, options)


def _open(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # intermediate values are handed back after a run, which is no slower for it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if _saturates():
        options.add_session_config_entry("session.x64quantprecision", "1")  # exact sums, up to a quarter slower
    return options


@cache
def _saturates() -> bool:
    """Of the processor this runs on, which stays the same."""
    return saturates(platform.machine(), this_processor()[1])
