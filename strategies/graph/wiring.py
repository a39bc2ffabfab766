"""Who reads what in a net."""

from fedtailor.protos.net import Net
from fedtailor.protos.quantised_net import QuantisedNet


def readers(net: Net | QuantisedNet) -> tuple[tuple[int, ...], ...]:
    """For every value (0 the sample, k the answer of layer k − 1) the places of the layers that read it, ascending."""
    reading: list[list[int]] = [[] for _ in range(len(net.layers) + 1)]
    for place, wires in enumerate(net.wires):
        for value in dict.fromkeys(wires):
            reading[value].append(place)
    return tuple(map(tuple, reading))
