"""Exact static int8 quantisation after training, from local rows.

Weights are symmetric per output channel, activations affine u8 with zero on the grid, biases int32 on s_x · s_w.
Source: Jacob et al. 2018, arXiv:1712.05877, section 2; weights below 8 bits are rounded as in `gptq.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import (
    Affine,
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.protos.quantised_net import (
    Grid,
    Int8s,
    Int32s,
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLayer,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.emulate import emulate
from fedtailor.strategies.gptq import round_compensated
from fedtailor.strategies.grids import bfloat16_above, full_range, least_squares_range, weight_scales
from fedtailor.strategies.macs import macs
from fedtailor.strategies.realise import realise
from fedtailor.strategies.shapes import layer_shapes
from fedtailor.strategies.windows import input_windows

_FEWEST_ROWS, _MOST_ROWS = 32, 256  # of the calibration rows; in between, as many as a large net can afford
_CALIBRATION_MACS = 2 * 10**9
_BIAS_STEPS = 2**24  # a bias's largest integer: float32, in which it is requantised, holds it exactly
_ENERGY_ROWS = 4096  # windows of a layer's input that describe it for rounding below 8 bits


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer with the float values around it; a ReLU that follows a layer with weights is part of it."""

    layer: Layer
    inputs: Floats
    outputs: Floats
    answers_in_float: bool


