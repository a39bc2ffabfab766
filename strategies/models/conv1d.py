"""Series [time, channels]: three convolutions of width 5, averaged over time. 32k parameters on six channels.

`conv1d-narrow` has three eighths of the channels, 5k parameters: what pruning has to beat.
From 64 steps on it pools by 4, so that the last convolution sees 85 steps, most of a gesture; by 2 it would see 29.
"""

from collections import OrderedDict
from functools import partial

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import ChannelsFirst, GlobalAveragePool


def _layers(spec: ModelSpec, first: int, hidden: int) -> Layers:
    steps, channels = spec.input_shape
    width = 4 if steps >= 64 else 2
    return OrderedDict(
        first=ChannelsFirst(),
        conv1=nn.Conv1d(channels, first, 5, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool1d(width),
        conv2=nn.Conv1d(first, hidden, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool1d(width),
        conv3=nn.Conv1d(hidden, hidden, 5, padding=2),
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
    return kind != NEXT_TOKEN and len(shape) == 2 and shape[0] >= 4


CONV1D = register(_model("conv1d", first=32, hidden=64))
NARROW = register(_model("conv1d-narrow", first=12, hidden=24))
