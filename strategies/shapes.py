"""What runs between the layers of a net: the shape of one sample, and whether it is tokens, float32 or u8."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import (
    Affine,
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.protos.quantised_net import (
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLinear,
    QuantisedNet,
)

Shape = tuple[int, ...]

_MAX_VALUES = 1 << 26  # of one sample between two layers; a chain from bad bytes must not make a runtime allocate


def layer_shapes(net: Net | QuantisedNet) -> tuple[Shape, ...]:
    """The sample's shape before the first layer and after each one.

    Raises:
        PlanError: a layer does not fit what reaches it.
    """
    shapes = [net.input_shape]
    values = "tokens" if net.tokens else "float"
    names = [layer.name for layer in net.layers]
    _require(len(set(names)) == len(names), "every layer", "a name of its own", names)
    _require(net.input_shape and min(net.input_shape) >= 1, "the input", "a shape of sizes above 0", net.input_shape)
    for layer in net.layers:
        who = f"layer {layer.name!r} ({type(layer).__name__})"
        shape_after, takes, gives = _RULES[type(layer)]
        _require(values in takes, who, " or ".join(takes), values)
        shapes.append(shape_after(layer, shapes[-1], who))
        _require(1 <= prod(shapes[-1]) <= _MAX_VALUES, who, f"to give 1 to {_MAX_VALUES} values", shapes[-1])
        values = gives or values
        if isinstance(layer, QuantisedLinear) and layer.output is None:
            values = "float"
    return tuple(shapes)


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
    padded = [size + before + after for size, (before, after) in zip(shape[1:], layer.padding, strict=True)]
    return (outputs, *map(_windows, padded, kernel, layer.stride, layer.dilation))


def _check_scales(layer: QuantisedConv | QuantisedLinear, who: str) -> None:
    _require(layer.scales.shape == layer.bias.shape, who, "a scale for every bias", layer.scales.shape)
    _require(((layer.scales > 0) & np.isfinite(layer.scales)).all(), who, "finite scales above 0", layer.scales)


def _after_quantised_conv(layer: QuantisedConv, shape: Shape, who: str) -> Shape:
    _check_scales(layer, who)
    return _after_conv(layer, shape, who)


def _after_linear(layer: Linear | QuantisedLinear, shape: Shape, who: str) -> Shape:
    _require(layer.weight.ndim == 2 and layer.weight.shape[1] == shape[-1], who, f"{layer.weight.shape}", shape)
    _require(layer.bias.shape == layer.weight.shape[:1], who, f"{len(layer.weight)} biases", layer.bias.shape)
    return (*shape[:-1], len(layer.weight))


def _after_quantised_linear(layer: QuantisedLinear, shape: Shape, who: str) -> Shape:
    _check_scales(layer, who)
    return _after_linear(layer, shape, who)


def _after_max_pool(layer: MaxPool, shape: Shape, who: str) -> Shape:
    rank = len(shape) - 1
    _require(rank in {1, 2} and len(layer.kernel) == len(layer.stride) == rank, who, f"{rank} sizes", layer.kernel)
    _require(min(*layer.kernel, *layer.stride) >= 1, who, "sizes above 0", layer.kernel)
    return (shape[0], *map(_windows, shape[1:], layer.kernel, layer.stride, (1,) * rank))


def _after_average(_: object, shape: Shape, who: str) -> Shape:
    _require(len(shape) in {2, 3}, who, "channels and one or two more axes", shape)
    return shape[:1]


def _flat(_: Flatten, shape: Shape, __: str) -> Shape:
    return (prod(shape),)


def _after_embedding(layer: Embedding | QuantisedEmbedding, shape: Shape, who: str) -> Shape:
    _require(layer.table.ndim == 2 and len(shape) == 1, who, "a table and a row of tokens", shape)
    return (*shape, layer.table.shape[1])


_NUMBERS = ("float", "u8")
_RULES: dict[type, tuple[Callable[[Any, Shape, str], Shape], tuple[str, ...], str]] = {
    Affine: (_after_affine, ("float",), ""),
    ChannelsFirst: (_channels_first, _NUMBERS, ""),
    ChannelsLast: (_channels_last, _NUMBERS, ""),
    Relu: (_same, _NUMBERS, ""),
    MaxPool: (_after_max_pool, _NUMBERS, ""),
    Flatten: (_flat, _NUMBERS, ""),
    Conv: (_after_conv, ("float",), ""),
    Linear: (_after_linear, ("float",), ""),
    GlobalAveragePool: (_after_average, ("float",), ""),
    Embedding: (_after_embedding, ("tokens",), "float"),
    Quantise: (_same, ("float",), "u8"),
    QuantisedConv: (_after_quantised_conv, ("u8",), ""),
    QuantisedLinear: (_after_quantised_linear, ("u8",), ""),
    QuantisedAverage: (_after_average, ("u8",), ""),
    QuantisedEmbedding: (_after_embedding, ("tokens",), "u8"),
}
