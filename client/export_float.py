"""What each layer that computes in float32, or only moves and compares values, becomes in ONNX.

One function and one row per kind of layer: (graph, layer, values it reads) to the value it answers. The exporter fills
in that value's shape.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fedtailor.client.export_graph import CONTRIB, Graph, Value
from fedtailor.protos.net import (
    Activation,
    Add,
    Affine,
    Attention,
    AveragePool,
    ChannelsFirst,
    ChannelsLast,
    Concat,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    Linear,
    MaxPool,
    Positions,
)
from fedtailor.protos.quantised_net import QuantisedAveragePool, QuantisedConv

Emitter = Callable[..., Value]

EITHER_WAY = (Conv, Activation, MaxPool, AveragePool, GlobalAveragePool, Flatten, Add, Concat)  # lifted or not

_OPERATORS = {"relu": "Relu", "hardswish": "HardSwish", "gelu": "Gelu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def apply_function(graph: Graph, function: str, value: str) -> str:
    """The node of an activation of float32."""
    if function == "relu6":
        ends = [graph.constant(np.array(end, np.float32), f"end:{end}") for end in (0, 6)]
        return graph.node("Clip", [value, *ends])
    if function == "silu":  # x · sigmoid(1 · x) in one kernel
        return graph.node("QuickGelu", [value], domain=CONTRIB, alpha=1.0)
    return graph.node(_OPERATORS[function], [value])


def convolve(graph: Graph, layer: Conv | QuantisedConv, value: str, weight: str, bias: str) -> str:
    """The node of a convolution of float32."""
    befores, afters = zip(*layer.padding, strict=True)
    return graph.node(
        "Conv",
        [value, weight, bias],
        kernel_shape=layer.weight.shape[2:],
        strides=layer.stride,
        pads=befores + afters,
        dilations=layer.dilation,
        group=layer.groups,
    )


def average_pool(graph: Graph, layer: AveragePool | QuantisedAveragePool, value: str, *, lifted: bool = False) -> str:
    """The node of an average of windows of float32."""
    ahead = (1,) * lifted
    return graph.node("AveragePool", [value], kernel_shape=ahead + layer.kernel, strides=ahead + layer.stride)


def concatenate(graph: Graph, axis: int, values: list[str], *, lifted: bool = False) -> str:
    """The node of values side by side along an axis of the sample."""
    return graph.node("Concat", values, axis=1 + axis + (lifted and axis > 0))


def _affine(graph: Graph, layer: Affine, value: Value) -> Value:
    scale = graph.constant(layer.scale, f"{layer.name}.scale")
    shift = graph.constant(layer.shift, f"{layer.name}.shift")
    return replace(value, name=graph.node("Add", [graph.node("Mul", [value.name, scale]), shift]))


def _channels_first(graph: Graph, _: ChannelsFirst, value: Value) -> Value:
    rank = len(value.shape)
    return replace(value, name=graph.transpose(value.name, 0, rank, *range(1, rank)))


def _channels_last(graph: Graph, _: ChannelsLast, value: Value) -> Value:
    return replace(value, name=graph.transpose(value.name, 0, *range(2, len(value.shape) + 1), 1))


def _conv(graph: Graph, layer: Conv, value: Value) -> Value:
    value = graph.lift(value)
    kernel = _lifted(layer) if value.lifted else layer
    weight = graph.constant(kernel.weight, f"{layer.name}.weight")
    bias = graph.constant(kernel.bias, f"{layer.name}.bias")
    return replace(value, name=convolve(graph, kernel, value.name, weight, bias))


def _lifted(layer: Conv) -> Conv:
    return replace(
        layer,
        weight=layer.weight[:, :, None],
        stride=(1, *layer.stride),
        padding=((0, 0), *layer.padding),
        dilation=(1, *layer.dilation),
    )


def _linear(graph: Graph, layer: Linear, value: Value) -> Value:
    """Gemm takes two axes, and is faster on rows than MatMul and Add."""
    rows = graph.rows(value)
    weight = graph.constant(layer.weight, f"{layer.name}.weight")
    bias = graph.constant(layer.bias, f"{layer.name}.bias")
    after = replace(rows, name=graph.node("Gemm", [rows.name, weight, bias], transB=1))
    return graph.unrolled(after, value.shape[:-1], len(layer.bias))


def _activation(graph: Graph, layer: Activation, value: Value) -> Value:
    """On u8 there is ReLU alone, which compares with what stands for 0."""
    if value.grid is None:
        return replace(value, name=apply_function(graph, layer.function, value.name))
    return replace(value, name=graph.node("Max", [value.name, graph.zero_point(value.grid)]))


def _max_pool(graph: Graph, layer: MaxPool, value: Value) -> Value:
    ahead = (1,) * value.lifted
    padding = ((0, 0),) * value.lifted + (layer.padding or ((0, 0),) * len(layer.kernel))
    befores, afters = zip(*padding, strict=True)
    kernel, stride = ahead + layer.kernel, ahead + layer.stride
    pads = befores + afters
    return replace(value, name=graph.node("MaxPool", [value.name], kernel_shape=kernel, strides=stride, pads=pads))


def _average_pool(graph: Graph, layer: AveragePool, value: Value) -> Value:
    return replace(value, name=average_pool(graph, layer, value.name, lifted=value.lifted))


def _average(graph: Graph, _: GlobalAveragePool, value: Value) -> Value:
    name = graph.node("GlobalAveragePool", [value.name])
    axes = range(2, 1 + len(value.shape) + value.lifted)
    return replace(value, name=graph.squeeze(name, *axes), lifted=False)


def _flatten(graph: Graph, _: Flatten, value: Value) -> Value:
    return replace(value, name=graph.node("Flatten", [value.name], axis=1), lifted=False)


def _embedding(graph: Graph, layer: Embedding, value: Value) -> Value:
    table = graph.constant(layer.table, f"{layer.name}.table")
    return replace(value, name=graph.node("Gather", [table, value.name], axis=0))


def _add(graph: Graph, _: Add, *values: Value) -> Value:
    first, second = graph.alike(values)
    return replace(first, name=graph.node("Add", [first.name, second.name]))


def _concat(graph: Graph, layer: Concat, *values: Value) -> Value:
    held = graph.alike(values)
    names = [value.name for value in held]
    return replace(held[0], name=concatenate(graph, layer.axis, names, lifted=held[0].lifted))


def _layer_norm(graph: Graph, layer: LayerNorm, value: Value) -> Value:
    scale = graph.constant(layer.scale, f"{layer.name}.scale")
    shift = graph.constant(layer.shift, f"{layer.name}.shift")
    inputs = [value.name, scale, shift]
    return replace(value, name=graph.node("LayerNormalization", inputs, axis=-1, epsilon=layer.epsilon))


def _attention(graph: Graph, layer: Attention, *values: Value) -> Value:
    names, heads, causal = [value.name for value in values], layer.heads, int(layer.causal)
    name = graph.node("Attention", names, q_num_heads=heads, kv_num_heads=heads, is_causal=causal)
    return replace(values[0], name=name)


def _positions(graph: Graph, layer: Positions, value: Value) -> Value:
    table = graph.constant(layer.table, f"{layer.name}.table")
    return replace(value, name=graph.node("Add", [value.name, table]))


FLOAT_EMITTERS: dict[type, Emitter] = {
    Affine: _affine,
    ChannelsFirst: _channels_first,
    ChannelsLast: _channels_last,
    Conv: _conv,
    Linear: _linear,
    Activation: _activation,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    GlobalAveragePool: _average,
    Flatten: _flatten,
    Embedding: _embedding,
    Add: _add,
    Concat: _concat,
    LayerNorm: _layer_norm,
    Attention: _attention,
    Positions: _positions,
}
