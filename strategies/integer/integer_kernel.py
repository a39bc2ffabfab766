"""The integer counterpart of one layer of a net."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from fedtailor.protos.net import (
    Activation,
    Add,
    AveragePool,
    Concat,
    Conv,
    Embedding,
    GlobalAveragePool,
    Layer,
    Linear,
)
from fedtailor.protos.quantised_net import (
    Grid,
    Int8s,
    Int32s,
    QuantisedActivation,
    QuantisedAdd,
    QuantisedAverage,
    QuantisedAveragePool,
    QuantisedConcat,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLayer,
    QuantisedLinear,
)
from fedtailor.protos.schema import Floats
from fedtailor.strategies.integer.grids import bfloat16_above, full_range
from fedtailor.strategies.integer.integer_layers import keeps_grid
from fedtailor.strategies.integer.lookup import steady_grid

_BIAS_STEPS = 2**30  # a bias's largest integer: as much again is left to the sums of an int32
_FREE_BIAS_STEPS = 2**24  # where all weights are 0 and any scale will do: float32 holds this bias exactly


def integer_kernel(layer: Layer, given: Sequence[Grid], output: Grid | None, *, size: int) -> QuantisedLayer:
    """What the layer is on u8 values; itself if it only moves or compares them.

    Args:
        layer: Its weights are coded.
        given: The grids of the values it reads.
        output: The grid it answers on, if it makes one; a linear layer without one answers in float32.
        size: How many values of a channel a global average is taken over.
    """
    return layer if keeps_grid(layer) else _KERNELS[type(layer)](layer, given, output, size)


def _conv(layer: Conv, given: Sequence[Grid], output: Grid, _: int) -> QuantisedConv:
    weight, scales, bias = _integers(layer, given[0])
    return QuantisedConv(
        layer.name, weight, scales, bias, layer.stride, layer.padding, layer.dilation, layer.groups, output
    )


def _linear(layer: Linear, given: Sequence[Grid], output: Grid | None, _: int) -> QuantisedLinear:
    return QuantisedLinear(layer.name, *_integers(layer, given[0]), output)


def _embedding(layer: Embedding, *_: object) -> QuantisedEmbedding:
    grid = full_range(layer.table)
    steps = np.rint(layer.table / grid.scale) + grid.zero_point
    return QuantisedEmbedding(layer.name, np.clip(steps, 0, 255).astype(np.uint8), grid)


def _average(layer: GlobalAveragePool, given: Sequence[Grid], output: Grid, size: int) -> QuantisedAverage:
    return QuantisedAverage(layer.name, _resolved(output, given[0], size))


def _average_pool(layer: AveragePool, given: Sequence[Grid], output: Grid, _: int) -> QuantisedAveragePool:
    grid = _resolved(output, given[0], prod(layer.kernel))
    return QuantisedAveragePool(layer.name, layer.kernel, layer.stride, grid)


def _activation(layer: Activation, given: Sequence[Grid], output: Grid, _: int) -> QuantisedActivation:
    return QuantisedActivation(layer.name, layer.function, steady_grid(layer.function, given[0], output))


def _resolved(output: Grid, given: Grid, count: int) -> Grid:
    """A grid no finer than averages of `count` values can show."""
    return replace(output, scale=max(output.scale, float(np.float32(given.scale / count))))


def _integers(layer: Conv | Linear, given: Grid) -> tuple[Int8s, Floats, Int32s]:
    """Integer weights as they are coded, their scales, and the bias on s_x · s_w.

    A row of zeros gets the scale that suits its bias. Another row's scale is raised, and its weights rounded again,
    only where its bias would not fit an int32: then all that its weights add is lost beside the bias.
    """
    if layer.scales is None:
        raise ValueError(f"layer {layer.name!r} has no scales; code its weights before they become integers")
    flat = layer.weight.reshape(len(layer.weight), -1).astype(np.float64)
    dead = ~flat.any(1)
    bias = layer.bias.astype(np.float64)
    finest = bfloat16_above(np.abs(bias) / (given.scale * np.where(dead, _FREE_BIAS_STEPS, _BIAS_STEPS)))
    scales = np.where(dead, finest, np.maximum(layer.scales, finest))
    scales[scales == 0] = 1.0
    rounded = np.rint(flat / scales[:, None]).astype(np.int8).reshape(layer.weight.shape)
    return rounded, scales.astype(np.float32), np.rint(bias / (given.scale * scales)).astype(np.int32)


_KERNELS: dict[type, Callable[[Any, Sequence[Grid], Any, int], QuantisedLayer]] = {
    Conv: _conv,
    Linear: _linear,
    Embedding: _embedding,
    Add: lambda layer, _, output, __: QuantisedAdd(layer.name, output),
    Concat: lambda layer, _, output, __: QuantisedConcat(layer.name, layer.axis, output),
    GlobalAveragePool: _average,
    AveragePool: _average_pool,
    Activation: _activation,
}
