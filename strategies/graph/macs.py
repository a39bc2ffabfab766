"""Multiply-accumulates of one sample: what modelled energy is counted in."""

from math import prod

from fedtailor.protos.net import Attention, Conv, Linear, Net
from fedtailor.protos.quantised_net import BlockLinear, QuantisedConv, QuantisedLinear, QuantisedNet
from fedtailor.strategies.graph.shapes import layer_shapes


def macs(net: Net | QuantisedNet) -> int:
    """Multiply-accumulates of convolutions, linear layers and attention for one sample; padding counts as computed.

    Raises:
        PlanError: the layers do not fit each other.
    """
    total = 0
    for layer, shape in zip(net.layers, layer_shapes(net)[1:], strict=True):
        if isinstance(layer, Conv | QuantisedConv):
            total += layer.weight.size * prod(shape[1:])
        elif isinstance(layer, Linear | QuantisedLinear | BlockLinear):
            total += layer.weight.size * prod(shape[:-1])
        elif isinstance(layer, Attention):
            total += 2 * shape[0] * shape[0] * shape[1]
    return total
