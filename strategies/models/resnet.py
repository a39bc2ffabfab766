"""Images [H, W, C]: five residual blocks of 3×3 convolutions without norm layers, 1.07M parameters; chosen by name.

Source: He et al. 2016, arXiv:1512.03385, for 32 to 128 channels; without batch norm after Zhang et al. 2019,
arXiv:1901.09321. From 32 pixels a side the first convolution strides.
"""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import ChannelsFirst, GlobalAveragePool, Residual

_STAGES = ((32, 1), (64, 1), (128, 3))  # channels and blocks


def _layers(spec: ModelSpec) -> Layers:
    height, width, inputs = spec.input_shape
    layers: Layers = OrderedDict(first=ChannelsFirst())
    for stage, (channels, blocks) in enumerate(_STAGES, 1):
        stride = 2 if stage > 1 or min(height, width) >= 32 else 1
        layers[f"down{stage}"] = nn.Conv2d(inputs, channels, 3, padding=1, stride=stride)
        layers[f"relu{stage}"] = nn.ReLU()
        for block in range(1, blocks + 1):
            layers[f"block{stage}{block}"] = Residual(
                nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
            )
            layers[f"relu{stage}{block}"] = nn.ReLU()
        inputs = channels
    layers["average"] = GlobalAveragePool()
    layers["head"] = nn.Linear(inputs, spec.outputs)
    return layers


def _exits(spec: ModelSpec) -> Layers:
    """After every block but the last."""
    blocks = [
        (f"relu{at}{block}", width) for at, (width, count) in enumerate(_STAGES, 1) for block in range(1, count + 1)
    ]
    return OrderedDict((name, exit_head(width, spec, GlobalAveragePool())) for name, width in blocks[:-1])


RESNET = register(
    Model(
        name="resnet",
        version=1,
        suits=lambda kind, shape: kind != NEXT_TOKEN and len(shape) == 3 and min(shape[:2]) >= 8,
        layers=_layers,
        exits=_exits,
    )
)
