"""Which channels of a net can only be removed together, and what of each layer reads or carries them.

Every output channel of a layer with weights gets a number; the numbers are followed along the wires. Where a layer adds
two values, their channels become one; where it mixes channels in a way that no weights can make up for, they stay.

- Depthwise convolutions, pools, activations, `Affine` and `Positions` carry channels on; a flattened channel owns a run
  of columns; a concatenation puts the channels of several groups side by side.
- The sample's channels, the answer's, and those that `LayerNorm` or a grouped convolution reads are never removed:
  without one, the mean and the variance of the others would change, or the groups would no longer be of one size.
- Of attention whole heads are removed: queries, keys and values of one head are one channel of a group.

Fang et al. 2023, DepGraph, arXiv:2301.12900, section 3.2 derive such groups from a matrix of dependencies between
layers; here they are derived channel by channel.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.net import (
    Activation,
    Add,
    Affine,
    Attention,
    AveragePool,
    ChannelsFirst,
    ChannelsLast,
    Concat,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Net,
    Positions,
)
from fedtailor.strategies.graph.shapes import Shape, layer_shapes

Indices = NDArray[np.int64]

_STAYS = 0  # the number of every channel that is never removed
_CARRIES = (Activation, Add, Affine, Attention, AveragePool, GlobalAveragePool, MaxPool, Positions)


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are removed or kept one by one, each with all that belongs to it.

    name: of the first layer that makes them. rows: by layer that makes or carries them, [channels, k] the places along
    its output channels (of attention: its heads). columns: by convolution or linear layer that reads them, [channels,
    k] the columns of its weight flattened to [out, in · kernel].
    """

    name: str
    rows: Mapping[str, Indices]
    columns: Mapping[str, Indices]

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(next(iter(self.rows.values())))


@dataclass(frozen=True, eq=False)
class _Flow:
    """Of one value: the numbers of the channels that lie along one axis of the sample."""

    axis: int
    numbers: Indices


class _Numbers:
    """Numbers for channels; those that are tied become the smallest of them, `_STAYS` before all others."""

    def __init__(self) -> None:
        self._parents = [_STAYS]

    def fresh(self, count: int) -> Indices:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def tie(self, left: Indices, right: Indices) -> None:
        for one, other in set(zip(left.tolist(), right.tolist(), strict=True)):
            low, high = sorted((self._smallest(one), self._smallest(other)))
            self._parents[high] = low

    def stay(self, flow: _Flow) -> None:
        self.tie(flow.numbers, np.full_like(flow.numbers, _STAYS))

    def smallest(self) -> Indices:
        """For every number the one it has become."""
        return np.array([self._smallest(number) for number in range(len(self._parents))])

    def _smallest(self, number: int) -> int:
        while self._parents[number] != number:
            number = self._parents[number]
        return number


def channel_groups(net: Net) -> tuple[Group, ...]:
    """All groups of at least two channels, in the order of their first layers.

    Raises:
        PlanError: the layers of the net do not fit each other.
    """
    numbers = _Numbers()
    flows = _flows(net, numbers)
    tied = numbers.smallest()
    rows = {name: tied[owners] for name, owners in _carried(net, flows)}
    columns = {name: tied[owners] for name, owners in _read(net, flows)}
    if not columns:
        return ()
    counts = np.stack([np.bincount(owners, minlength=len(tied)) for owners in (*rows.values(), *columns.values())])
    alike: dict[tuple[int, ...], list[int]] = {}  # channels that belong to the same layers, as often
    for channel in np.flatnonzero(counts[: len(rows)].any(axis=0)).tolist():
        if channel != _STAYS:
            alike.setdefault(tuple(counts[:, channel].tolist()), []).append(channel)
    groups: dict[str, Group] = {}
    for channels in alike.values():
        mine, reading = _places(rows, channels), _places(columns, channels)
        name = next((name for name in mine if name not in groups), None)
        if len(channels) > 1 and reading and name is not None:
            groups[name] = Group(name, mine, reading)
    return tuple(groups.values())


def is_depthwise(layer: Conv) -> bool:
    """Whether each output channel is computed from one input channel of its own."""
    return layer.groups > 1 and layer.weight.shape[1] == 1


def _places(owners: Mapping[str, Indices], channels: list[int]) -> dict[str, Indices]:
    """By layer, where along its axis each of these channels lies; only layers that have them."""
    return {
        name: np.stack([np.flatnonzero(numbers == channel) for channel in channels])
        for name, numbers in owners.items()
        if channels[0] in numbers
    }


