"""Modules that are read as a whole: torch's own, by their numbers and options, and those of `models/modules.py`.

One row per kind: it takes the net, the module and what it is called with, and answers a `Signal`.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from fedtailor.protos.net import Affine, Function
from fedtailor.strategies.graph import trace_layers as layers
from fedtailor.strategies.graph.trace_attention import multihead_attention
from fedtailor.strategies.graph.trace_builder import NetBuilder, Signal, floats
from fedtailor.strategies.graph.trace_functions import activation, clamp
from fedtailor.strategies.graph.trace_layers import require
from fedtailor.strategies.graph.trace_layouts import LAYOUTS
from fedtailor.strategies.models import modules

Handler = Callable[..., Any]


def module_handler(module: nn.Module) -> Handler | None:
    """How to write a module as layers, by its kind or the nearest kind it is derived from; None: not as a whole.

    A class of a user's own that is derived from one of torch's may compute something else: it is entered.
    """
    own = type(module) not in MODULES and not module.__module__.startswith("torch.")
    return None if own else next((MODULES[kind] for kind in type(module).__mro__ if kind in MODULES), None)


def is_entered(module: nn.Module) -> bool:
    """Whether a module of torch's own is made of other modules by a forward that can be traced."""
    return isinstance(module, nn.Sequential) or type(module).__module__ == "torch.nn.modules.transformer"


def _with(function: Handler, *options: str) -> Handler:
    """The step that calls `function` with these attributes of the module, where it has them."""

    def step(net: NetBuilder, layer: nn.Module, x: Signal) -> Any:
        return function(net, x, **{option: getattr(layer, option) for option in options if hasattr(layer, option)})

    return step


def _conv(net: NetBuilder, layer: nn.Conv1d | nn.Conv2d, x: Signal) -> Any:
    require(layer.padding_mode == "zeros", f"padding_mode must be 'zeros', got {layer.padding_mode!r}")
    return _with(layers.conv, "weight", "bias", "stride", "padding", "dilation", "groups")(net, layer, x)


def _causal_conv(net: NetBuilder, layer: modules.CausalConv1d, x: Signal) -> Any:
    left = (layer.kernel_size[0] - 1) * layer.dilation[0]
    return _conv(net, layer, layers.pad(net, x, (left, 0)))


def _zeros(net: NetBuilder, layer: nn.ConstantPad1d | nn.ConstantPad2d, x: Signal) -> Signal:
    return layers.pad(net, x, layer.padding, value=layer.value)


def _affine(net: NetBuilder, layer: modules.Standardise | modules.Rescale, x: Signal) -> Signal:
    return net.add(Affine(net.name(), floats(layer.scale), floats(layer.shift)), net.plain(x))


def _active(function: Function) -> Handler:
    return lambda net, _, x: activation(function)(net, x)


def _nothing(_: NetBuilder, __: nn.Module, x: Signal) -> Signal:
    return x


_BATCH_NORM = _with(layers.batch_norm, "running_mean", "running_var", "weight", "bias", "eps")
_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
_MAX_POOL = _with(layers.max_pool, *_WINDOW, "dilation", "return_indices")
_AVERAGE_POOL = _with(layers.average_pool, *_WINDOW, "divisor_override")

MODULES: dict[type[nn.Module], Handler] = {
    nn.Linear: _with(layers.linear, "weight", "bias"),
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    modules.CausalConv1d: _causal_conv,
    nn.BatchNorm1d: _BATCH_NORM,
    nn.BatchNorm2d: _BATCH_NORM,
    nn.LayerNorm: _with(layers.layer_norm, "normalized_shape", "weight", "bias", "eps"),
    nn.Embedding: _with(layers.embedding, "weight", "max_norm"),
    nn.MultiheadAttention: multihead_attention,
    nn.ReLU: _active("relu"),
    nn.ReLU6: _active("relu6"),
    nn.Hardtanh: lambda net, layer, x: clamp(net, x, layer.min_val, layer.max_val),
    nn.Hardswish: _active("hardswish"),
    nn.GELU: _with(activation("gelu"), "approximate"),
    nn.SiLU: _active("silu"),
    nn.Sigmoid: _active("sigmoid"),
    nn.Tanh: _active("tanh"),
    nn.MaxPool1d: _MAX_POOL,
    nn.MaxPool2d: _MAX_POOL,
    nn.AvgPool1d: _AVERAGE_POOL,
    nn.AvgPool2d: _AVERAGE_POOL,
    nn.AdaptiveAvgPool1d: _with(layers.adaptive_average_pool, "output_size"),
    nn.AdaptiveAvgPool2d: _with(layers.adaptive_average_pool, "output_size"),
    nn.AdaptiveMaxPool1d: _with(layers.adaptive_max_pool, "output_size", "return_indices"),
    nn.AdaptiveMaxPool2d: _with(layers.adaptive_max_pool, "output_size", "return_indices"),
    nn.ConstantPad1d: _zeros,
    nn.ConstantPad2d: _zeros,
    nn.Flatten: _with(LAYOUTS["flatten"], "start_dim", "end_dim"),
    nn.Unflatten: _with(LAYOUTS["unflatten"], "dim", "unflattened_size"),
    modules.Standardise: _affine,
    modules.Rescale: _affine,
    modules.ChannelsFirst: lambda net, _, x: LAYOUTS["movedim"](net, x, -1, 1),
    modules.ChannelsLast: lambda net, _, x: LAYOUTS["movedim"](net, x, 1, -1),
    modules.GlobalAveragePool: lambda net, _, x: LAYOUTS["flatten"](net, layers.global_average_pool(net, x), 1),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout), _nothing),
}
