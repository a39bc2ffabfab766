"""Structured removal of channels, with second-order compensation of what remains.

Sources: Kurtic, Frantar & Alistarh 2023, arXiv:2302.04089 (ZipLM), section 3.1: whole structures are removed by the
layer-wise squared error; Frantar & Alistarh 2022, arXiv:2208.11580 (Optimal Brain Compression), section 4: the update
of the inverse Hessian. Different here: targets are the outputs of the dense network, inputs those of the network
already pruned up to this layer, so each layer also repairs what the layers before it lost.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.net import (
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.strategies.realise import realise
from fedtailor.strategies.windows import input_windows

Indices = NDArray[np.int64]
Producer = Conv | Linear | Embedding
Consumer = Conv | Linear

CALIBRATION_SAMPLES = 512
CALIBRATION_ROWS = 40_000
DAMPING = 1e-3  # of the mean diagonal of the Hessian

_KEEPS_CHANNELS = (Relu, MaxPool, GlobalAveragePool, Flatten, ChannelsFirst, ChannelsLast)


@dataclass(frozen=True)
class Coupling:
    """Positions of two layers in a chain: the first one's output channels are read by the second one alone.

    `columns` [channels, k]: the columns of the consumer's flattened weight that read each channel.
    """

    producer: int
    consumer: int
    columns: Indices


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A layer's output error as a function of its weight: trace(Wᵀ hessian W) − 2 · trace(Wᵀ target) + constant.

    hessian [columns + 1, columns + 1], target [columns + 1, out]; the last column is the bias. Damping, which pulls
    towards the weights the layer has, is part of both.
    """

    hessian: Tensor
    target: Tensor


def prune(net: Net, calibration: NDArray[np.generic], keep_fraction: float) -> tuple[Net, Mask]:
    """Keep ceil(keep_fraction · channels) output channels of every layer that feeds exactly one other.

    Layers are narrowed front to back. The consumer's weights and bias become the least-squares fit of its dense
    outputs from the channels that are left; which ones are left is found by removing, one after another, the channel
    whose removal costs least.

    Args:
        net: The network to narrow.
        calibration: Samples [N, *net.input_shape]; at most 512 of them are used, evenly spaced.
        keep_fraction: Above 0, at most 1; at 1 the network comes back as it is.

    Raises:
        ValueError: `keep_fraction` is out of range.
        PlanError: there are no samples to calibrate on.
    """
    if not 0 < keep_fraction <= 1:
        raise ValueError(f"prune: keep_fraction must be above 0 and at most 1, got {keep_fraction}")
    if keep_fraction == 1:
        return net, Mask()
    if len(calibration) == 0:
        raise PlanError("prune: samples to calibrate on are needed, got none; keep all channels on this device")
    every = ceil(len(calibration) / CALIBRATION_SAMPLES)
    x = torch.from_numpy(np.ascontiguousarray(calibration[::every]))
    pruned, entries = net, []
    for coupling in couplings(net):
        error = output_error(pruned, net, coupling.consumer, x)
        total = len(coupling.columns)
        keep = ceil(keep_fraction * total - 1e-9)  # 0.07 · 100 is above 7 in floating point
        kept = cheapest_channels(error, coupling.columns, keep)
        pruned = _narrowed(pruned, coupling, kept, error)
        entries.append(KeptChannels(layer=net.layers[coupling.producer].name, total=total, kept=tuple(kept.tolist())))
    return pruned, Mask(layers=tuple(entries))


def couplings(net: Net) -> tuple[Coupling, ...]:
    """Where channels can be removed, front to back: only pooling, activations and reshapes lie between the layers."""
    places = [place for place, layer in enumerate(net.layers) if isinstance(layer, Producer)]
    found = []
    for producer, consumer in pairwise(places):
        between = net.layers[producer + 1 : consumer]
        ends = (net.layers[producer], net.layers[consumer])
        plain = all(not isinstance(layer, Conv) or layer.groups == 1 for layer in ends)
        if plain and isinstance(ends[1], Consumer) and all(isinstance(layer, _KEEPS_CHANNELS) for layer in between):
            columns = _columns_by_channel(net, producer, consumer)
            if columns is not None:
                found.append(Coupling(producer, consumer, columns))
    return tuple(found)


def output_error(pruned: Net, dense: Net, place: int, x: Tensor) -> Quadratic:
    """How far one layer's outputs in the pruned network are from those in the dense one: mean over rows, damped."""
    layer = _consumer(pruned, place)
    inputs = input_windows(layer, _activations(pruned, place, x))
    outputs = _activations(dense, place + 1, x)
    outputs = outputs.movedim(1, -1) if isinstance(layer, Conv) else outputs
    rows = _spread_rows(tuple(outputs.shape[:-1]))
    a, y = inputs[rows].flatten(1), outputs[rows]
    a = torch.cat([a, a.new_ones(len(a), 1)], dim=1)
    hessian, target = (a.T @ a).double() / len(a), (a.T @ y).double() / len(a)
    damping = DAMPING * float(hessian.diagonal().mean())
    return Quadratic(hessian + damping * torch.eye(len(hessian)), target + damping * _weight_and_bias(layer))


