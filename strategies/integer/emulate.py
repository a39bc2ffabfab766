"""A quantised net computed in exact integers, as ONNX Runtime does it on x86: what a variant's numbers must equal.

Without layers in float32 between integer ones the runtime's answers are these to 1e-5. Behind such a layer (attention,
layer norm) two libraries' float32 may round a value to neighbouring steps.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from fedtailor.protos.net import Layer
from fedtailor.protos.quantised_net import QuantisedLayer, QuantisedNet
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.realise import Part
from fedtailor.strategies.graph.wiring import readers
from fedtailor.strategies.integer.emulate_ops import RULES, Value, dequantised


def emulate(net: QuantisedNet, x: NDArray[np.generic]) -> Floats:
    """Outputs [N, ...] of the integer arithmetic for x [N, *input_shape]."""
    held = {0: Value(torch.from_numpy(np.ascontiguousarray(x)))}
    last_reader = [places[-1] if places else len(net.layers) for places in readers(net)]
    with torch.no_grad():
        for place, (layer, read) in enumerate(zip(net.layers, net.wires, strict=True)):
            held[place + 1] = _answer(layer, *(held[value] for value in read))
            for value in set(read):
                if last_reader[value] == place:
                    del held[value]
        answer = held[len(net.layers)]
        reals = answer if answer.grid is None else dequantised(answer)
    return reals.numbers.numpy().astype(np.float32)


def _answer(layer: QuantisedLayer, *values: Value) -> Value:
    if isinstance(layer, Layer) and values[0].grid is None:
        return Value(Part(layer)(*(value.numbers for value in values)))
    return RULES[type(layer)](layer, *values)
