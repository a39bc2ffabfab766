"""A linear layer's weights in four bits, a scale for each run of inputs: what a runtime multiplies without unpacking.

The scale and the rounding of a block are improved in turn, each the best for the other, so that the error only falls.
Source: the alternation is Lloyd 1982, Least squares quantization in PCM, on a uniform grid.
"""

import numpy as np

from fedtailor.protos.net import Linear
from fedtailor.protos.quantised_net import BlockLinear
from fedtailor.protos.schema import Doubles

_LOWEST, _HIGHEST = -8, 7
_TURNS = 8


def to_block_linear(layer: Linear, block: int) -> BlockLinear:
    """The layer with integers −8 to 7 and a scale per `block` inputs of a row: least squares, from the grid on which
    the value furthest from 0 is −8. Weights that are coded in that range already are taken as they are.

    Raises:
        ValueError: `block` is not a power of two of at least 16.
    """
    if block < 16 or block & (block - 1):
        raise ValueError(f"to_block_linear: block must be a power of two, 16 or more, got {block}")
    outputs, inputs = layer.weight.shape
    blocks = -(-inputs // block)
    padded = np.pad(layer.weight.astype(np.float64), ((0, 0), (0, blocks * block - inputs)))
    parts = padded.reshape(outputs, blocks, block)
    scales = _coded_scales(layer, blocks)
    if scales is None:
        scales = _least_squares_scales(parts)
    weight = _rounded(parts, scales).reshape(outputs, -1)[:, :inputs].astype(np.int8)
    return BlockLinear(layer.name, weight, scales.astype(np.float32), layer.bias, block)


def _coded_scales(layer: Linear, blocks: int) -> Doubles | None:
    """Each row's scale for each of its blocks, where the row's integers fit into four bits."""
    if layer.scales is None:
        return None
    integers = np.rint(layer.weight / layer.scales[:, None])
    fits = integers.min() >= _LOWEST and integers.max() <= _HIGHEST
    return np.repeat(layer.scales.astype(np.float64)[:, None], blocks, axis=1) if fits else None


def _least_squares_scales(parts: Doubles) -> Doubles:
    furthest = np.take_along_axis(parts, np.abs(parts).argmax(axis=2)[..., None], axis=2)[..., 0]
    scales: Doubles = furthest / _LOWEST
    for _ in range(_TURNS):
        integers = _rounded(parts, scales)
        energy = (integers**2).sum(axis=2)
        scales = np.where(energy > 0, (parts * integers).sum(axis=2) / np.maximum(energy, 1), scales)
    return scales.astype(np.float32).astype(np.float64)


def _rounded(parts: Doubles, scales: Doubles) -> Doubles:
    steps = np.where(scales == 0, 1.0, scales)[..., None]
    rounded: Doubles = np.clip(np.rint(parts / steps), _LOWEST, _HIGHEST)
    return rounded
