"""A net as the file that would run, with what that file answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.export import to_onnx
from fedtailor.client.forms import Form, precision_of
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.quantised_net import BlockLinear, QuantisedConv, QuantisedLinear
from fedtailor.strategies.compression.allotment import FP32_BITS
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.payload.payload import pack


@dataclass(frozen=True, eq=False)
class Artefact:
    """`model` is the ONNX file, `payload` how it is kept and sent, `outputs` the runtime's for some rows.

    `macs` is None where they are not known.
    """

    mask: Mask
    precision: str
    weight_bits: float
    model: bytes
    payload: bytes
    macs: int | None
    outputs: NDArray[np.float32]


def artefact(net: Form, mask: Mask, x: NDArray[np.generic]) -> Artefact:
    """Export, pack, and run on `x` [N, *input_shape].

    Raises:
        PlanError: it answers NaN or infinity.
    """
    model = to_onnx(net)
    outputs = predict(open_session(model), x)
    if not np.isfinite(outputs).all():
        raise PlanError("its artefact answers NaN or infinity; it is left out")
    return Artefact(
        mask=mask,
        precision=precision_of(net),
        weight_bits=weight_bits(net),
        model=model,
        payload=pack(net),
        macs=macs(net),
        outputs=outputs,
    )


def weight_bits(net: Form) -> float:
    """The mean, over the weights of convolutions and linear layers, of the bits that hold their layer's integers."""
    widths = [(_bits(layer), layer.weight.size) for layer in net.layers if isinstance(layer, _WEIGHTED)]
    total = sum(size for _, size in widths)
    return sum(bits * size for bits, size in widths) / total if total else float(FP32_BITS)


_WEIGHTED = (Conv, Linear, QuantisedConv, QuantisedLinear, BlockLinear)


def _bits(layer: Conv | Linear | QuantisedConv | QuantisedLinear | BlockLinear) -> int:
    if not isinstance(layer, Conv | Linear):
        integers = layer.weight
    elif layer.scales is None:
        return FP32_BITS
    else:
        integers = np.rint(layer.weight.reshape(len(layer.weight), -1) / layer.scales[:, None])
    values = np.unique(integers)
    return 1 if set(values.tolist()) <= {-1, 1} else int(np.abs(values).max(initial=1)).bit_length() + 1
