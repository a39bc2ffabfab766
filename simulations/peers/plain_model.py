"""The fp32 model as a peer can read it: in opset 17, beyond which several of them write models that do not open."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter
from torch import nn

from fedtailor.client.whole_model import whole_model
from fedtailor.protos.errors import PlanError

_OPSET, _IR_VERSION = 17, 8


def plain_model(model: bytes, module: nn.Module, rows: NDArray[np.generic]) -> bytes:
    """Our own export in older operators where they exist, else what torch exports of the same module.

    Ours comes first because it is the faster graph (series as pictures of height 1), and so the fairer start.

    Args:
        model: Our export of the module.
        module: Takes rows as a fleet file stores them.
        rows: [N, *sample]; torch's export is checked on some of them.

    Raises:
        PlanError: there is no older form, and torch cannot export the module either.
    """
    try:
        older = version_converter.convert_version(onnx.load_from_string(model), _OPSET)
    except RuntimeError as error:  # attention as one operator is newer
        return whole_model(module, rows, PlanError(str(error))).fp32
    older.ir_version = _IR_VERSION
    return bytes(older.SerializeToString())