def _carried(net: Net, flows: list[_Flow]) -> Iterator[tuple[str, Indices]]:
    """Each layer that has something of its own for every channel of its answer; attention has heads."""
    for layer, flow in zip(net.layers, flows[1:], strict=True):
        if isinstance(layer, Attention):
            yield layer.name, flow.numbers.reshape(layer.heads, -1)[:, 0]
        affine = isinstance(layer, Affine) and len(layer.scale) == len(flow.numbers) > 1
        if affine or isinstance(layer, Conv | Linear | Embedding | Positions):
            yield layer.name, flow.numbers


def _read(net: Net, flows: list[_Flow]) -> Iterator[tuple[str, Indices]]:
    """Each layer whose weight has columns for every channel that it reads."""
    for layer, read in zip(net.layers, net.wires, strict=True):
        if isinstance(layer, Linear) or (isinstance(layer, Conv) and layer.groups == 1):
            yield layer.name, np.repeat(flows[read[0]].numbers, prod(layer.weight.shape[2:]))


def _flows(net: Net, numbers: _Numbers) -> list[_Flow]:
    """The channels of every value; those of the sample and of the answer stay."""
    shapes = layer_shapes(net)
    flows = [_along(None, len(net.input_shape) - 1, net.input_shape, numbers)]
    for layer, read in zip(net.layers, net.wires, strict=True):
        axis = _axis(layer, len(shapes[read[0]]), flows[read[0]])
        inputs = [_along(flows[value], axis, shapes[value], numbers) for value in read]
        flows.append(_after(layer, inputs, shapes[read[0]], numbers))
    numbers.stay(flows[-1])
    return flows


def _axis(layer: Layer, rank: int, flow: _Flow) -> int:
    """Along which axis of what it reads the layer takes its channels."""
    if isinstance(layer, Conv | MaxPool | AveragePool | GlobalAveragePool):
        return 0
    if isinstance(layer, Linear | LayerNorm | Attention | Positions):
        return rank - 1
    return layer.axis if isinstance(layer, Concat) else flow.axis


def _along(flow: _Flow | None, axis: int, shape: Shape, numbers: _Numbers) -> _Flow:
    """The channels along this axis; where they lie along another one, each place reads them all, and they stay."""
    if flow is not None and flow.axis == axis:
        return flow
    if flow is not None:
        numbers.stay(flow)
    return _Flow(axis, np.full(shape[axis], _STAYS))


def _after(layer: Layer, inputs: list[_Flow], shape: Shape, numbers: _Numbers) -> _Flow:
    """The channels of the layer's answer; shape: of the first value that it reads."""
    first, rank = inputs[0], len(shape)
    if isinstance(layer, Conv | Linear | Embedding):
        return _made(layer, first, rank, numbers)
    if isinstance(layer, Concat):
        return _Flow(first.axis, np.concatenate([flow.numbers for flow in inputs]))
    if isinstance(layer, ChannelsFirst | ChannelsLast):
        return _Flow((first.axis + (1 if isinstance(layer, ChannelsFirst) else -1)) % rank, first.numbers)
    if isinstance(layer, Flatten):
        inner = prod(shape[first.axis + 1 :])
        return _Flow(0, np.tile(np.repeat(first.numbers, inner), prod(shape[: first.axis])))
    if isinstance(layer, Add):
        numbers.tie(first.numbers, inputs[1].numbers)
    if isinstance(layer, Attention):
        heads = np.repeat(first.numbers.reshape(layer.heads, -1)[:, 0], len(first.numbers) // layer.heads)
        for flow in inputs:
            numbers.tie(flow.numbers, heads)
    if not isinstance(layer, _CARRIES):
        numbers.stay(first)
    return first


def _made(layer: Conv | Linear | Embedding, read: _Flow, rank: int, numbers: _Numbers) -> _Flow:
    if isinstance(layer, Embedding):
        return _Flow(rank, numbers.fresh(layer.table.shape[1]))
    if isinstance(layer, Linear) or layer.groups == 1:
        return _Flow(read.axis, numbers.fresh(len(layer.weight)))
    if is_depthwise(layer):
        return _Flow(0, np.repeat(read.numbers, len(layer.weight) // layer.groups))
    numbers.stay(read)
    return _Flow(0, np.full(len(layer.weight), _STAYS))
