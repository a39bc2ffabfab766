"""Functions and methods of tensors as layers: one row per name, whoever calls it so (torch, torch.nn.functional, a
tensor, an operator). Each takes the net and the call's own arguments, and answers a `Signal`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.net import Activation, Add, Affine, Concat, Function, Positions
from fedtailor.strategies.graph import trace_layers as layers
from fedtailor.strategies.graph.trace_attention import fused_attention
from fedtailor.strategies.graph.trace_builder import NetBuilder, Signal, Untraceable, floats
from fedtailor.strategies.graph.trace_layers import require, scale_channels
from fedtailor.strategies.graph.trace_layouts import LAYOUTS, mean

Constant = Tensor | float


def activation(function: Function) -> Callable[..., Signal]:
    """The step that applies `function` to every value, in whatever layout they are."""

    def step(net: NetBuilder, x: Signal, *, approximate: str = "none", **_: Any) -> Signal:
        require(approximate == "none", "GELU must be the exact one, not approximate='tanh'")
        return _elementwise(net, Activation(net.name(), function), x)

    return step


def clamp(net: NetBuilder, x: Signal, min: Any = None, max: Any = None, **_: Any) -> Signal:  # noqa: A002
    """From 0 up is a ReLU, from 0 to 6 a ReLU6."""
    require(min == 0 and max in {None, 6}, f"limits must be 0 and 6, or 0 alone, got {min} and {max}")
    return _elementwise(net, Activation(net.name(), "relu" if max is None else "relu6"), x)


def add(net: NetBuilder, a: Any, b: Any, *, alpha: float = 1) -> Signal:
    """Two tensors of one shape, or a tensor and a constant."""
    require(alpha == 1, f"alpha must be 1, got {alpha}")
    if not (isinstance(a, Signal) and isinstance(b, Signal)):
        return shifted(net, a, 1.0, b) if isinstance(a, Signal) else shifted(net, b, 1.0, a)
    require(a.shape == b.shape, f"a net adds tensors of one shape, got {a.shape[1:]} and {b.shape[1:]}")
    if net.alike(a, b):  # so is the sum
        return replace(a, value=net.add(Add(net.name()), a.value, b.value).value)
    read = net.plain(a), net.plain(b)
    return net.add(Add(net.name()), *read)


def subtract(net: NetBuilder, a: Any, b: Any) -> Signal:
    """A tensor and a constant, either way round."""
    _require_constant(a, b, "subtract a tensor from a tensor")
    return shifted(net, a, 1.0, -b) if isinstance(a, Signal) else shifted(net, b, -1.0, a)


def multiply(net: NetBuilder, a: Any, b: Any) -> Signal:
    """A tensor and a constant."""
    _require_constant(a, b, "multiply a tensor by a tensor")
    return shifted(net, a, b, 0.0) if isinstance(a, Signal) else shifted(net, b, a, 0.0)


def divide(net: NetBuilder, a: Any, b: Any) -> Signal:
    """A tensor by a constant."""
    require(isinstance(a, Signal) and not isinstance(b, Signal), "a net can only divide a tensor by a constant")
    return shifted(net, a, 1.0 / b, 0.0)


def _require_constant(a: Any, b: Any, wanted: str) -> None:
    require(not (isinstance(a, Signal) and isinstance(b, Signal)), f"a net cannot {wanted}")


def shifted(net: NetBuilder, x: Signal, scale: Constant, shift: Constant) -> Signal:
    """x · scale + shift with constants: for all numbers, for each along the last or first axis, or a table to add."""
    rank = len(x.shape) - 1
    factors, terms = (_aligned(value, rank) for value in (scale, shift))
    axes = {axis for constant in (factors, terms) for axis, size in enumerate(constant.shape) if size > 1}
    fits = all(size in {1, x.shape[axis + 1]} for c in (factors, terms) for axis, size in enumerate(c.shape))
    require(fits, f"a constant of shape {tuple(terms.shape)} does not fit {tuple(x.shape[1:])}")
    if not axes:
        return _elementwise(net, Affine(net.name(), factors.ravel(), terms.ravel()), x)
    if axes == {rank - 1}:
        return net.add(Affine(net.name(), factors.ravel(), terms.ravel()), net.plain(x))
    if axes == {0}:
        wide = np.broadcast_to(factors.ravel(), x.shape[1:2]), np.broadcast_to(terms.ravel(), x.shape[1:2])
        return scale_channels(net, x, wide[0].copy(), wide[1].copy())
    require(rank == 2 and (factors == 1).all() and factors.size == 1, "a table can only be added to [T, C]")
    table = np.broadcast_to(terms, x.shape[1:]).copy()
    return net.add(Positions(net.name(), table), net.plain(x))


def concatenate(net: NetBuilder, tensors: Sequence[Signal], dim: int = 0, axis: int | None = None) -> Signal:
    """Side by side along an axis of the sample."""
    at = (dim if axis is None else axis) % len(tensors[0].shape)
    require(at > 0, "samples cannot be put behind samples")
    return net.add(Concat(net.name(), at - 1), *(net.plain(each) for each in tensors))


def unchanged(net: NetBuilder, x: Signal, *args: Any, **kwargs: Any) -> Signal:
    """What leaves the numbers as they are; another device or kind of number would not."""
    asked = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.dtype)]
    require(all(each == net.dtype(x) for each in asked), f"it must stay {net.dtype(x)}")
    return x


def cast(dtype: torch.dtype) -> Callable[..., Signal]:
    """The step that makes numbers of this kind of what already is of it."""
    return lambda net, x: unchanged(net, x, dtype)


def dropout(_: NetBuilder, x: Signal, p: float = 0.5, training: bool = False, **__: Any) -> Signal:
    """Nothing, in eval mode."""
    require(not training or p == 0, "dropout must be off in eval mode: pass training=self.training")
    return x


def _elementwise(net: NetBuilder, layer: Activation | Affine, x: Signal) -> Signal:
    return replace(x, value=net.add(layer, net.unpadded(x).value).value)


def _aligned(constant: Constant, rank: int) -> Any:
    """A constant as float32 with an axis for each of a sample's, those along which it does not change being 1."""
    values = floats(torch.as_tensor(constant))
    whole = values.reshape((1,) * (rank + 1 - values.ndim) + values.shape)
    require(whole.ndim == rank + 1 and len(whole) == 1, f"a constant of shape {values.shape} does not fit a sample")
    return whole[0]


