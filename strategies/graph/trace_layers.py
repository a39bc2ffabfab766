"""Layers with numbers, and pools, as torch.nn.functional calls them: the net, then torch's own arguments."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from fedtailor.protos.net import Affine, AveragePool, Conv, Embedding, GlobalAveragePool, LayerNorm, Linear, MaxPool
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.trace_builder import NetBuilder, Signal, Untraceable, floats

Sizes = int | Sequence[int]
Pads = tuple[tuple[int, int], ...]


def require(holds: bool, wanted: str) -> None:
    """Say what a step would have to be.

    Raises:
        Untraceable: it is not.
    """
    if not holds:
        raise Untraceable(wanted)


def linear(net: NetBuilder, x: Signal, weight: Tensor, bias: Tensor | None = None, *, part: str = "") -> Signal:
    """x · weightᵀ + bias along the last axis."""
    rows = floats(weight)
    return net.add(Linear(net.name(part), rows, _bias(bias, len(rows))), net.plain(x))


def conv(
    net: NetBuilder,
    x: Signal,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Signal:
    """A convolution over one or two axes, with the zeros that wait around `x`."""
    filters = floats(weight)
    rank = filters.ndim - 2
    spacing = _sizes(dilation, rank)
    waiting = x.padding or ((0, 0),) * rank
    around = _around(padding, filters.shape[2:], spacing)
    layer = Conv(
        net.name(),
        filters,
        _bias(bias, len(filters)),
        stride=_sizes(stride, rank),
        padding=tuple((a + c, b + d) for (a, b), (c, d) in zip(waiting, around, strict=True)),
        dilation=spacing,
        groups=groups,
    )
    return net.add(layer, net.plain(replace(x, padding=())))


def pad(_: NetBuilder, x: Signal, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Signal:
    """Zeros around the spatial axes of [N, C, *spatial]; they wait for the convolution that reads them."""
    rank = len(x.shape) - 2
    pairs = tuple(reversed([(int(pad[at]), int(pad[at + 1])) for at in range(0, len(pad), 2)]))
    fits = mode == "constant" and not value and len(pairs) <= rank and min(map(min, pairs)) >= 0
    require(fits, "padding must be zeros around the spatial axes")
    pairs = ((0, 0),) * (rank - len(pairs)) + pairs
    waiting = x.padding or ((0, 0),) * rank
    shape = (*x.shape[:2], *(size + sum(pair) for size, pair in zip(x.shape[2:], pairs, strict=True)))
    padding = tuple((a + c, b + d) for (a, b), (c, d) in zip(waiting, pairs, strict=True))
    return replace(x, shape=shape, padding=padding if any(map(any, padding)) else ())


def embedding(
    net: NetBuilder,
    x: Signal,
    weight: Tensor,
    *,
    max_norm: float | None = None,
    **_: Any,
) -> Signal:
    """Rows of a table by token."""
    require(max_norm is None, "an embedding must have no max_norm")
    return net.add(Embedding(net.name(), floats(weight)), net.plain(x))


def batch_norm(
    net: NetBuilder,
    x: Signal,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    eps: float = 1e-5,
    **_: Any,
) -> Signal:
    """A factor and a shift for every channel, from fixed statistics; may be folded into the layer before it."""
    if running_mean is None or running_var is None or training:
        raise Untraceable("its statistics must be fixed")
    scale = floats(running_var + eps) ** -0.5 * (1 if weight is None else floats(weight))
    scaled = scale_channels(net, x, scale, _bias(bias, len(scale)) - floats(running_mean) * scale)
    net.norms.add(net.layers[-1].name)
    return scaled


def scale_channels(net: NetBuilder, x: Signal, scale: Floats, shift: Floats) -> Signal:
    """x · scale + shift along the first axis of a sample: [C], or [C, *spatial] as a depthwise convolution."""
    value = net.plain(x)
    rank = len(net.shapes[value]) - 1
    if rank == 0:
        return net.add(Affine(net.name(), scale, shift), value)
    weight = scale.reshape(-1, 1, *[1] * rank)
    ones, none = (1,) * rank, ((0, 0),) * rank
    return net.add(Conv(net.name(), weight, shift, ones, none, ones, len(scale)), value)


def layer_norm(
    net: NetBuilder,
    x: Signal,
    normalized_shape: Sequence[int],
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Signal:
    """Along the last axis alone."""
    require(len(normalized_shape) == 1, f"it must normalise the last axis alone, got {tuple(normalized_shape)}")
    width = normalized_shape[0]
    scale = np.ones(width, np.float32) if weight is None else floats(weight)
    return net.add(LayerNorm(net.name(), scale, _bias(bias, width), eps), net.plain(x))


def max_pool(
    net: NetBuilder,
    x: Signal,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    *,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Signal:
    """The largest value of each window."""
    rank = len(x.shape) - 2
    kernel = _sizes(kernel_size, rank)
    steps, around = _sizes(stride or kernel, rank), _sizes(padding, rank)
    require(set(_sizes(dilation, rank)) == {1} and not return_indices, "a pool must have no dilation or indices")
    require(not ceil_mode or _whole(x, kernel, steps, around), "ceil_mode must not make another window")
    pads = tuple((side, side) for side in around) if any(around) else ()
    return net.add(MaxPool(net.name(), kernel, steps, pads), net.plain(x))


def average_pool(
    net: NetBuilder,
    x: Signal,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    *,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
    **_: Any,
) -> Signal:
    """The mean of each window."""
    rank = len(x.shape) - 2
    kernel = _sizes(kernel_size, rank)
    steps, around = _sizes(stride or kernel, rank), _sizes(padding, rank)
    require(not any(around) and divisor_override is None, "an average pool must have no padding or divisor")
    require(not ceil_mode or _whole(x, kernel, steps, around), "ceil_mode must not make another window")
    return net.add(AveragePool(net.name(), kernel, steps), net.plain(x))


def adaptive_average_pool(net: NetBuilder, x: Signal, output_size: Any) -> Signal:
    """To a size that divides the input's; to one value per channel it is a global average."""
    windows = _windows(x, output_size)
    if all(width == size for width, size in zip(windows, x.shape[2:], strict=True)):
        return global_average_pool(net, x)
    return average_pool(net, x, windows)


