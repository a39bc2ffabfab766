"""Images [H, W, C]: three 3×3 convolutions, averaged over the picture; from 32 pixels a side the first one strides."""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import ChannelsFirst, GlobalAveragePool


def _layers(spec: ModelSpec) -> Layers:
    height, width, channels = spec.input_shape
    return OrderedDict(
        first=ChannelsFirst(),
        conv1=nn.Conv2d(channels, 32, 3, padding=1, stride=2 if min(height, width) >= 32 else 1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3, padding=1),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(64, 64, 3, padding=1),
        relu3=nn.ReLU(),
        average=GlobalAveragePool(),
        head=nn.Linear(64, spec.outputs),
    )


CONV2D = register(
    Model(
        name="conv2d",
        version=1,
        suits=lambda kind, shape: kind != NEXT_TOKEN and len(shape) == 3 and min(shape[:2]) >= 4,
        layers=_layers,
    )
)
