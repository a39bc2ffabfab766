"""A torch module of the built-in kinds, read as a `Net`: one row per kind of layer.

To teach it a layer: one function, one row in `_TRACERS`; `realise.py`, `shapes.py` and the exporter need theirs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.protos.net import (
    Affine,
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.protos.schema import Floats
from fedtailor.strategies.models import modules
from fedtailor.strategies.shapes import layer_shapes


def trace(module: nn.Sequential, spec: ModelSpec) -> Net:
    """The module as a chain of layers with copies of its numbers.

    Raises:
        PlanError: a layer is of a kind, or uses an option, that the chain cannot express; or the layers do not fit.
    """
    net = Net(tuple(spec.input_shape), spec.kind == NEXT_TOKEN, trace_layers(module))
    layer_shapes(net)
    return net


def trace_layers(module: nn.Sequential) -> tuple[Layer, ...]:
    """The layers alone, without a check against an input shape.

    Raises:
        PlanError: a layer cannot be expressed.
    """
    return tuple(_trace_layer(name, child) for name, child in module.named_children())


def _trace_layer(name: str, module: nn.Module) -> Layer:
    tracer = _TRACERS.get(type(module))
    if tracer is None:
        known = ", ".join(sorted(kind.__name__ for kind in _TRACERS))
        raise PlanError(
            f"layer {name!r} is a {type(module).__name__}, which cannot be tailored; known: {known}. Export it as it is"
        )
    return tracer(name, module)


def _require(holds: bool, name: str, wanted: str) -> None:
    if not holds:
        raise PlanError(f"layer {name!r} cannot be tailored: {wanted}")


def _floats(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().numpy().astype(np.float32, copy=True)


def _bias(layer: nn.Conv1d | nn.Conv2d | nn.Linear) -> Floats:
    return np.zeros(len(layer.weight), np.float32) if layer.bias is None else _floats(layer.bias)


def _conv(name: str, layer: nn.Conv1d | nn.Conv2d) -> Conv:
    _require(layer.padding_mode == "zeros", name, f"padding_mode must be 'zeros', got {layer.padding_mode!r}")
    _require(not isinstance(layer.padding, str), name, f"padding must be numbers, got {layer.padding!r}")
    return Conv(
        name=name,
        weight=_floats(layer.weight),
        bias=_bias(layer),
        stride=tuple(layer.stride),
        padding=tuple((int(size), int(size)) for size in layer.padding),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
    )


def _causal_conv(name: str, layer: modules.CausalConv1d) -> Conv:
    _require(layer.padding == (0,), name, f"a causal convolution pads by itself, got padding {layer.padding}")
    left = (layer.kernel_size[0] - 1) * layer.dilation[0]
    return Conv(
        name=name,
        weight=_floats(layer.weight),
        bias=_bias(layer),
        stride=tuple(layer.stride),
        padding=((left, 0),),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
    )


def _max_pool(name: str, layer: nn.MaxPool1d | nn.MaxPool2d) -> MaxPool:
    rank = 1 if isinstance(layer, nn.MaxPool1d) else 2
    plain = not layer.ceil_mode and not layer.return_indices
    plain = plain and _sizes(layer.padding, rank) == (0,) * rank and _sizes(layer.dilation, rank) == (1,) * rank
    _require(plain, name, "a pool must have no padding, dilation, ceil_mode or indices")
    return MaxPool(name, _sizes(layer.kernel_size, rank), _sizes(layer.stride, rank))


def _sizes(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _flatten(name: str, layer: nn.Flatten) -> Flatten:
    _require((layer.start_dim, layer.end_dim) == (1, -1), name, "Flatten must keep the batch axis and nothing else")
    return Flatten(name)


def _embedding(name: str, layer: nn.Embedding) -> Embedding:
    _require(layer.max_norm is None, name, "an embedding must have no max_norm")
    return Embedding(name, _floats(layer.weight))


def _affine(name: str, layer: modules.Standardise | modules.Rescale) -> Affine:
    return Affine(name, _floats(layer.get_buffer("scale")), _floats(layer.get_buffer("shift")))


_TRACERS: dict[type[nn.Module], Callable[[str, Any], Layer]] = {
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    modules.CausalConv1d: _causal_conv,
    nn.Linear: lambda name, layer: Linear(name, _floats(layer.weight), _bias(layer)),
    nn.ReLU: lambda name, _: Relu(name),
    nn.MaxPool1d: _max_pool,
    nn.MaxPool2d: _max_pool,
    nn.Flatten: _flatten,
    nn.Embedding: _embedding,
    modules.Standardise: _affine,
    modules.Rescale: _affine,
    modules.ChannelsFirst: lambda name, _: ChannelsFirst(name),
    modules.ChannelsLast: lambda name, _: ChannelsLast(name),
    modules.GlobalAveragePool: lambda name, _: GlobalAveragePool(name),
}
