"""Which layers of a net compute in integers, and which values they pass on as u8."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fedtailor.protos.net import (
    Activation,
    Add,
    AveragePool,
    ChannelsFirst,
    ChannelsLast,
    Concat,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Net,
)
from fedtailor.strategies.graph.wiring import readers

_WEIGHTED = (Conv, Linear)
_MOVES = (ChannelsFirst, ChannelsLast, MaxPool, Flatten)
_FLEXIBLE = (Activation, Add, AveragePool, Concat, GlobalAveragePool)
_MAKES_GRID = (Conv, Linear, Add, AveragePool, Concat, GlobalAveragePool)
_RANGE_ENDS = ("relu", "relu6")


@dataclass(frozen=True)
class IntegerLayers:
    """For every layer whether it computes in integers; for every value whether its layer gives u8.

    `clipped`: for the place of a ReLU or ReLU6 that is no layer of its own but the ends of an output grid, the place of
    the layer that makes this grid. Of several that one layer makes room for, the last sets the ends.
    """

    integer: tuple[bool, ...]
    u8: tuple[bool, ...]
    clipped: Mapping[int, int]


def integer_layers(net: Net, floats: Collection[str]) -> IntegerLayers:
    """Integers wherever a layer has an integer kernel, except for the layers named in `floats`.

    Convolutions and linear layers always have one. What only moves values works on u8 where it finds it, or where all
    its readers want it; a sum, average or function where it finds u8 and a reader wants it. The last linear layer, and
    one that only layers in float32 read, answers in float32.
    """
    reading = readers(net)
    wants = _Wants(net, reading, floats)
    integer: list[bool] = []
    u8 = [False]
    clipped: dict[int, int] = {}
    for place, layer in enumerate(net.layers):
        maker = _clipped_maker(net, place, reading, u8, clipped)
        if maker is not None:
            clipped[place] = maker
        finds_u8 = any(u8[value] for value in net.wires[place])
        integer.append(maker is not None or (layer.name not in floats and wants.integers(place, finds_u8)))
        u8.append(integer[-1] and (wants.any[place + 1] or not isinstance(layer, Linear)))
    return IntegerLayers(tuple(integer), tuple(u8), clipped)


def keeps_grid(layer: Layer) -> bool:
    """Whether the layer only moves or compares values, so that u8 stays on the grid it is on."""
    return isinstance(layer, _MOVES) or (isinstance(layer, Activation) and layer.function == "relu")


class _Wants:
    """`any`: for every value whether something that reads it could use it as u8; `all`: whether all that reads it."""

    def __init__(self, net: Net, reading: tuple[tuple[int, ...], ...], floats: Collection[str]) -> None:
        self._layers = net.layers
        self.any = [False] * len(reading)
        self.all = [False] * len(reading)
        for value in reversed(range(len(reading))):
            wishes = [net.layers[at].name not in floats and self._wishes(at) for at in reading[value]]
            self.any[value], self.all[value] = any(wishes), bool(wishes) and all(wishes)

    def _wishes(self, place: int) -> bool:
        layer = self._layers[place]
        return isinstance(layer, _WEIGHTED) or (isinstance(layer, _MOVES + _FLEXIBLE) and self.any[place + 1])

    def integers(self, place: int, finds_u8: bool) -> bool:
        """Whether the layer computes in integers, given whether it finds u8."""
        layer = self._layers[place]
        if isinstance(layer, Embedding):
            return self.all[place + 1]
        if keeps_grid(layer):
            return finds_u8 or (isinstance(layer, _MOVES) and self.all[place + 1])
        return isinstance(layer, _WEIGHTED) or (isinstance(layer, _FLEXIBLE) and finds_u8 and self.any[place + 1])


def _clipped_maker(
    net: Net, place: int, reading: tuple[tuple[int, ...], ...], u8: list[bool], clipped: Mapping[int, int]
) -> int | None:
    """The place of the layer whose grid can end where this ReLU or ReLU6 clips; only it may read what lies between.

    What lies between moves values, or is itself such an end: clipping before and after a move or a maximum is the same.
    """
    layer, value = net.layers[place], net.wires[place][0]
    if not (isinstance(layer, Activation) and layer.function in _RANGE_ENDS):
        return None
    while u8[value] and len(reading[value]) == 1:
        maker = net.layers[value - 1]
        if isinstance(maker, _MAKES_GRID):
            return value - 1
        if not (isinstance(maker, _MOVES) or value - 1 in clipped):
            return None
        value = net.wires[value - 1][0]
    return None
