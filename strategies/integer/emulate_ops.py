"""The u8 operators of ONNX Runtime 1.31 on x86, one function and one row for each kind of layer.

Integers are held in float32, or in float64 where a layer's sums could pass 2²⁴: every one is exact. What follows them
is the runtime's own float32 arithmetic, in its order, rounded half to even. (On ARM its averages round an exact half
away from 0, and its Add has no fused multiply-add.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import torch
from torch import Tensor

from fedtailor.protos.net import Activation, ChannelsFirst, ChannelsLast, Flatten, MaxPool
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
)
from fedtailor.strategies.graph.compute import padded
from fedtailor.strategies.integer.lookup import lookup

_EXACT = 2**24  # float32 holds every integer up to here


@dataclass(frozen=True, eq=False)
class Value:
    """What a layer answers, [N, ...]: float32 or tokens without a grid, u8 held in float32 with one."""

    numbers: Tensor
    grid: Grid | None = None


def on_grid(value: Value) -> Grid:
    """The grid of a u8 value."""
    if value.grid is None:
        raise ValueError("a layer that works on u8 reads float32; quantise its input first")
    return value.grid


def dequantised(value: Value) -> Value:
    """float32 from u8."""
    return Value(_centred(value) * _float32(on_grid(value).scale))


def _float32(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float32)


def _centred(value: Value) -> Tensor:
    return value.numbers - on_grid(value).zero_point


def _onto(reals_in_steps: Tensor, grid: Grid) -> Value:
    """float32 numbers in units of the grid's scale, rounded and saturated."""
    return Value((reals_in_steps.round() + grid.zero_point).clamp(0, 255), grid)


def _moved(layer: Any, value: Value) -> Value:
    return Value(_MOVES[type(layer)](value.numbers), value.grid)


def _max_pool(layer: MaxPool, value: Value) -> Value:
    pool: Callable[..., Tensor] = (
        torch.nn.functional.max_pool1d if len(layer.kernel) == 1 else torch.nn.functional.max_pool2d
    )
    return Value(pool(padded(value.numbers, layer.padding, -inf), layer.kernel, layer.stride), value.grid)


def _relu(_: Activation, value: Value) -> Value:
    return Value(value.numbers.clamp(min=on_grid(value).zero_point), value.grid)


def _conv(layer: QuantisedConv, value: Value) -> Value:
    convolve: Callable[..., Tensor] = (
        torch.nn.functional.conv1d if layer.weight.ndim == 3 else torch.nn.functional.conv2d
    )
    inputs, weight = _exact(padded(_centred(value), layer.padding), layer)
    sums = convolve(inputs, weight, stride=layer.stride, dilation=layer.dilation, groups=layer.groups)
    return _finished(sums, layer, value, channel_axis=1)


def _linear(layer: QuantisedLinear, value: Value) -> Value:
    inputs, weight = _exact(_centred(value), layer)
    return _finished(inputs @ weight.T, layer, value, channel_axis=-1)


def _exact(centred: Tensor, layer: QuantisedConv | QuantisedLinear) -> tuple[Tensor, Tensor]:
    """Inputs and weights of a type in which no sum of their products is rounded."""
    weight = torch.from_numpy(layer.weight)
    largest = 255 * int(weight.flatten(1).int().abs().sum(1).max())
    kind = torch.float32 if largest <= _EXACT else torch.float64
    return centred.to(kind), weight.to(kind)


def _finished(sums: Tensor, layer: QuantisedConv | QuantisedLinear, value: Value, channel_axis: int) -> Value:
    shape = [1] * sums.ndim
    shape[channel_axis] = -1
    total = (sums.double() + torch.from_numpy(layer.bias).double().view(shape)).float()
    scales = (_float32(on_grid(value).scale) * torch.from_numpy(layer.scales)).view(shape)
    if layer.output is None:
        return Value(total * scales)
    return _onto(total * (scales / _float32(layer.output.scale)), layer.output)


