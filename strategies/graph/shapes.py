"""What runs between the layers of a net: the shape of one sample, and whether it is tokens, float32 or u8."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fedtailor.protos.errors import PlanError
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
    Net,
    Positions,
)
from fedtailor.protos.quantised_net import (
    BlockLinear,
    Dequantise,
    Quantise,
    QuantisedActivation,
    QuantisedAdd,
    QuantisedAverage,
    QuantisedAveragePool,
    QuantisedConcat,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLinear,
    QuantisedNet,
)

Shape = tuple[int, ...]

_MAX_VALUES = 1 << 26  # of one sample between two layers; a chain from bad bytes must not make a runtime allocate


def layer_shapes(net: Net | QuantisedNet) -> tuple[Shape, ...]:
    """One sample's shape for every value: the sample itself, then each layer's answer.

    Raises:
        PlanError: a layer does not fit what it reads.
    """
    shapes = [net.input_shape]
    names = [layer.name for layer in net.layers]
    _require(net.layers, "a net", "at least one layer", "none")
    _require(len(set(names)) == len(names), "every layer", "a name of its own", names)
    _require(net.input_shape and min(net.input_shape) >= 1, "the input", "a shape of sizes above 0", net.input_shape)
    kinds = value_kinds(net)
    for layer, read in zip(net.layers, net.wires, strict=True):
        who = f"layer {layer.name!r} ({type(layer).__name__})"
        rule, takes, _ = _RULES[type(layer)]
        arity = _ARITY.get(type(layer), 1)
        many = isinstance(layer, Concat | QuantisedConcat)
        _require(len(read) >= arity if many else len(read) == arity, who, f"{arity} values to read", len(read))
        got = {kinds[value] for value in read}
        _require(len(got) == 1 and got <= set(takes), who, " or ".join(takes), " and ".join(sorted(got)))
        shapes.append(rule(layer, *(shapes[value] for value in read), who))
        _require(1 <= prod(shapes[-1]) <= _MAX_VALUES, who, f"to give 1 to {_MAX_VALUES} values", shapes[-1])
    return tuple(shapes)


def value_kinds(net: Net | QuantisedNet) -> tuple[str, ...]:
    """Whether each value is "tokens", "float" or "u8", by what its layer gives."""
    kinds = ["tokens" if net.tokens else "float"]
    for layer, read in zip(net.layers, net.wires, strict=True):
        float_answer = isinstance(layer, QuantisedLinear) and layer.output is None
        kinds.append("float" if float_answer else _RULES[type(layer)][2] or kinds[read[0]])
    return tuple(kinds)


def _require(holds: object, who: str, expected: str, got: object) -> None:
    if not holds:
        raise PlanError(f"{who} expects {expected}, got {got}; the layers of this net do not fit each other")


def _same(_: object, shape: Shape, __: str) -> Shape:
    return shape


def _after_affine(layer: Affine, shape: Shape, who: str) -> Shape:
    sizes = {(1,), shape[-1:]}
    _require({layer.scale.shape, layer.shift.shape} <= sizes, who, f"values for {layer.scale.shape}", shape)
    return shape


def _channels_first(_: ChannelsFirst, shape: Shape, __: str) -> Shape:
    return (shape[-1], *shape[:-1])


def _channels_last(_: ChannelsLast, shape: Shape, __: str) -> Shape:
    return (*shape[1:], shape[0])


def _windows(size: int, kernel: int, stride: int, dilation: int) -> int:
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def _after_conv(layer: Conv | QuantisedConv, shape: Shape, who: str) -> Shape:
    rank = len(shape) - 1
    _require(rank in {1, 2} and layer.weight.ndim == rank + 2, who, f"weights of rank {rank + 2}", layer.weight.shape)
    outputs, inputs, *kernel = layer.weight.shape
    steps = (*layer.stride, *layer.dilation, layer.groups, *kernel, outputs)
    _require(min(steps) >= 1, who, "sizes above 0", steps)
    _require(
        len(layer.stride) == len(layer.dilation) == len(layer.padding) == rank, who, f"{rank} strides", layer.stride
    )
    _require(min(map(min, layer.padding)) >= 0, who, "padding of at least 0", layer.padding)
    _require(inputs * layer.groups == shape[0] and outputs % layer.groups == 0, who, f"{inputs * layer.groups}", shape)
    _require(layer.bias.shape == (outputs,), who, f"{outputs} biases", layer.bias.shape)
    _require(layer.scales is None or layer.scales.shape == (outputs,), who, f"{outputs} scales", layer.scales)
    padded = [size + before + after for size, (before, after) in zip(shape[1:], layer.padding, strict=True)]
    return (outputs, *map(_windows, padded, kernel, layer.stride, layer.dilation))


def _check_scales(layer: QuantisedConv | QuantisedLinear, who: str) -> None:
    _require(layer.scales.shape == layer.bias.shape, who, "a scale for every bias", layer.scales.shape)
    _require(((layer.scales > 0) & np.isfinite(layer.scales)).all(), who, "finite scales above 0", layer.scales)


def _after_quantised_conv(layer: QuantisedConv, shape: Shape, who: str) -> Shape:
    _check_scales(layer, who)
    return _after_conv(layer, shape, who)


def _after_linear(layer: Linear | QuantisedLinear | BlockLinear, shape: Shape, who: str) -> Shape:
    _require(layer.weight.ndim == 2 and layer.weight.shape[1] == shape[-1], who, f"{layer.weight.shape}", shape)
    _require(layer.bias.shape == layer.weight.shape[:1], who, f"{len(layer.weight)} biases", layer.bias.shape)
    if isinstance(layer, Linear) and layer.scales is not None:
        _require(layer.scales.shape == layer.bias.shape, who, f"{len(layer.weight)} scales", layer.scales.shape)
    return (*shape[:-1], len(layer.weight))


def _after_quantised_linear(layer: QuantisedLinear, shape: Shape, who: str) -> Shape:
    _check_scales(layer, who)
    return _after_linear(layer, shape, who)


def _after_max_pool(layer: MaxPool, shape: Shape, who: str) -> Shape:
    _check_pool(layer, shape, who)
    padding = layer.padding or ((0, 0),) * len(layer.kernel)
    _require(len(padding) == len(layer.kernel), who, f"{len(layer.kernel)} paddings", padding)
    inside = all(0 <= side < size for pair, size in zip(padding, layer.kernel, strict=True) for side in pair)
    _require(inside, who, "padding smaller than the kernel", padding)
    padded = [size + before + after for size, (before, after) in zip(shape[1:], padding, strict=True)]
    return (shape[0], *map(_windows, padded, layer.kernel, layer.stride, (1,) * len(padded)))


def _after_average_pool(layer: AveragePool | QuantisedAveragePool, shape: Shape, who: str) -> Shape:
    _check_pool(layer, shape, who)
    return (shape[0], *map(_windows, shape[1:], layer.kernel, layer.stride, (1,) * len(layer.kernel)))


def _check_pool(layer: MaxPool | AveragePool | QuantisedAveragePool, shape: Shape, who: str) -> None:
    rank = len(shape) - 1
    _require(rank in {1, 2} and len(layer.kernel) == len(layer.stride) == rank, who, f"{rank} sizes", layer.kernel)
    _require(min(*layer.kernel, *layer.stride) >= 1, who, "sizes above 0", layer.kernel)


def _after_average(_: object, shape: Shape, who: str) -> Shape:
    _require(len(shape) in {2, 3}, who, "channels and one or two more axes", shape)
    return shape[:1]


def _flat(_: Flatten, shape: Shape, __: str) -> Shape:
    return (prod(shape),)


def _after_embedding(layer: Embedding | QuantisedEmbedding, shape: Shape, who: str) -> Shape:
    _require(layer.table.ndim == 2 and len(shape) == 1, who, "a table and a row of tokens", shape)
    return (*shape, layer.table.shape[1])


def _after_add(_: Add | QuantisedAdd, left: Shape, right: Shape, who: str) -> Shape:
    _require(left == right, who, f"a second value of shape {left}", right)
    return left


def _after_concat(layer: Concat | QuantisedConcat, *shapes_and_who: Any) -> Shape:
    *shapes, who = shapes_and_who
    axis, first = layer.axis, shapes[0]
    _require(0 <= axis < len(first), who, f"an axis below {len(first)}", axis)
    around = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    _require(len(around) == 1 and {len(shape) for shape in shapes} == {len(first)}, who, "equal other axes", shapes)
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _after_layer_norm(layer: LayerNorm, shape: Shape, who: str) -> Shape:
    _require(layer.scale.shape == layer.shift.shape == shape[-1:], who, f"values for {layer.scale.shape}", shape)
    _require(0 < layer.epsilon < 1, who, "an epsilon above 0 and below 1", layer.epsilon)
    return shape


def _after_attention(layer: Attention, query: Shape, key: Shape, value: Shape, who: str) -> Shape:
    _require(len(query) == 2 and query == key == value, who, "three values of one shape [T, C]", (query, key, value))
    _require(layer.heads >= 1 and query[1] % layer.heads == 0, who, f"a multiple of {layer.heads} channels", query)
    return query


def _after_positions(layer: Positions, shape: Shape, who: str) -> Shape:
    _require(layer.table.shape == shape, who, f"{layer.table.shape}", shape)
    return shape


def _after_block_linear(layer: BlockLinear, shape: Shape, who: str) -> Shape:
    after = _after_linear(layer, shape, who)
    _require(layer.block >= 16 and layer.block & (layer.block - 1) == 0, who, "a block of 2^k, 16 or more", layer.block)
    blocks = -(-layer.weight.shape[1] // layer.block)
    _require(layer.scales.shape == (len(layer.weight), blocks), who, f"{blocks} scales a row", layer.scales.shape)
    _require(np.isfinite(layer.scales).all(), who, "finite scales", layer.scales)
    return after


_NUMBERS = ("float", "u8")
_ARITY: dict[type, int] = {Add: 2, QuantisedAdd: 2, Concat: 2, QuantisedConcat: 2, Attention: 3}
_RULES: dict[type, tuple[Callable[..., Shape], tuple[str, ...], str]] = {  # rule, what it takes, what it gives
    Affine: (_after_affine, ("float",), ""),
    ChannelsFirst: (_channels_first, _NUMBERS, ""),
    ChannelsLast: (_channels_last, _NUMBERS, ""),
    Activation: (_same, _NUMBERS, ""),
    MaxPool: (_after_max_pool, _NUMBERS, ""),
    AveragePool: (_after_average_pool, ("float",), ""),
    Flatten: (_flat, _NUMBERS, ""),
    Conv: (_after_conv, ("float",), ""),
    Linear: (_after_linear, ("float",), ""),
    GlobalAveragePool: (_after_average, ("float",), ""),
    Embedding: (_after_embedding, ("tokens",), "float"),
    Add: (_after_add, ("float",), ""),
    Concat: (_after_concat, ("float",), ""),
    LayerNorm: (_after_layer_norm, ("float",), ""),
    Attention: (_after_attention, ("float",), ""),
    Positions: (_after_positions, ("float",), ""),
    Quantise: (_same, ("float",), "u8"),
    Dequantise: (_same, ("u8",), "float"),
    QuantisedConv: (_after_quantised_conv, ("u8",), ""),
    QuantisedLinear: (_after_quantised_linear, ("u8",), ""),
    QuantisedAverage: (_after_average, ("u8",), ""),
    QuantisedAveragePool: (_after_average_pool, ("u8",), ""),
    QuantisedEmbedding: (_after_embedding, ("tokens",), "u8"),
    QuantisedAdd: (_after_add, ("u8",), ""),
    QuantisedConcat: (_after_concat, ("u8",), ""),
    QuantisedActivation: (_same, ("u8",), ""),
    BlockLinear: (_after_block_linear, ("float",), ""),
}
