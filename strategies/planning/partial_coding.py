"""A layer with a few of its rows coded, standing for all of them.

Rows are rounded independently of each other (but for the mask, which is chosen among those that are), and errors of
different rows are next to uncorrelated: what a few add to the loss times rows / few is what all of them add.
"""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.round_rows import round_rows
from fedtailor.strategies.compression.spread import spread_places
from fedtailor.strategies.graph.windows import input_windows
from fedtailor.strategies.payload.packed_bits import packed_bits

MOST_ROWS = 64
_PLACES = 4096  # of a layer's inputs that describe them


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What a layer reads, by group: its mean [groups, columns], and the mean of a·aᵀ [groups, columns, columns]."""

    mean: Doubles
    energy: Doubles


@dataclass(frozen=True, eq=False)
class PartlyCoded:
    """`layer` with a `share` of its rows coded, in so many `bits` a weight of theirs as a payload writes them."""

    layer: Conv | Linear
    share: float
    bits: float


def layer_inputs(layer: Conv | Linear, x: Tensor) -> LayerInputs:
    """x: what the layer reads, of all samples."""
    groups = layer.groups if isinstance(layer, Conv) else 1
    windows = input_windows(layer, x)
    seen = windows[spread_places(tuple(windows.shape[: windows.ndim - layer.weight.ndim + 1]), _PLACES)]
    a = seen.flatten(1).unflatten(1, (groups, -1)).double().movedim(1, 0)
    return LayerInputs(a.mean(1).numpy(), (a.mT @ a / a.shape[1]).numpy())


def partly_coded(layer: Conv | Linear, inputs: LayerInputs, coding: Coding) -> PartlyCoded:
    """At most 64 rows rounded with compensation, evenly spread; their biases make up for the mean error."""
    rows = len(layer.weight)
    picked = np.linspace(0, rows - 1, min(rows, MOST_ROWS)).astype(np.int64)
    flat = layer.weight.reshape(rows, -1).astype(np.float64)
    coded, bias, integers = flat.copy(), layer.bias.copy(), []
    each = rows // len(inputs.mean)
    for group in np.unique(picked // each):
        mine = picked[picked // each == group]
        whole, scales = round_rows(flat[mine], coding, inputs.energy[group])
        coded[mine] = whole * scales[:, None]
        bias[mine] += (flat[mine] - coded[mine]) @ inputs.mean[group]
        integers.append(whole)
    changed = replace(layer, weight=coded.reshape(layer.weight.shape).astype(np.float32), bias=bias, scales=None)
    together = np.concatenate(integers).reshape(len(picked), *layer.weight.shape[1:])
    return PartlyCoded(changed, len(picked) / rows, packed_bits(together) / together.size)
