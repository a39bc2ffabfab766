"""Tables: a perceptron with two hidden layers."""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register


def _layers(spec: ModelSpec) -> Layers:
    (features,) = spec.input_shape
    return OrderedDict(
        fc1=nn.Linear(features, 64),
        relu1=nn.ReLU(),
        fc2=nn.Linear(64, 64),
        relu2=nn.ReLU(),
        head=nn.Linear(64, spec.outputs),
    )


MLP = register(
    Model(
        name="mlp",
        version=1,
        suits=lambda kind, shape: kind != NEXT_TOKEN and len(shape) == 1,
        layers=_layers,
        exits=lambda spec: OrderedDict(relu1=exit_head(64, spec)),
    )
)
