"""The ways in which one compressed net can compute on this device: as they are exported, measured and chosen from.

A mixture of float32 and int8 is none of them: on small convolutional nets the conversions in between cost more than the
better kernels bring.
"""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.block_linear import with_block_linears
from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.protos.quantised_net import BlockLinear, QuantisedConv, QuantisedLinear, QuantisedNet
from fedtailor.strategies.integer.quantise import quantise

Form = Net | QuantisedNet

INT8, INT4, FP32, FASTEST = "int8", "int4", "fp32", "fastest"
_COMPUTES = {QuantisedConv: INT8, QuantisedLinear: INT8, BlockLinear: INT4, Conv: FP32, Linear: FP32}


def forms(net: Net, calibration: NDArray[np.generic], precision: str) -> tuple[Form, ...]:
    """A net with coded weights in int8, in float32, or with `fastest` in each way that may pay: at least one.

    These are both, and the second with large linear layers in four-bit blocks where those measure faster.

    Args:
        calibration: [N, *net.input_shape].

    Raises:
        PlanError: the precision is unknown, or int8 is asked for and no layer computes in integers.
    """
    if precision == FASTEST:
        return tuple(_all_forms(net, calibration))
    if precision not in {INT8, FP32}:
        raise PlanError(f"precision must be {INT8}, {FP32} or {FASTEST}, got {precision!r}")
    return (quantise(net, calibration) if precision == INT8 else net,)


def _all_forms(net: Net, calibration: NDArray[np.generic]) -> Iterator[Form]:
    with suppress(PlanError):  # a net that has no integer form computes in float32
        yield quantise(net, calibration)
    yield net
    in_blocks = with_block_linears(net)
    if in_blocks is not net:
        yield in_blocks


def precision_of(form: Form) -> str:
    """What its convolutions and linear layers compute in, such as `int8` or `int4+fp32`."""
    found = {_COMPUTES.get(type(layer)) for layer in form.layers}
    return "+".join(way for way in (INT8, INT4, FP32) if way in found) or FP32
