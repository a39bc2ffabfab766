"""What each layer of a quantised net that computes in integers becomes in ONNX: float between dequantised and quantised
values, as ONNX Runtime's fusions want it. Functions and rows are as in `export_float.py`.
"""

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from fedtailor.client.export_float import Emitter, apply_function, average_pool, concatenate, convolve
from fedtailor.client.export_graph import CONTRIB, Graph, Value
from fedtailor.protos.quantised_net import (
    BlockLinear,
    Dequantise,
    Grid,
    Quantise,
    QuantisedActivation,
    QuantisedAdd,
    QuantisedAverage,
    QuantisedAveragePool,
    QuantisedConcat,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLinear,
    UInt8s,
)
from fedtailor.strategies.integer.lookup import is_steady, lookup

_INT8_INPUTS = 4  # MatMulNBits' accuracy level


def _quantise(graph: Graph, layer: Quantise, value: Value) -> Value:
    """ONNX Runtime would quantise float layers between u8 and u8, weights and all: a maximum that changes nothing, and
    has no integer kernel, holds it off."""
    name = value.name
    if value.from_u8:
        name = graph.node("Max", [name, graph.constant(np.array(np.finfo(np.float32).min), "lowest")])
    return _on_grid(graph, value, name, layer.output)


def _dequantise(graph: Graph, _: Dequantise, value: Value) -> Value:
    return replace(value, name=graph.dequantise(value), grid=None)


def _on_grid(graph: Graph, value: Value, name: str, output: Grid) -> Value:
    """What the node of this name answers in float32, on the output's grid."""
    return replace(value, name=graph.quantise(name, output), grid=output)


def _grid(value: Value) -> Grid:
    """What an integer layer finds; float32 would stand for itself."""
    return value.grid or Grid(1.0, 0)


def _conv(graph: Graph, layer: QuantisedConv, value: Value) -> Value:
    name = convolve(graph, layer, graph.dequantise(value), *_weight_and_bias(graph, layer, value))
    return _on_grid(graph, value, name, layer.output)


def _linear(graph: Graph, layer: QuantisedLinear, value: Value) -> Value:
    rows = graph.rows(value)
    if layer.output is None:
        after = replace(rows, name=_integer_gemm(graph, layer, rows), grid=None)
    else:
        inputs = [graph.dequantise(rows), *_weight_and_bias(graph, layer, value)]
        after = _on_grid(graph, rows, graph.node("Gemm", inputs, transB=1), layer.output)
    return graph.unrolled(after, value.shape[:-1], len(layer.bias))


def _integer_gemm(graph: Graph, layer: QuantisedLinear, rows: Value) -> str:
    """Where the answer is float, the runtime's own operator: in QDQ form it would draw an activation that follows into
    a float Gemm before it finds the integers."""
    bias = graph.constant(layer.bias, f"{layer.name}.bias")
    inputs = [rows.name, *graph.grid(_grid(rows)), *_weight(graph, layer), bias]
    return graph.node("QGemm", inputs, domain=CONTRIB, transB=1)


def _weight_and_bias(graph: Graph, layer: QuantisedConv | QuantisedLinear, value: Value) -> tuple[str, str]:
    """In float32, as the fusions want them: with a zero point, and one of each layer's own."""
    bias = graph.constant(layer.bias, f"{layer.name}.bias")
    scales = graph.constant(np.float32(_grid(value).scale) * layer.scales, f"{layer.name}.bias_scales")
    zero = graph.constant(np.zeros(len(layer.bias), np.int32), f"{layer.name}.bias_zero")
    return (
        graph.node("DequantizeLinear", _weight(graph, layer), domain=CONTRIB, axis=0),
        graph.node("DequantizeLinear", [bias, scales, zero], domain=CONTRIB, axis=0),
    )


def _weight(graph: Graph, layer: QuantisedConv | QuantisedLinear) -> list[str]:
    """Integers, scales and zero points."""
    return [
        graph.constant(layer.weight, f"{layer.name}.weight"),
        graph.constant(layer.scales, f"{layer.name}.scales"),
        graph.constant(np.zeros(len(layer.bias), np.int8), f"{layer.name}.weight_zero"),
    ]


