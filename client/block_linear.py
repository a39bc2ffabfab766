"""Linear layers with four-bit weights where they are faster on this device than in float32."""

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from fedtailor.client.export import to_onnx
from fedtailor.client.measure import alternating
from fedtailor.client.runtime import open_session
from fedtailor.protos.net import Linear, Net
from fedtailor.protos.quantised_net import BlockLinear, QuantisedNet
from fedtailor.strategies.compression.block_linear import to_block_linear
from fedtailor.strategies.graph.shapes import Shape, layer_shapes

_FEWEST_WEIGHTS = 2**16  # below, a run costs more than the multiplication
_BLOCKS = (32, 128)
_GAIN = 1.05  # less is not worth the rounding


def with_block_linears(net: Net | QuantisedNet, *, seconds: float = 0.05) -> Net | QuantisedNet:
    """The net with those large float linear layers in four-bit blocks that measure faster so; itself if none does.

    Inputs are rounded as well, to 8 bits per block and row, when it runs.

    Args:
        seconds: Wall-clock time that each layer may take.
    """
    shapes = layer_shapes(net)
    chosen = [
        _faster(layer, shapes[wires[0]], seconds)
        if isinstance(layer, Linear) and layer.weight.size >= _FEWEST_WEIGHTS
        else layer
        for layer, wires in zip(net.layers, net.wires, strict=True)
    ]
    if not any(isinstance(layer, BlockLinear) for layer in chosen):
        return net
    return QuantisedNet(net.input_shape, net.tokens, tuple(chosen), net.wires)


def _faster(layer: Linear, given: Shape, seconds: float) -> Linear | BlockLinear:
    candidates = [to_block_linear(layer, block) for block in _BLOCKS]
    forms: list[Linear | BlockLinear] = [layer, *candidates]
    runs = [_run(QuantisedNet(given, False, (form,))) for form in forms]
    float_us, *block_us = alternating(runs, seconds=seconds)
    best = int(np.argmin(block_us))
    return candidates[best] if float_us > _GAIN * block_us[best] else layer


def _run(net: QuantisedNet) -> Callable[[], object]:
    row = np.linspace(-1, 1, prod(net.input_shape), dtype=np.float32).reshape(1, *net.input_shape)
    return partial(open_session(to_onnx(net)).run, None, {"x": row})
