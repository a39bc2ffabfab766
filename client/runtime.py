"""ONNX Runtime as a variant runs in it: one thread, every graph optimisation, quiet."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

_PREDICT_ROWS = 256  # enough to amortise a call, small enough to stay in cache on images


def open_session(model: bytes) -> ort.InferenceSession:
    """A single-threaded CPU session of a serialised ONNX model."""
    return _open(model, _options())


def predict(session: ort.InferenceSession, x: NDArray[np.generic]) -> NDArray[np.float32]:
    """Outputs for all rows: x [N, *sample] to [N, outputs] or [N, T, outputs], computed in batches."""
    name = session.get_inputs()[0].name
    starts = range(0, max(len(x), 1), _PREDICT_ROWS)
    parts = [session.run(None, {name: np.ascontiguousarray(x[at : at + _PREDICT_ROWS])})[0] for at in starts]
    return np.concatenate(parts)


def optimised_operators(model: bytes) -> Counter[str]:
    """How often each operator occurs in the graph that really runs, after ONNX Runtime's optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = _options()
        options.optimized_model_filepath = str(path)
        _open(model, options)
        return Counter(node.op_type for node in onnx.load(path).graph.node)


def _open(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # AVX2 without VNNI saturates u8 x s8 products at 16 bits; this trades a little speed there for exact sums.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options
