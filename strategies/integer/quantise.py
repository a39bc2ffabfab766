"""Exact static int8 quantisation after training, from local rows.

Weights are symmetric per output channel, activations affine u8 with zero on the grid, biases int32 on s_x · s_w.
Source: Jacob et al. 2018, arXiv:1712.05877, section 2.
"""

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.protos.quantised_net import QuantisedNet
from fedtailor.strategies.compression.code_weights import all_coded
from fedtailor.strategies.compression.spread import spread_rows
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.integer.assemble import assemble
from fedtailor.strategies.integer.emulate import emulate
from fedtailor.strategies.integer.grids import full_range, least_squares_range
from fedtailor.strategies.integer.integer_layers import integer_layers

_FEWEST_ROWS, _MOST_ROWS = 32, 256  # of the calibration rows; in between, as many as a large net can afford
_CALIBRATION_MACS = 2 * 10**9


def quantise(net: Net, calibration: NDArray[np.generic], *, floats: Collection[str] = ()) -> QuantisedNet:
    """The net in integers, with activation ranges seen on `calibration` [N, *input_shape] (32 to 256 rows are
    used, spread evenly).

    Weights that are coded are taken as they are, others become 8 bits. Ranges are the full ones, or clipped ones of
    least squared error: whichever keeps the outputs closer.

    Args:
        floats: Names of layers that compute in float32, with the weights they have. So does whatever has no integer
            kernel (attention, layer norm), and what only such layers surround.

    Raises:
        ValueError: there are no rows, or no layer has a name in `floats`.
        PlanError: no convolution and no linear layer is left to compute in integers.
    """
    unknown = set(floats) - {layer.name for layer in net.layers}
    if unknown or not len(calibration):
        raise ValueError(f"quantise: needs rows and names of layers, got {len(calibration)} rows and {sorted(unknown)}")
    kinds = integer_layers(net, floats)
    weighted = [isinstance(layer, Conv | Linear) for layer in net.layers]
    if not any(whole for whole, has_weight in zip(kinds.integer, weighted, strict=True) if has_weight):
        raise PlanError("quantise: no convolution and no linear layer computes in integers; keep the net in fp32")
    affordable = min(_CALIBRATION_MACS // max(macs(net), 1), _MOST_ROWS)
    rows = spread_rows(calibration, max(_FEWEST_ROWS, affordable))
    with torch.no_grad():
        values = [value.numpy() for value in realise(net).values(torch.from_numpy(rows))]
    coded = all_coded(net, except_for=floats)
    candidates = (assemble(coded, kinds, values, rule) for rule in (full_range, least_squares_range))
    return min(candidates, key=lambda made: float(((emulate(made, rows).astype(np.float64) - values[-1]) ** 2).mean()))
