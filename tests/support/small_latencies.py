"""Latencies of a device that nobody measured: a hundredth of a microsecond for each weight."""

import numpy as np

from fedtailor.protos.net import Conv, Linear
from fedtailor.strategies.planning.latency import Latencies, LatencyGrid


def modelled_latencies(net, *, integer_share=1.0):
    """By layer; int8 takes `integer_share` of what float32 takes, and nothing lies between layers."""
    weighted = [layer for layer in net.layers if isinstance(layer, Conv | Linear)]
    return Latencies({layer.name: _grid(layer, integer_share) for layer in weighted}, rest_us=(1.0, 1.0))


def _grid(layer, integer_share):
    outputs, inputs, *kernel = layer.weight.shape
    size = int(np.prod(kernel))
    rows, columns = (np.array(sorted({1.0, float(channels)})) for channels in (outputs, inputs))
    us = 0.01 * size * np.outer(rows, columns)
    return LatencyGrid(rows, columns, size, block=1, float_us=us, integer_us=us * integer_share, uneven_us=0.0)