def cheapest_channels(error: Quadratic, columns: Indices, keep: int) -> Indices:
    """The channels left, ascending, after removing one after another the one whose removal costs least.

    The cost of a channel is the growth of the error with all other weights fitted anew: Σ wᵀ (H⁻¹)ᵢᵢ⁻¹ w over the
    block i of its columns. A removal eliminates its block from the inverse.
    """
    inverse = torch.linalg.inv(error.hessian)
    groups = torch.from_numpy(columns)
    left = torch.arange(len(groups))
    while len(left) > keep:
        weight = (inverse @ error.target)[groups[left]]
        blocks = inverse[groups[left][:, :, None], groups[left][:, None, :]]
        costs = (weight * torch.linalg.solve(blocks, weight)).sum(dim=(1, 2))
        cheapest = int(costs.argmin())
        group = groups[left[cheapest]]
        inverse = inverse - inverse[:, group] @ torch.linalg.solve(blocks[cheapest], inverse[group])
        left = left[left != left[cheapest]]
    return np.asarray(left.numpy(), dtype=np.int64)


def best_weight(error: Quadratic, used: Indices) -> Tensor:
    """The weights [used + 1, out] that minimise the error with only these columns and the bias; the bias is last."""
    index = torch.from_numpy(np.append(used, len(error.hessian) - 1))
    weight: Tensor = torch.linalg.solve(error.hessian[index][:, index], error.target[index])
    return weight


def _narrowed(net: Net, coupling: Coupling, kept: Indices, error: Quadratic) -> Net:
    """The net with only these channels between the two layers, the second one's weights fitted to them."""
    layers = list(net.layers)
    producer, consumer = layers[coupling.producer], _consumer(net, coupling.consumer)
    if isinstance(producer, Embedding):
        layers[coupling.producer] = replace(producer, table=np.ascontiguousarray(producer.table[:, kept]))
    elif isinstance(producer, Consumer):
        layers[coupling.producer] = replace(producer, weight=producer.weight[kept], bias=producer.bias[kept])
    fitted = best_weight(error, np.sort(coupling.columns[kept].ravel())).float().numpy()
    weight = fitted[:-1].T.reshape(len(consumer.weight), -1, *consumer.weight.shape[2:])
    layers[coupling.consumer] = replace(consumer, weight=np.ascontiguousarray(weight), bias=fitted[-1].copy())
    return replace(net, layers=tuple(layers))


def _consumer(net: Net, place: int) -> Consumer:
    layer = net.layers[place]
    if not isinstance(layer, Consumer):
        raise PlanError(f"layer {layer.name!r} has no weights to compensate; only convolutions and linear layers have")
    return layer


def _activations(net: Net, place: int, x: Tensor) -> Tensor:
    """What the layer at `place` is fed."""
    return _through(realise(net)[:place], x)


def _through(modules: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = modules(x)
    return y


def _columns_by_channel(net: Net, producer: int, consumer: int) -> Indices | None:
    """Which columns of the consumer's flattened weight read each channel of the producer; None where they mix.

    Found by sending the channels' own numbers through the layers between, which pass a constant on unchanged.
    """
    sample = torch.zeros((1, *net.input_shape), dtype=torch.int64 if net.tokens else torch.float32)
    modules = realise(net)
    numbers = _through(modules[: producer + 1], sample)
    axis = 1 if isinstance(net.layers[producer], Conv) else -1
    channels = numbers.shape[axis]
    numbers.movedim(axis, -1)[...] = torch.arange(channels, dtype=torch.float32)
    fed = _through(modules[producer + 1 : consumer], numbers)
    layer = _consumer(net, consumer)
    rows = (fed.movedim(1, -1) if isinstance(layer, Conv) else fed).flatten(0, -2)
    if not bool((rows == rows[0]).all()):
        return None
    owner = rows[0].round().long().repeat_interleave(prod(layer.weight.shape[2:]))
    return np.asarray(owner.argsort(stable=True).reshape(channels, -1).numpy(), dtype=np.int64)


def _spread_rows(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Indices of at most CALIBRATION_ROWS places of this shape, evenly spread."""
    every = ceil(prod(shape) / CALIBRATION_ROWS)
    return torch.unravel_index(torch.arange(0, prod(shape), every), shape)


def _weight_and_bias(layer: Consumer) -> Tensor:
    flat = layer.weight.reshape(len(layer.weight), -1).T
    return torch.from_numpy(np.concatenate([flat, layer.bias[None]])).double()
