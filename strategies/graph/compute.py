"""What each layer of a `Net` answers in float32, in torch; one function and one row per kind of layer.

`numbers` are the layer's arrays by field name, so that the same functions serve training, where they are parameters.
"""

from collections.abc import Callable, Mapping
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

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
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Positions,
)

Numbers = Mapping[str, Tensor]


def answer(layer: Layer, numbers: Numbers, *inputs: Tensor) -> Tensor:
    """The layer's answer [N, ...] to the values it reads."""
    result: Tensor = _RULES[type(layer)](layer, numbers, *inputs)
    return result


def padded(x: Tensor, padding: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    """x [N, C, *spatial] with `padding` (before, after) per spatial axis."""
    return F.pad(x, [side for pair in reversed(padding) for side in pair], value=value)


def _conv(layer: Conv, numbers: Numbers, x: Tensor) -> Tensor:
    convolve: Callable[..., Tensor] = F.conv1d if len(layer.stride) == 1 else F.conv2d
    befores = tuple(before for before, _ in layer.padding)
    even = all(before == after for before, after in layer.padding)
    return convolve(
        x if even else padded(x, layer.padding),
        numbers["weight"],
        numbers["bias"],
        stride=layer.stride,
        padding=befores if even else 0,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def _max_pool(layer: MaxPool, _: Numbers, x: Tensor) -> Tensor:
    pool: Callable[..., Tensor] = F.max_pool1d if len(layer.kernel) == 1 else F.max_pool2d
    return pool(padded(x, layer.padding, -inf) if layer.padding else x, layer.kernel, layer.stride)


def _average_pool(layer: AveragePool, _: Numbers, x: Tensor) -> Tensor:
    pool: Callable[..., Tensor] = F.avg_pool1d if len(layer.kernel) == 1 else F.avg_pool2d
    return pool(x, layer.kernel, layer.stride)


def _layer_norm(layer: LayerNorm, numbers: Numbers, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], numbers["scale"], numbers["shift"], layer.epsilon)


def _attention(layer: Attention, _: Numbers, *inputs: Tensor) -> Tensor:
    query, key, value = (x.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for x in inputs)
    mixed: Tensor = F.scaled_dot_product_attention(query, key, value, is_causal=layer.causal)
    return mixed.transpose(1, 2).flatten(2)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}

_RULES: dict[type, Callable[..., Tensor]] = {
    Affine: lambda _, numbers, x: x * numbers["scale"] + numbers["shift"],
    ChannelsFirst: lambda _, __, x: x.movedim(-1, 1),
    ChannelsLast: lambda _, __, x: x.movedim(1, -1),
    Conv: _conv,
    Linear: lambda _, numbers, x: F.linear(x, numbers["weight"], numbers["bias"]),
    Activation: lambda layer, _, x: FUNCTIONS[layer.function](x),
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    GlobalAveragePool: lambda _, __, x: x.flatten(2).mean(dim=2),
    Flatten: lambda _, __, x: x.flatten(1),
    Embedding: lambda _, numbers, x: F.embedding(x, numbers["table"]),
    Add: lambda _, __, x, y: x + y,
    Concat: lambda layer, _, *parts: torch.cat(parts, dim=layer.axis + 1),
    LayerNorm: _layer_norm,
    Attention: _attention,
    Positions: lambda _, numbers, x: x + numbers["table"],
}
