"""A quantised net computed in exact integers, as ONNX Runtime does it on x86: what a variant's numbers must equal.

Integers are held in float64, where every sum of u8 x int8 products of a layer is exact. Requantisation is float32:
accumulator · (s_x · s_w / s_y), rounded half to even. (On ARM the runtime's average rounds an exact half away from 0.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.net import Affine, ChannelsFirst, ChannelsLast, Flatten, MaxPool, Relu
from fedtailor.protos.quantised_net import (
    Grid,
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.protos.schema import Floats


@dataclass(frozen=True, eq=False)
class _Wire:
    """Values [N, ...] between two layers: float32 or tokens without a grid, integers in float64 with one."""

    values: Tensor
    grid: Grid | None = None


def emulate(net: QuantisedNet, x: NDArray[np.generic]) -> Floats:
    """Outputs [N, ...] of the integer arithmetic for x [N, *input_shape]."""
    with torch.no_grad():
        wire = _Wire(torch.from_numpy(np.ascontiguousarray(x)))
        for layer in net.layers:
            wire = _RULES[type(layer)](layer, wire)
        if wire.grid is not None:
            wire = _Wire(_centred(wire).float() * _float32(wire.grid.scale))
    return wire.values.numpy().astype(np.float32)


def _float32(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float32)


def _centred(wire: _Wire) -> Tensor:
    return wire.values if wire.grid is None else wire.values - wire.grid.zero_point


def _scale(wire: _Wire) -> Tensor:
    return _float32(1.0 if wire.grid is None else wire.grid.scale)


def _onto(reals_in_steps: Tensor, grid: Grid) -> _Wire:
    """float32 values in units of the grid's scale, rounded and saturated."""
    return _Wire((reals_in_steps.round().double() + grid.zero_point).clamp(0, 255), grid)


def _finish(sums: Tensor, layer: QuantisedConv | QuantisedLinear, wire: _Wire, channel_axis: int) -> _Wire:
    shape = [1] * sums.ndim
    shape[channel_axis] = -1
    total = sums + torch.from_numpy(layer.bias).double().view(shape)
    scales = (_scale(wire) * torch.from_numpy(layer.scales)).view(shape)
    if layer.output is None:
        return _Wire(total.float() * scales)
    return _onto(total.float() * (scales / _float32(layer.output.scale)), layer.output)


def _conv(layer: QuantisedConv, wire: _Wire) -> _Wire:
    pads = [size for pair in reversed(layer.padding) for size in pair]
    padded = torch.nn.functional.pad(_centred(wire), pads)
    convolve = torch.nn.functional.conv1d if layer.weight.ndim == 3 else torch.nn.functional.conv2d
    weight = torch.from_numpy(layer.weight).double()
    sums = convolve(padded, weight, stride=layer.stride, dilation=layer.dilation, groups=layer.groups)
    return _finish(sums, layer, wire, channel_axis=1)


def _linear(layer: QuantisedLinear, wire: _Wire) -> _Wire:
    return _finish(_centred(wire) @ torch.from_numpy(layer.weight).double().T, layer, wire, channel_axis=-1)


def _average(layer: QuantisedAverage, wire: _Wire) -> _Wire:
    flat = _centred(wire).flatten(2)
    scale = _scale(wire) / (_float32(layer.output.scale) * flat.shape[2])
    return _onto(flat.sum(2).float() * scale, layer.output)


def _max_pool(layer: MaxPool, wire: _Wire) -> _Wire:
    pool = torch.nn.functional.max_pool1d if len(layer.kernel) == 1 else torch.nn.functional.max_pool2d
    return _Wire(pool(wire.values, layer.kernel, layer.stride), wire.grid)


def _affine(layer: Affine, wire: _Wire) -> _Wire:
    return _Wire(wire.values * torch.from_numpy(layer.scale) + torch.from_numpy(layer.shift))


def _relu(_: Relu, wire: _Wire) -> _Wire:
    return _Wire(wire.values.clamp(min=0 if wire.grid is None else wire.grid.zero_point), wire.grid)


def _embedding(layer: QuantisedEmbedding, wire: _Wire) -> _Wire:
    return _Wire(torch.from_numpy(layer.table).double()[wire.values], layer.output)


_RULES: dict[type, Callable[[Any, _Wire], _Wire]] = {
    Affine: _affine,
    ChannelsFirst: lambda _, wire: _Wire(wire.values.movedim(-1, 1), wire.grid),
    ChannelsLast: lambda _, wire: _Wire(wire.values.movedim(1, -1), wire.grid),
    Relu: _relu,
    MaxPool: _max_pool,
    Flatten: lambda _, wire: _Wire(wire.values.flatten(1), wire.grid),
    Quantise: lambda layer, wire: _onto(wire.values / _float32(layer.output.scale), layer.output),
    QuantisedConv: _conv,
    QuantisedLinear: _linear,
    QuantisedAverage: _average,
    QuantisedEmbedding: _embedding,
}
