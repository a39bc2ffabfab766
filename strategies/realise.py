"""A `Net`, possibly pruned, as a trainable torch module with the same layer names; and its numbers back."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import (
    Affine,
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.protos.schema import Floats
from fedtailor.strategies.models import modules
from fedtailor.strategies.trace import trace_layers


def realise(net: Net) -> nn.Sequential:
    """The module that computes `net`; it owns copies of the numbers, and no random number is drawn.

    Raises:
        PlanError: a convolution's padding is neither even on both sides nor causal.
    """
    return nn.Sequential(OrderedDict((layer.name, _BUILDERS[type(layer)](layer)) for layer in net.layers))


def trace_back(module: nn.Sequential, net: Net) -> Net:
    """`net` with the numbers that its realised module holds now."""
    return Net(net.input_shape, net.tokens, trace_layers(module))


def _fill(parameter: Tensor, values: Floats) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))


def _conv(layer: Conv) -> nn.Conv1d | nn.Conv2d:
    outputs, inputs, *kernel = layer.weight.shape
    kind, padding = _kind_and_padding(layer, tuple(kernel))
    module = skip_init(
        kind,
        inputs * layer.groups,
        outputs,
        tuple(kernel),
        stride=layer.stride,
        padding=padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    _fill(module.weight, layer.weight)
    _fill(module.bias, layer.bias)
    return module  # type: ignore[no-any-return]


def _kind_and_padding(layer: Conv, kernel: tuple[int, ...]) -> tuple[type[nn.Module], tuple[int, ...]]:
    if all(before == after for before, after in layer.padding):
        return (nn.Conv1d if len(kernel) == 1 else nn.Conv2d), tuple(before for before, _ in layer.padding)
    if layer.padding == (((kernel[0] - 1) * layer.dilation[0], 0),):
        return modules.CausalConv1d, (0,)
    raise PlanError(f"layer {layer.name!r}: padding must be even on both sides or causal, got {layer.padding}")


def _linear(layer: Linear) -> nn.Linear:
    module = skip_init(nn.Linear, layer.weight.shape[1], layer.weight.shape[0])
    _fill(module.weight, layer.weight)
    _fill(module.bias, layer.bias)
    return module  # type: ignore[no-any-return]


def _embedding(layer: Embedding) -> nn.Embedding:
    module = skip_init(nn.Embedding, *layer.table.shape)
    _fill(module.weight, layer.table)
    return module  # type: ignore[no-any-return]


def _max_pool(layer: MaxPool) -> nn.Module:
    if len(layer.kernel) == 1:
        return nn.MaxPool1d(layer.kernel[0], layer.stride[0])
    return nn.MaxPool2d(layer.kernel, layer.stride)


def _affine(layer: Affine) -> nn.Module:
    module = modules.Rescale(1.0, 0.0)
    module.register_buffer("scale", torch.tensor(layer.scale), persistent=False)
    module.register_buffer("shift", torch.tensor(layer.shift), persistent=False)
    return module


_BUILDERS: dict[type, Callable[[Any], nn.Module]] = {
    Affine: _affine,
    ChannelsFirst: lambda _: modules.ChannelsFirst(),
    ChannelsLast: lambda _: modules.ChannelsLast(),
    Conv: _conv,
    Linear: _linear,
    Relu: lambda _: nn.ReLU(),
    MaxPool: _max_pool,
    GlobalAveragePool: lambda _: modules.GlobalAveragePool(),
    Flatten: lambda _: nn.Flatten(),
    Embedding: _embedding,
}