def quantise(net: Net, calibration: NDArray[np.generic], *, weight_bits: int = 8) -> QuantisedNet:
    """The net in integers, with activation ranges seen on `calibration` [N, *input_shape] (32 to 256 rows are
    used, spread evenly).

    Ranges are the full ones, or clipped ones of least squared error: whichever keeps the outputs closer. What follows
    the last linear layer stays float32.

    Args:
        weight_bits: 2 to 8; narrower values lie in int8 all the same, and are packed tightly in a payload.

    Raises:
        ValueError: `weight_bits` is out of range, or there are no rows.
        PlanError: the net has nothing to quantise, or a layer that cannot be.
    """
    if not 2 <= weight_bits <= 8 or not len(calibration):
        raise ValueError(f"quantise: needs 2 to 8 bits and at least one row, got {weight_bits} and {len(calibration)}")
    rows = _spread(calibration, _CALIBRATION_MACS // max(macs(net), 1))
    steps = _steps(net, rows)

    def error(rule: Callable[[Floats], Grid]) -> float:
        answers = emulate(_assemble(net, steps, rule, 8), rows)
        return float(((answers.astype(np.float64) - steps[-1].outputs) ** 2).mean())

    return _assemble(net, steps, min((full_range, least_squares_range), key=error), weight_bits)


def _spread(calibration: NDArray[np.generic], affordable: int) -> NDArray[np.generic]:
    count = min(len(calibration), max(_FEWEST_ROWS, min(affordable, _MOST_ROWS)))
    return calibration[np.linspace(0, len(calibration) - 1, count).astype(np.int64)]


def _steps(net: Net, rows: NDArray[np.generic]) -> list[_Step]:
    weighted = [at for at, layer in enumerate(net.layers) if isinstance(layer, Conv | Linear)]
    if not weighted:
        raise PlanError("quantise: the net has no convolution and no linear layer; keep it in fp32")
    answers_in_float = isinstance(net.layers[weighted[-1]], Linear)
    values = _values(net, rows)
    steps: list[_Step] = []
    for at, layer in enumerate(net.layers):
        in_float = answers_in_float and at >= weighted[-1]
        if isinstance(layer, Relu) and at - 1 in weighted and not in_float:
            steps[-1] = replace(steps[-1], outputs=values[at + 1])
        else:
            steps.append(_Step(layer, values[at], values[at + 1], in_float))
    return steps


def _values(net: Net, rows: NDArray[np.generic]) -> list[Floats]:
    """What runs before the first layer and after each one, in float32."""
    values = [torch.from_numpy(np.ascontiguousarray(rows))]
    with torch.no_grad():
        for module in realise(net):
            values.append(module(values[-1]))
    return [value.numpy() for value in values]


def _assemble(net: Net, steps: list[_Step], rule: Callable[[Floats], Grid], bits: int) -> QuantisedNet:
    layers: list[QuantisedLayer] = []
    grid: Grid | None = None
    for step in steps:
        if grid is None and not isinstance(step.layer, Affine | Embedding) and not _is_tail(layers):
            grid = rule(step.inputs)
            layers.append(Quantise(f"{step.layer.name}.input", grid))
        layers.append(_quantised(step, grid, rule, bits))
        grid = getattr(layers[-1], "output", grid)
    quantised = QuantisedNet(net.input_shape, net.tokens, tuple(layers))
    layer_shapes(quantised)
    return quantised


def _is_tail(layers: list[QuantisedLayer]) -> bool:
    return any(isinstance(layer, QuantisedLinear) and layer.output is None for layer in layers)


def _quantised(step: _Step, grid: Grid | None, rule: Callable[[Floats], Grid], bits: int) -> QuantisedLayer:
    layer = step.layer
    if isinstance(layer, Embedding):
        table = full_range(layer.table, 2**bits)
        steps = np.rint(layer.table / table.scale) + table.zero_point
        return QuantisedEmbedding(layer.name, np.clip(steps, 0, 2**bits - 1).astype(np.uint8), table)
    if isinstance(layer, Conv) and grid:
        output = rule(step.outputs)
        weight, scales, bias = _weights(layer, step.inputs, grid, bits)
        return QuantisedConv(
            layer.name, weight, scales, bias, layer.stride, layer.padding, layer.dilation, layer.groups, output
        )
    if isinstance(layer, Linear) and grid:
        return QuantisedLinear(
            layer.name, *_weights(layer, step.inputs, grid, bits), None if step.answers_in_float else rule(step.outputs)
        )
    if isinstance(layer, GlobalAveragePool) and grid:
        output = rule(step.outputs)
        resolution = float(np.float32(grid.scale / np.prod(step.inputs.shape[2:])))  # a finer grid shows nothing more
        return QuantisedAverage(layer.name, replace(output, scale=max(output.scale, resolution)))
    if isinstance(layer, Affine | ChannelsFirst | ChannelsLast | Relu | MaxPool | Flatten):
        return layer
    raise PlanError(f"layer {layer.name!r} ({type(layer).__name__}) cannot be quantised where it stands; keep fp32")


def _weights(layer: Conv | Linear, inputs: Floats, grid: Grid, bits: int) -> tuple[Int8s, Floats, Int32s]:
    """Integer weights, their scales, and the bias on s_x · s_w."""
    top = 2 ** (bits - 1) - 1
    flat = layer.weight.reshape(len(layer.weight), -1).astype(np.float64)
    finest = np.abs(layer.bias).astype(np.float64) / (grid.scale * _BIAS_STEPS)  # else the bias overflows int32
    scales = bfloat16_above(np.maximum(weight_scales(flat, top), finest))
    scales[scales == 0] = 1.0
    if bits == 8:
        rounded = np.clip(np.rint(flat / scales[:, None]), -top, top)
    else:
        groups = layer.groups if isinstance(layer, Conv) else 1
        parts = zip(np.split(flat, groups), np.split(scales, groups), _energies(layer, inputs), strict=True)
        rounded = np.concatenate([round_compensated(part, scale, top, energy) for part, scale, energy in parts])
    bias = np.rint(layer.bias / (grid.scale * scales)).astype(np.int32)
    return rounded.astype(np.int8).reshape(layer.weight.shape), scales.astype(np.float32), bias


def _energies(layer: Conv | Linear, inputs: Floats) -> list[Doubles]:
    """Per group the mean of x·xᵀ over the windows [in / groups · kernel] that the layer sees."""
    groups, kernel_axes = (layer.groups, len(layer.stride)) if isinstance(layer, Conv) else (1, 0)
    windows = input_windows(layer, torch.from_numpy(inputs)).flatten(0, -2 - kernel_axes)
    picked = windows[:: max(1, len(windows) // _ENERGY_ROWS)].reshape(-1, groups, layer.weight[0].size)
    return [group.T @ group / len(group) for group in picked.double().movedim(1, 0).numpy()]
