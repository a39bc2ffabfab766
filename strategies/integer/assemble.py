"""A quantised net put together, layer by layer, from a net whose weights are coded and from what it was seen to answer.

A float value that integer layers read is quantised once, a u8 value that float layers read is dequantised once.
"""

from collections.abc import Callable, Sequence
from math import prod

from fedtailor.protos.net import Embedding, Net
from fedtailor.protos.quantised_net import Dequantise, Grid, Quantise, QuantisedLayer, QuantisedNet
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.integer.integer_kernel import integer_kernel
from fedtailor.strategies.integer.integer_layers import IntegerLayers, keeps_grid

Rule = Callable[[Floats], Grid]


def assemble(net: Net, kinds: IntegerLayers, values: Sequence[Floats], rule: Rule) -> QuantisedNet:
    """The net with the layers of `kinds` in integers, each value on the grid that `rule` finds for it.

    Args:
        net: All weights that compute in integers are coded.
        values: Every value of the net in float32 on some rows.

    Raises:
        PlanError: the layers do not fit each other.
    """
    assembly = _Assembly(net, values, rule)
    ends = {maker: place for place, maker in sorted(kinds.clipped.items())}
    for place in range(len(net.layers)):
        if place in kinds.clipped:
            assembly.skip(place)
        elif kinds.integer[place]:
            assembly.add_in_integers(place, ends.get(place, place) + 1 if kinds.u8[place + 1] else None)
        else:
            assembly.add_in_float(place)
    quantised = assembly.finished()
    layer_shapes(quantised)
    return quantised


class _Assembly:
    """The net in the making. By value of the float net: its number here as u8 and in float32, and its grid."""

    def __init__(self, net: Net, values: Sequence[Floats], rule: Rule) -> None:
        self._net, self._values, self._rule = net, values, rule
        self._layers: list[QuantisedLayer] = []
        self._wires: list[tuple[int, ...]] = []
        self._u8: dict[int, int] = {}
        self._reals = {0: 0}
        self._grids: dict[int, Grid] = {}

    def skip(self, place: int) -> None:
        """The layer answers what it reads."""
        read, value = self._net.wires[place][0], place + 1
        self._u8[value], self._grids[value] = self._u8[read], self._grids[read]

    def add_in_float(self, place: int) -> None:
        read = [self._as_reals(value) for value in self._net.wires[place]]
        self._reals[place + 1] = self._append(self._net.layers[place], *read)

    def add_in_integers(self, place: int, ranged: int | None) -> None:
        """`ranged`: the value on whose grid the layer answers; None where it answers in float32."""
        layer, wires = self._net.layers[place], self._net.wires[place]
        tokens = isinstance(layer, Embedding)
        read = [self._as_reals(value) if tokens else self._as_u8(value) for value in wires]
        given = [] if tokens else [self._grids[value] for value in wires]
        output = None if ranged is None or keeps_grid(layer) else self._rule(self._values[ranged])
        made = integer_kernel(layer, given, output, size=prod(self._values[wires[0]].shape[2:]))
        number = self._append(made, *read)
        if ranged is None:
            self._reals[place + 1] = number
        else:
            self._u8[place + 1], self._grids[place + 1] = number, getattr(made, "output", None) or given[0]

    def finished(self) -> QuantisedNet:
        """What answers comes last, whatever was put in between."""
        value = len(self._net.layers)
        if self._u8.get(value, self._reals.get(value)) != len(self._layers):
            self._as_reals(value)
        return QuantisedNet(self._net.input_shape, self._net.tokens, tuple(self._layers), tuple(self._wires))

    def _append(self, layer: QuantisedLayer, *read: int) -> int:
        self._layers.append(layer)
        self._wires.append(read)
        return len(self._layers)

    def _as_u8(self, value: int) -> int:
        if value not in self._u8:
            self._grids[value] = self._rule(self._values[value])
            layer = Quantise(f"{self._name(value)}.quantised", self._grids[value])
            self._u8[value] = self._append(layer, self._reals[value])
        return self._u8[value]

    def _as_reals(self, value: int) -> int:
        if value not in self._reals:
            self._reals[value] = self._append(Dequantise(f"{self._name(value)}.dequantised"), self._u8[value])
        return self._reals[value]

    def _name(self, value: int) -> str:
        return self._net.layers[value - 1].name if value else "input"
