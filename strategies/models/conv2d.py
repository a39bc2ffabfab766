"""Images [H, W, C]: three 3×3 convolutions, averaged over the picture; from 32 pixels a side the first one strides.

`conv2d-narrow` has three eighths of the channels, 8k parameters: what pruning has to beat. `conv2d-medium` has a
quarter of a million and `conv2d-wide` 1.0M: models that are too much for many devices until they are tailored.
"""

from collections import OrderedDict
from functools import partial

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import ChannelsFirst, GlobalAveragePool


def _layers(spec: ModelSpec, first: int, hidden: int) -> Layers:
    height, width, channels = spec.input_shape
    return OrderedDict(
        first=ChannelsFirst(),
        conv1=nn.Conv2d(channels, first, 3, padding=1, stride=2 if min(height, width) >= 32 else 1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(first, hidden, 3, padding=1),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(hidden, hidden, 3, padding=1),
        relu3=nn.ReLU(),
        average=GlobalAveragePool(),
        head=nn.Linear(hidden, spec.outputs),
    )


def _exits(spec: ModelSpec, first: int, hidden: int) -> Layers:
    return OrderedDict(
        pool1=exit_head(first, spec, GlobalAveragePool()), pool2=exit_head(hidden, spec, GlobalAveragePool())
    )


def _model(name: str, first: int, hidden: int) -> Model:
    layers, exits = (partial(make, first=first, hidden=hidden) for make in (_layers, _exits))
    return Model(name=name, version=1, suits=_suits, layers=layers, exits=exits)


def _suits(kind: str, shape: tuple[int, ...]) -> bool:
    return kind != NEXT_TOKEN and len(shape) == 3 and min(shape[:2]) >= 4


CONV2D = register(_model("conv2d", first=32, hidden=64))
NARROW = register(_model("conv2d-narrow", first=12, hidden=24))
MEDIUM = register(_model("conv2d-medium", first=64, hidden=136))
WIDE = register(_model("conv2d-wide", first=144, hidden=272))
