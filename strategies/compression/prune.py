"""Narrower layers from local samples: which channels go, and what remains fitted to what the dense network answered.

Channels are chosen on the dense network, as `removal.py` says. Then the layers are gone through front to back: each one
that reads something else than before gets the weights that come closest to its dense outputs from the inputs it has
now, so it also repairs what the layers before it lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.strategies.compression.removal import Reader, Removal, best_weight, removal
from fedtailor.strategies.compression.spread import spread_places, spread_rows
from fedtailor.strategies.graph.groups import Group, Indices, channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.realise import Part, realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.graph.windows import input_windows
from fedtailor.strategies.graph.wiring import readers

Samples = NDArray[np.generic]

CALIBRATION_SAMPLES = 512
_MOST_ROWS = 40_000  # places of a layer's output that describe it
_FEWEST_SAMPLES = 64
_MOST_VALUES = 1 << 24  # of a layer's inputs, and of one value over all samples: 64 MiB each
_BATCH_VALUES = 1 << 22  # of the largest value over the samples of one batch
_MOST_COLUMNS = 4096  # inputs of a layer between which removal is compared


def prune(
    net: Net, calibration: Samples, keep: Mapping[str, int], *, found: Mapping[str, Removal] | None = None
) -> tuple[Net, Mask]:
    """Keep so many channels of the named groups of `channel_groups`, and all of those not named.

    Args:
        net: The network to narrow.
        calibration: Samples [N, *net.input_shape]; at most 512 of them are used, evenly spaced.
        keep: Channels left by group, 1 to as many as it has.
        found: What `removals` said of this net on these samples, where it is known already: it holds for every number
            of channels, and is most of the work.

    Raises:
        ValueError: a group is unknown, or a number out of range.
        PlanError: there are no samples to calibrate on.
    """
    groups = {group.name: group for group in channel_groups(net)}
    for name, count in keep.items():
        if name not in groups or not 1 <= count <= groups[name].channels:
            known = ", ".join(f"{group.name} (1 to {group.channels})" for group in groups.values())
            raise ValueError(f"prune: cannot keep {count} channels of {name!r}; groups of this net: {known or 'none'}")
    chosen = [groups[name] for name in groups if keep.get(name, groups[name].channels) < groups[name].channels]
    if not chosen:
        return net, Mask()
    orders = removals(net, calibration, chosen) if found is None else found
    narrow, mask = narrowed(net, [(group, orders[group.name].kept(keep[group.name])) for group in chosen])
    return refitted(narrow, net, mask, calibration), mask


def removals(net: Net, calibration: Samples, groups: Sequence[Group]) -> dict[str, Removal]:
    """By name of the group, the order in which its channels are removed and what each number of them costs.

    Raises:
        PlanError: there are no samples to calibrate on.
    """
    layers = {layer.name: layer for layer in net.layers if isinstance(layer, Conv | Linear)}
    reading = dict.fromkeys(name for group in groups for name in group.columns)
    used = {name: _compared(layers[name], [group.columns.get(name) for group in groups]) for name in reading}
    hessians = _hessians(net, _samples(net, calibration), used)
    return {
        group.name: removal(
            [_reader(layers[name], columns, used[name], hessians[name]) for name, columns in group.columns.items()]
        )
        for group in groups
    }


@torch.no_grad()
def refitted(net: Net, dense: Net, mask: Mask, calibration: Samples) -> Net:
    """A narrowed net with the weights that bring each layer closest to what the dense one answered.

    Convolutions in groups keep the weights they have, and so does every layer whose inputs are what they were.
    """
    x = _samples(dense, calibration)
    kept = {entry.layer: torch.tensor(entry.kept) for entry in mask.layers}
    last = [max(places, default=len(net.layers)) for places in readers(net)]
    ours, theirs = {0: x}, {0: x}
    layers = []
    for place, (layer, read) in enumerate(zip(net.layers, net.wires, strict=True)):
        wanted = Part(dense.layers[place])(*(theirs[value] for value in read))
        changed = any(ours[value] is not theirs[value] for value in read)
        fitted = layer
        if changed and isinstance(layer, Conv | Linear) and getattr(layer, "groups", 1) == 1:
            fitted = _fitted(layer, ours[read[0]], wanted, kept.get(layer.name))
        same = not changed and layer is dense.layers[place]
        ours[place + 1] = wanted if same else Part(fitted)(*(ours[value] for value in read))
        theirs[place + 1] = wanted
        layers.append(fitted)
        for value in set(read):
            if last[value] == place:
                del ours[value], theirs[value]
    return replace(net, layers=tuple(layers))


def _samples(net: Net, calibration: Samples) -> Tensor:
    """At most so many of the rows that the largest value of the net over all of them can be held."""
    if len(calibration) == 0:
        raise PlanError("prune: samples to calibrate on are needed, got none; keep all channels on this device")
    most = min(CALIBRATION_SAMPLES, max(_FEWEST_SAMPLES, _MOST_VALUES // _largest(net)))
    return torch.from_numpy(spread_rows(calibration, most))


def _largest(net: Net) -> int:
    return max(map(prod, layer_shapes(net)))


def _columns(layer: Conv | Linear) -> int:
    return prod(layer.weight.shape[1:])


def _compared(layer: Conv | Linear, groups: Sequence[Indices | None]) -> Indices:
    """The columns by which channels are compared: all, or of each channel as many as leaves few enough."""
    every = ceil(_columns(layer) / _MOST_COLUMNS)
    if every == 1:
        return np.arange(_columns(layer))
    return np.unique(np.concatenate([columns[:, ::every].ravel() for columns in groups if columns is not None]))


def _reader(layer: Conv | Linear, columns: Indices, used: Indices, hessian: Tensor) -> Reader:
    inside = columns[:, np.isin(columns[0], used)]
    return Reader(hessian, _weight_and_bias(layer)[np.append(used, _columns(layer))], np.searchsorted(used, inside))


@torch.no_grad()
def _hessians(net: Net, x: Tensor, used: Mapping[str, Indices]) -> dict[str, Tensor]:
    """By layer, the mean of a·aᵀ over these inputs a of it, and 1 for the bias."""
    module = realise(net)
    hessians = {name: torch.zeros(len(columns) + 1, len(columns) + 1) for name, columns in used.items()}
    rows = dict.fromkeys(used, 0)
    for batch in x.split(max(1, _BATCH_VALUES // _largest(net))):
        values = module.values(batch)
        for layer, read in zip(net.layers, net.wires, strict=True):
            if isinstance(layer, Conv | Linear) and layer.name in used:
                windows = input_windows(layer, values[read[0]])
                a = _with_one(windows[_spread(layer, windows, len(batch) / len(x))].flatten(1)[:, used[layer.name]])
                hessians[layer.name] += a.T @ a
                rows[layer.name] += len(a)
    return {name: hessian / rows[name] for name, hessian in hessians.items()}


def _fitted(layer: Conv | Linear, x: Tensor, wanted: Tensor, kept: Tensor | None) -> Conv | Linear:
    """The layer with the weights that come closest to `wanted`, the dense layer's answers, where it was kept."""
    windows = input_windows(layer, x)
    rows = _spread(layer, windows, 1.0)
    outputs = (wanted.movedim(1, -1) if isinstance(layer, Conv) else wanted)[rows]
    outputs = outputs if kept is None else outputs[:, kept]
    best = best_weight(_with_one(windows[rows].flatten(1)), outputs, _weight_and_bias(layer)).numpy()
    weight = np.ascontiguousarray(best[:-1].T.reshape(layer.weight.shape))
    return replace(layer, weight=weight, bias=best[-1].copy(), scales=None)


def _spread(layer: Conv | Linear, windows: Tensor, part: float) -> tuple[Tensor, ...]:
    """Where to look at the windows [N, *positions, in, *kernel] of this part of all samples."""
    most = min(_MOST_ROWS, max(_MOST_VALUES // _columns(layer), 2 * _columns(layer)))
    return spread_places(tuple(windows.shape[: windows.ndim - layer.weight.ndim + 1]), ceil(part * most))


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


def _weight_and_bias(layer: Conv | Linear) -> Tensor:
    """[columns + 1, out]; the bias is last."""
    return torch.from_numpy(np.concatenate([layer.weight.reshape(len(layer.weight), -1).T, layer.bias[None]]))
