"""The pieces of a net that a runtime computes as one operator: a layer with weights and what follows it alone."""

from dataclasses import dataclass

from fedtailor.protos.net import Activation, AveragePool, Conv, GlobalAveragePool, Layer, Linear, MaxPool, Net
from fedtailor.strategies.graph.wiring import readers

_FOLLOWS = (Activation, AveragePool, GlobalAveragePool, MaxPool)


@dataclass(frozen=True, eq=False)
class Segment:
    """A convolution or linear layer with the activations and pools that alone read it, one `after` the other.

    reads: the value of the net that it reads.
    """

    layer: Conv | Linear
    after: tuple[Layer, ...]
    reads: int


def segments(net: Net) -> tuple[Segment, ...]:
    """All segments of a net, in the order of its layers."""
    weighted = [(place, layer) for place, layer in enumerate(net.layers) if isinstance(layer, Conv | Linear)]
    return tuple(Segment(layer, _after(net, place), net.wires[place][0]) for place, layer in weighted)


def _after(net: Net, place: int) -> tuple[Layer, ...]:
    """The layers that can be computed with the one at this place."""
    reading, after = readers(net), []
    while len(reading[place + 1]) == 1 and isinstance(net.layers[reading[place + 1][0]], _FOLLOWS):
        place = reading[place + 1][0]
        after.append(net.layers[place])
    return tuple(after)
