"""Series [time, channels]: three convolutions of width 5, averaged over time. 32k parameters on six channels.

From 64 steps on it pools by 4, so that the last convolution sees 85 steps, most of a gesture; by 2 it would see 29.
"""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import ChannelsFirst, GlobalAveragePool


def _layers(spec: ModelSpec) -> Layers:
    steps, channels = spec.input_shape
    width = 4 if steps >= 64 else 2
    return OrderedDict(
        first=ChannelsFirst(),
        conv1=nn.Conv1d(channels, 32, 5, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool1d(width),
        conv2=nn.Conv1d(32, 64, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool1d(width),
        conv3=nn.Conv1d(64, 64, 5, padding=2),
        relu3=nn.ReLU(),
        average=GlobalAveragePool(),
        head=nn.Linear(64, spec.outputs),
    )


CONV1D = register(
    Model(
        name="conv1d",
        version=1,
        suits=lambda kind, shape: kind != NEXT_TOKEN and len(shape) == 2 and shape[0] >= 4,
        layers=_layers,
    )
)
