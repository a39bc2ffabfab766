"""A net without the channels that were removed from it; the numbers of those left are untouched."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.net import Affine, Attention, Conv, Embedding, Layer, Linear, Net, Positions
from fedtailor.strategies.graph.groups import Group, Indices, is_depthwise


def narrowed(net: Net, kept: Iterable[tuple[Group, Indices]]) -> tuple[Net, Mask]:
    """The net with only these channels of each group, and what is left of every layer that became narrower.

    Groups that are not named keep all their channels. The mask counts what a layer gives: output channels, or heads.
    """
    rows: dict[str, Indices] = {}
    columns: dict[str, Indices] = {}
    for group, channels in kept:
        gone = np.setdiff1d(np.arange(group.channels), channels)
        _collect(rows, group.rows, gone)
        _collect(columns, group.columns, gone)
    layers, entries = [], []
    for layer in net.layers:
        read = layer
        if isinstance(layer, Conv | Linear) and len(columns.get(layer.name, ())):
            read = _reading(layer, columns[layer.name])
        gone = rows.get(layer.name, np.empty(0, np.int64))
        left = np.setdiff1d(np.arange(_width(layer)), gone)
        layers.append(_giving(read, left) if len(gone) else read)
        if len(gone):
            entries.append(KeptChannels(layer=layer.name, total=_width(layer), kept=tuple(left.tolist())))
    return replace(net, layers=tuple(layers)), Mask(layers=tuple(entries))


def _collect(places: dict[str, Indices], by_layer: Mapping[str, Indices], channels: Indices) -> None:
    for name, owned in by_layer.items():
        places[name] = np.append(places.get(name, np.empty(0, np.int64)), owned[channels])


def _width(layer: Layer) -> int:
    """How many channels, or heads, the layer gives; 0 where it only passes on what it reads."""
    if isinstance(layer, Embedding | Positions):
        return int(layer.table.shape[1])
    if isinstance(layer, Attention):
        return layer.heads
    if isinstance(layer, Affine):
        return len(layer.scale)
    return len(layer.bias) if isinstance(layer, Conv | Linear) else 0


def _reading(layer: Conv | Linear, gone: Indices) -> Conv | Linear:
    """The layer without these columns of its flattened weight."""
    kernel = layer.weight.shape[2:]
    flat = np.delete(layer.weight.reshape(len(layer.weight), -1), gone, axis=1)
    return replace(layer, weight=np.ascontiguousarray(flat.reshape(len(flat), -1, *kernel)))


def _giving(layer: Layer, left: Indices) -> Layer:
    """The layer with only these of its output channels or heads."""
    if isinstance(layer, Embedding | Positions):
        return replace(layer, table=np.ascontiguousarray(layer.table[:, left]))
    if isinstance(layer, Attention):
        return replace(layer, heads=len(left))
    if isinstance(layer, Affine):
        shift = layer.shift[left] if len(layer.shift) > 1 else layer.shift
        return replace(layer, scale=layer.scale[left], shift=shift)
    if not isinstance(layer, Conv | Linear):
        return layer
    scales = None if layer.scales is None else layer.scales[left]
    cut = replace(layer, weight=layer.weight[left], bias=layer.bias[left], scales=scales)
    if isinstance(cut, Conv) and is_depthwise(cut):
        cut = replace(cut, groups=len(left) * cut.groups // len(layer.bias))
    return cut
