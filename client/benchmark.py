"""The micro-benchmark: what one thread of this machine does for small networks, in under 2 s of processor time.

Every operator runs alone in ONNX Runtime, in the session a variant is served from, and its median run is what counts.
GFLOP/s and GOP/s are 2 · multiply-accumulates per second.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fedtailor.client.export import serialised
from fedtailor.client.runtime import open_session
from fedtailor.protos.device_profile import Benchmark

_BUDGET_S = 0.06  # of wall time for each of the nine figures; a slow device overruns it by its three runs
_RUNS = (3, 200)
_CHANNELS, _SIDE = 64, 32  # of the convolutions' images
_L2_BYTES, _L3_BYTES, _DRAM_BYTES = 128 * 2**10, 2 * 2**20, 32 * 2**20  # one buffer; a copy touches two


def benchmark() -> Benchmark:
    """Measure this machine now. `cpu_s` is the processor time that took, building the models included."""
    started = time.process_time()
    pixels = _SIDE * _SIDE
    figures = {
        "gemm_m1_fp32_gflops": _giga_rate(_gemm(1, 512), 512 * 512),
        "gemm_m1_int8_gops": _giga_rate(_gemm_int8(1, 512), 512 * 512),
        "gemm_m256_fp32_gflops": _giga_rate(_gemm(256, 256), 256**3),
        "gemm_m256_int8_gops": _giga_rate(_gemm_int8(256, 256), 256**3),
        "depthwise_fp32_gflops": _giga_rate(_conv(kernel=3, groups=_CHANNELS), 9 * _CHANNELS * pixels),
        "pointwise_fp32_gflops": _giga_rate(_conv(kernel=1, groups=1), _CHANNELS * _CHANNELS * pixels),
        "copy_l2_gb_s": _copy_rate(_L2_BYTES),
        "copy_l3_gb_s": _copy_rate(_L3_BYTES),
        "copy_dram_gb_s": _copy_rate(_DRAM_BYTES),
    }
    return Benchmark(**figures, cpu_s=time.process_time() - started)


def median_seconds(action: Callable[[], object], budget_s: float = _BUDGET_S) -> float:
    """Median wall time of `action` after one warm-up: 3 to 200 runs, as many as fit into `budget_s`."""
    action()
    fewest, most = _RUNS
    times: list[float] = []
    while len(times) < fewest or (len(times) < most and sum(times) < budget_s):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def _giga_rate(model: bytes, macs: int) -> float:
    session = open_session(model)
    given = session.get_inputs()[0]
    dtype = np.uint8 if given.type == "tensor(uint8)" else np.float32
    feed = {given.name: np.full(given.shape, 3, dtype)}
    return 2 * macs / median_seconds(lambda: session.run(None, feed)) / 1e9


def _copy_rate(size: int) -> float:
    """GB/s of bytes copied; the memory moves twice that, once read and once written."""
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)  # ones: pages of zeros may not be real yet
    return size / median_seconds(lambda: np.copyto(target, source)) / 1e9


def _gemm(rows: int, width: int) -> bytes:
    weight = _weights((width, width))
    return _model(
        helper.make_node("MatMul", ["x", "weight"], ["y"]), TensorProto.FLOAT, (rows, width), {"weight": weight}
    )


def _gemm_int8(rows: int, width: int) -> bytes:
    """u8 activations, s8 weights, u8 output: the exact integer kernel of a quantised variant."""
    weight = (_weights((width, width)) * 127).astype(np.int8)
    constants: dict[str, NDArray[np.generic]] = {"weight": weight}
    for tensor, zero in (("x", np.uint8(128)), ("weight", np.int8(0)), ("y", np.uint8(128))):
        constants[f"{tensor}_scale"] = np.array(0.02, np.float32)
        constants[f"{tensor}_zero"] = np.array(zero)
    inputs = ["x", "x_scale", "x_zero", "weight", "weight_scale", "weight_zero", "y_scale", "y_zero"]
    return _model(helper.make_node("QLinearMatMul", inputs, ["y"]), TensorProto.UINT8, (rows, width), constants)


def _conv(kernel: int, groups: int) -> bytes:
    weight = _weights((_CHANNELS, _CHANNELS // groups, kernel, kernel))
    node = helper.make_node("Conv", ["x", "weight"], ["y"], group=groups, pads=[kernel // 2] * 4)
    return _model(node, TensorProto.FLOAT, (1, _CHANNELS, _SIDE, _SIDE), {"weight": weight})


def _weights(shape: Sequence[int]) -> NDArray[np.float32]:
    """Fixed and in [-1, 1]: the kernels' time does not depend on the values, but not on denormals either."""
    return np.cos(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


def _model(node: onnx.NodeProto, kind: int, shape: Sequence[int], constants: dict[str, NDArray[np.generic]]) -> bytes:
    """One operator from x to y as serialised ONNX; input and output have the same shape."""
    graph = helper.make_graph(
        [node],
        "one_operator",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return serialised(graph)