def _property(net: NetBuilder, x: Signal, wanted: str) -> Signal:
    if wanted != "mT":
        raise Untraceable(f".{wanted} of a tensor")
    return LAYOUTS["transpose"](net, x, -1, -2)  # type: ignore[no-any-return]


FUNCTIONS: dict[str, Callable[..., Any]] = LAYOUTS | {
    **{name: activation(name) for name in ("relu", "relu6", "hardswish", "gelu", "silu", "sigmoid", "tanh")},
    **dict.fromkeys(("clamp", "clamp_min"), clamp),
    "hardtanh": lambda net, x, min_val, max_val, **_: clamp(net, x, min_val, max_val),
    **dict.fromkeys(("add", "iadd", "radd"), add),
    **dict.fromkeys(("sub", "subtract"), subtract),
    **dict.fromkeys(("mul", "multiply"), multiply),
    **dict.fromkeys(("div", "divide", "truediv"), divide),
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenate),
    **dict.fromkeys(("contiguous", "clone", "detach", "cpu", "to"), unchanged),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"), dropout),
    "float": cast(torch.float32),
    "long": cast(torch.int64),
    "mean": mean,
    "getattr": _property,
    "neg": lambda net, x: shifted(net, x, -1.0, 0.0),
    "linear": layers.linear,
    "conv1d": layers.conv,
    "conv2d": layers.conv,
    "pad": layers.pad,
    "embedding": layers.embedding,
    "batch_norm": layers.batch_norm,
    "layer_norm": layers.layer_norm,
    "max_pool1d": layers.max_pool,
    "max_pool2d": layers.max_pool,
    "avg_pool1d": layers.average_pool,
    "avg_pool2d": layers.average_pool,
    "adaptive_avg_pool1d": layers.adaptive_average_pool,
    "adaptive_avg_pool2d": layers.adaptive_average_pool,
    "adaptive_max_pool1d": layers.adaptive_max_pool,
    "adaptive_max_pool2d": layers.adaptive_max_pool,
    "scaled_dot_product_attention": fused_attention,
}
