"""Steps that only lay numbers out anew, followed by doing the same to the places of the numbers; and means.

Whatever torch does to a tensor's axes, it does to a tensor of places. What a net can express of the result is decided
where a layer reads it (`NetBuilder.plain`).
"""

from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor

from fedtailor.protos.net import ChannelsFirst, GlobalAveragePool
from fedtailor.strategies.graph.trace_builder import BATCH, NetBuilder, Signal, Untraceable

Layout = Callable[..., Any]


def lay_out(function: Layout) -> Callable[..., Any]:
    """The step that does `function` (of a tensor, and more) to the places of a signal."""

    def step(net: NetBuilder, x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, tuple):
            return function(x, *args, **kwargs)
        places = function(net.places(x), *args, **kwargs)
        if isinstance(places, Tensor):
            return net.relaid(x, places)
        return tuple(net.relaid(x, part) for part in places)

    return step


def mean(net: NetBuilder, x: Signal, dim: Any = None, keepdim: bool = False, **_: Any) -> Signal:
    """Over all axes of [N, C, *spatial] or [N, *spatial, C] but the channels."""
    rank = len(x.shape)
    given = range(1, rank) if dim is None else (dim,) if isinstance(dim, int) else dim
    reduced = {axis % rank for axis in given}
    left = [axis for axis in range(1, rank) if axis not in reduced]
    if 0 in reduced or len(left) != 1:
        raise Untraceable("a mean must leave the channels alone")
    places = net.places(x).movedim(left[0], 1).flatten(2)
    value = _channels_first(net, x, places)
    pooled = net.add(GlobalAveragePool(net.name()), value)
    sizes = [1 if axis in reduced else size for axis, size in enumerate(x.shape)]
    return net.relaid(pooled, net.places(pooled).reshape(sizes)) if keepdim else pooled


def _channels_first(net: NetBuilder, x: Signal, places: Tensor) -> int:
    """The value whose channels are the rows of `places` [N, C, all else], in whatever order all else stands there."""
    channels, others = places.shape[1:]
    row = torch.arange(BATCH * channels).view(BATCH, channels, 1)
    shape = net.shapes[x.value]
    straight = torch.div(places, others, rounding_mode="floor")
    if shape[0] == channels and torch.equal(straight, row.expand_as(places)):
        return x.value
    sample = torch.div(places, channels * others, rounding_mode="floor")
    if shape[-1] == channels and torch.equal(sample * channels + places % channels, row.expand_as(places)):
        return net.laid_out(x.value, (ChannelsFirst,), net.name("first"))
    raise Untraceable("a mean must leave the channels alone")


LAYOUTS: dict[str, Layout] = {
    name: lay_out(getattr(torch.Tensor, name))
    for name in (
        *("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "flatten", "unflatten"),
        *("squeeze", "unsqueeze", "reshape", "chunk", "split", "unbind", "tensor_split", "narrow", "select"),
    )
} | {
    "view": lay_out(torch.Tensor.reshape),  # places may lie otherwise in memory than the tensor they are of
    "getitem": lay_out(getitem),
}
