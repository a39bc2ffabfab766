"""Tokens [T]: an embedding, four causal convolutions that see 46 symbols back, a symbol's logits at every position."""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import CausalConv1d, ChannelsFirst, ChannelsLast


def _layers(spec: ModelSpec) -> Layers:
    return OrderedDict(
        embed=nn.Embedding(spec.outputs, 32),
        first=ChannelsFirst(),
        conv1=CausalConv1d(32, 64, 4),
        relu1=nn.ReLU(),
        conv2=CausalConv1d(64, 64, 4, dilation=2),
        relu2=nn.ReLU(),
        conv3=CausalConv1d(64, 64, 4, dilation=4),
        relu3=nn.ReLU(),
        conv4=CausalConv1d(64, 64, 4, dilation=8),
        relu4=nn.ReLU(),
        last=ChannelsLast(),
        head=nn.Linear(64, spec.outputs),
    )


def _exits(spec: ModelSpec) -> Layers:
    return OrderedDict((name, exit_head(64, spec, ChannelsLast())) for name in ("relu1", "relu2", "relu3"))


CAUSAL_CONV = register(
    Model(
        name="causal-conv",
        version=1,
        suits=lambda kind, shape: kind == NEXT_TOKEN and len(shape) == 1,
        layers=_layers,
        exits=_exits,
    )
)
