"""Factors and shifts multiplied into the layer before them; layers that nothing reads left out.

Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2: batch norm with fixed statistics is part of its convolution.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from fedtailor.protos.net import Affine, Conv, Layer, Linear, Net
from fedtailor.strategies.graph.wiring import readers

Norm = Affine | Conv  # along the last axis, or a depthwise convolution of width 1 along the first


def fold(net: Net, names: Collection[str]) -> Net:
    """The net without those of the named layers that can be folded; every number it answers is the same but rounding.

    Each is an `Affine`, folded into a `Linear`, or a depthwise 1×1 `Conv`, folded into a `Conv`, where nothing else
    reads what stands between the two, and the weights before it are not coded.
    """
    layers, reading = list(net.layers), readers(net)
    values = list(range(len(layers) + 1))  # what to read instead of each value
    for place, layer in enumerate(net.layers):
        read = values[net.wires[place][0]]
        before = layers[read - 1] if read else None
        alone = len(reading[net.wires[place][0]]) == 1
        if isinstance(layer, Norm) and layer.name in names and alone and _takes(before, layer):
            layers[read - 1] = _folded(before, layer)
            values[place + 1] = read
    wires = tuple(tuple(values[value] for value in read) for read in net.wires)
    return _chosen(replace(net, layers=tuple(layers), wires=wires), values[-1], {*values})


def without_unread(net: Net) -> Net:
    """The net without the layers that its answer does not depend on."""
    needed = {len(net.layers)}
    for place in reversed(range(len(net.layers))):
        if place + 1 in needed:
            needed.update(net.wires[place])
    return _chosen(net, len(net.layers), needed)


def _chosen(net: Net, last: int, values: Collection[int]) -> Net:
    """The net of the layers up to value `last` whose answer is among `values`."""
    places = [place for place in range(last) if place + 1 in values]
    number = {0: 0} | {place + 1: at + 1 for at, place in enumerate(places)}
    wires = tuple(tuple(number[value] for value in net.wires[place]) for place in places)
    return replace(net, layers=tuple(net.layers[place] for place in places), wires=wires)


def _takes(before: Layer | None, norm: Norm) -> bool:
    kind = Linear if isinstance(norm, Affine) else Conv
    return isinstance(before, kind) and before.scales is None


def _folded(before: Layer | None, norm: Norm) -> Conv | Linear:
    assert isinstance(before, Conv | Linear)
    scale, shift = (norm.scale, norm.shift) if isinstance(norm, Affine) else (norm.weight.ravel(), norm.bias)
    factors = np.broadcast_to(scale.astype(np.float64), before.bias.shape)
    weight = before.weight * factors.reshape(-1, *[1] * (before.weight.ndim - 1))
    return replace(before, weight=weight.astype(np.float32), bias=(before.bias * factors + shift).astype(np.float32))