def _average(layer: QuantisedAverage, value: Value) -> Value:
    flat = _centred(value).flatten(2)
    sums = flat.double().sum(2).float()
    return _onto(sums * (_float32(on_grid(value).scale) / (_float32(layer.output.scale) * flat.shape[2])), layer.output)


def _average_pool(layer: QuantisedAveragePool, value: Value) -> Value:
    """Sums in float32, one after another, and the zero point is added before the one rounding."""
    windows = dequantised(value).numbers
    for axis, (size, step) in enumerate(zip(layer.kernel, layer.stride, strict=True)):
        windows = windows.unfold(2 + axis, size, step)
    sums = torch.zeros(())
    for reals in windows.flatten(-len(layer.kernel)).unbind(-1):
        sums = sums + reals
    steps = sums / prod(layer.kernel) / _float32(layer.output.scale) + layer.output.zero_point
    return Value(steps.round().clamp(0, 255), layer.output)


def _add(layer: QuantisedAdd, left: Value, right: Value) -> Value:
    """a·r + (b·s + (z − (r·z_a + s·z_b))) with r = s_a / s_y and s = s_b / s_y, each product fused with its sum."""
    scale = _float32(layer.output.scale)
    ratios = [_float32(on_grid(value).scale) / scale for value in (left, right)]
    zeros = [_float32(on_grid(value).zero_point) for value in (left, right)]
    shift = _float32(layer.output.zero_point) - _fused(zeros[0], ratios[0], ratios[1] * zeros[1])
    steps = _fused(left.numbers, ratios[0], _fused(right.numbers, ratios[1], shift))
    return Value(steps.round().clamp(0, 255), layer.output)


def _fused(x: Tensor, ratio: Tensor, addend: Tensor) -> Tensor:
    """x · ratio + addend, rounded once: a product of 8 and 24 bits leaves float64 room for the sum."""
    return (x.double() * ratio.double() + addend.double()).float()


def _concat(layer: QuantisedConcat, *values: Value) -> Value:
    scale = _float32(layer.output.scale)
    parts = [_onto(dequantised(value).numbers / scale, layer.output).numbers for value in values]
    return Value(torch.cat(parts, dim=layer.axis + 1), layer.output)


def _activation(layer: QuantisedActivation, value: Value) -> Value:
    answers = torch.from_numpy(lookup(layer.function, on_grid(value), layer.output))
    return Value(answers.float()[value.numbers.int()], layer.output)


def _embedding(layer: QuantisedEmbedding, value: Value) -> Value:
    return Value(torch.from_numpy(layer.table).float()[value.numbers], layer.output)


def _block_linear(layer: BlockLinear, value: Value) -> Value:
    """With weights as stored; the runtime may also round the inputs, so that this one is near and not equal."""
    inputs = layer.weight.shape[1]
    scales = torch.from_numpy(layer.scales).repeat_interleave(layer.block, dim=1)[:, :inputs]
    weight = torch.from_numpy(layer.weight).float() * scales
    return Value(torch.nn.functional.linear(value.numbers, weight, torch.from_numpy(layer.bias)))


_MOVES: dict[type, Callable[[Tensor], Tensor]] = {
    ChannelsFirst: lambda x: x.movedim(-1, 1),
    ChannelsLast: lambda x: x.movedim(1, -1),
    Flatten: lambda x: x.flatten(1),
}
RULES: dict[type, Callable[..., Value]] = {
    **dict.fromkeys(_MOVES, _moved),
    Activation: _relu,
    MaxPool: _max_pool,
    Quantise: lambda layer, value: _onto(value.numbers / _float32(layer.output.scale), layer.output),
    Dequantise: lambda _, value: dequantised(value),
    QuantisedConv: _conv,
    QuantisedLinear: _linear,
    QuantisedAverage: _average,
    QuantisedAveragePool: _average_pool,
    QuantisedAdd: _add,
    QuantisedConcat: _concat,
    QuantisedActivation: _activation,
    QuantisedEmbedding: _embedding,
    BlockLinear: _block_linear,
}
"""By kind of layer: what it answers to the values it reads. Of `protos/net.py` those that keep the grid they find."""