def adaptive_max_pool(net: NetBuilder, x: Signal, output_size: Any, return_indices: bool = False) -> Signal:
    """To a size that divides the input's."""
    return max_pool(net, x, _windows(x, output_size), return_indices=return_indices)


def global_average_pool(net: NetBuilder, x: Signal) -> Signal:
    """[N, C, *spatial] to [N, C, 1, …]."""
    pooled = net.add(GlobalAveragePool(net.name()), net.plain(x))
    places = net.places(pooled)
    return net.relaid(pooled, places.reshape(*places.shape, *[1] * (len(x.shape) - 2)))


def _windows(x: Signal, output_size: Any) -> tuple[int, ...]:
    spatial = x.shape[2:]
    wanted = _sizes(output_size, len(spatial)) if output_size is not None else spatial
    wanted = tuple(size if want is None else want for want, size in zip(wanted, spatial, strict=True))
    divides = all(size % want == 0 for want, size in zip(wanted, spatial, strict=True))
    require(divides, f"output size {wanted} must divide {spatial}")
    return tuple(size // want for want, size in zip(wanted, spatial, strict=True))


def _whole(x: Signal, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> bool:
    """No incomplete window is left at the end of an axis."""
    axes = zip(x.shape[2:], kernel, stride, padding, strict=True)
    return all((size + 2 * side - width) % step == 0 for size, width, step, side in axes)


def _sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    many = (value,) if isinstance(value, int) else tuple(value)
    return many * rank if len(many) == 1 else many


def _around(padding: Sizes | str, kernel: Sequence[int], dilation: Sequence[int]) -> Pads:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        reach = [(width - 1) * step for width, step in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in reach)
    require(not isinstance(padding, str), f"padding {padding!r} is not known")
    return tuple((side, side) for side in _sizes(padding, len(kernel)))  # type: ignore[arg-type]


def _bias(bias: Tensor | None, width: int) -> Floats:
    return np.zeros(width, np.float32) if bias is None else floats(bias)