def _average(graph: Graph, layer: QuantisedAverage, value: Value) -> Value:
    """The integer kernel works channels last: asked for in that order, its answer is not transposed once more."""
    rank = len(value.shape)
    name = graph.quantise(graph.node("GlobalAveragePool", [graph.dequantise(value)]), layer.output)
    last = graph.transpose(name, 0, *range(2, rank + 1), 1)
    return replace(value, name=graph.squeeze(last, *range(1, rank)), grid=layer.output)


def _average_pool(graph: Graph, layer: QuantisedAveragePool, value: Value) -> Value:
    return _on_grid(graph, value, average_pool(graph, layer, graph.dequantise(value)), layer.output)


def _embedding(graph: Graph, layer: QuantisedEmbedding, value: Value) -> Value:
    table = graph.constant(layer.table, f"{layer.name}.table")
    return replace(value, name=graph.node("Gather", [table, value.name], axis=0), grid=layer.output)


def _add(graph: Graph, layer: QuantisedAdd, *values: Value) -> Value:
    return _on_grid(graph, values[0], graph.node("Add", list(map(graph.dequantise, values))), layer.output)


def _concat(graph: Graph, layer: QuantisedConcat, *values: Value) -> Value:
    names = list(map(graph.dequantise, values))
    return _on_grid(graph, values[0], concatenate(graph, layer.axis, names), layer.output)


def _activation(graph: Graph, layer: QuantisedActivation, value: Value) -> Value:
    """In float32 where that gives the very answers looked up: six times as fast as looking them up."""
    if is_steady(layer.function, _grid(value), layer.output):
        name = apply_function(graph, layer.function, graph.dequantise(value))
        return _on_grid(graph, value, name, layer.output)
    table = graph.constant(lookup(layer.function, _grid(value), layer.output), f"{layer.name}.table")
    places = graph.node("Cast", [value.name], to=TensorProto.INT32)
    return replace(value, name=graph.node("Gather", [table, places]), grid=layer.output)


def _block_linear(graph: Graph, layer: BlockLinear, value: Value) -> Value:
    """MatMulNBits with inputs rounded to 8 bits per block: in float32 it would seldom beat Gemm."""
    outputs, inputs = layer.weight.shape
    name = graph.node(
        "MatMulNBits",
        [
            value.name,
            graph.constant(_nibbles(layer), f"{layer.name}.weight"),
            graph.constant(layer.scales.reshape(-1), f"{layer.name}.scales"),
            "",  # zero points: 8
            "",  # order of inputs: as they are
            graph.constant(layer.bias, f"{layer.name}.bias"),
        ],
        domain=CONTRIB,
        K=inputs,
        N=outputs,
        bits=4,
        block_size=layer.block,
        accuracy_level=_INT8_INPUTS,
    )
    return replace(value, name=name)


def _nibbles(layer: BlockLinear) -> UInt8s:
    """[out, blocks, block / 2]: value + 8, the first of two in the low half; 0 fills the last block."""
    outputs, inputs = layer.weight.shape
    blocks = layer.scales.shape[1]
    whole = np.pad(layer.weight, ((0, 0), (0, blocks * layer.block - inputs))) + 8
    pairs: UInt8s = whole.astype(np.uint8).reshape(outputs, blocks, layer.block // 2, 2)
    return pairs[..., 0] + 16 * pairs[..., 1]


QUANTISED_EMITTERS: dict[type, Emitter] = {
    Quantise: _quantise,
    Dequantise: _dequantise,
    QuantisedConv: _conv,
    QuantisedLinear: _linear,
    QuantisedAverage: _average,
    QuantisedAveragePool: _average_pool,
    QuantisedEmbedding: _embedding,
    QuantisedAdd: _add,
    QuantisedConcat: _concat,
    QuantisedActivation: _activation,
    BlockLinear: _block_linear,
}
