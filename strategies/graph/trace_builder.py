"""A net as it grows while a module is traced, and the tensors of the module that stand for its values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.net import (
    Activation,
    Add,
    Affine,
    AveragePool,
    ChannelsFirst,
    ChannelsLast,
    Concat,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Net,
)
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.fold import fold, without_unread
from fedtailor.strategies.graph.shapes import Shape, layer_shapes

BATCH = 3  # rows of the imagined batch; a module that works for any number of rows works for three


class Untraceable(Exception):  # noqa: N818 - the name says the cause
    """This step of the module cannot be written as layers of a net; the message says why, or is empty."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor inside the module: the numbers of one value of the net, in some layout.

    `shape` is what the module sees, `BATCH` rows first. `places`, of that shape, says which number of the value stands
    where, counted through the whole batch; None: the value as it is. `name` is the step that laid it out. `padding`
    (before, after) per spatial axis: zeros around it that only a convolution can take in.
    """

    value: int
    shape: Shape
    places: Tensor | None = None
    name: str = ""
    padding: tuple[tuple[int, int], ...] = ()


class NetBuilder:
    """Layers and wires so far, and the name of the `step` of the module that adds the next ones.

    `norms` names the layers that may be folded into the one before them; `overwritten` are the values whose numbers the
    module has changed in place.
    """

    def __init__(self, input_shape: Shape, *, tokens: bool) -> None:
        self.tokens = tokens
        self.step = ""
        self.shapes = [input_shape]
        self.layers: list[Layer] = []
        self.wires: list[tuple[int, ...]] = []
        self.norms: set[str] = set()
        self.overwritten: set[int] = set()
        self._channels_first = [False]
        self._laid: dict[tuple[int, type], int] = {}

    def add(self, layer: Layer, *values: int) -> Signal:
        """One more layer that reads `values`; its answer.

        Raises:
            PlanError: it does not fit what it reads.
        """
        self.shapes.append(_answered(layer, [self.shapes[value] for value in values], self._tokens(values[0])))
        follows = isinstance(layer, Activation | Affine | Add | Concat) and self._channels_first[values[0]]
        self._channels_first.append(follows or isinstance(layer, ChannelsFirst | Conv | MaxPool | AveragePool))
        self.layers.append(layer)
        self.wires.append(values)
        return self.signal(len(self.layers))

    def signal(self, value: int) -> Signal:
        """A value as it is."""
        return Signal(value, (BATCH, *self.shapes[value]))

    def name(self, part: str = "") -> str:
        """A name for a layer of the present step, or for that part of it."""
        return self._unused(f"{self.step}.{part}" if part else self.step)

    def plain(self, signal: Signal) -> int:
        """The number of a value that holds the tensor as it is; layers that lay it out are added where needed.

        Raises:
            Untraceable: the net has no layers for this layout.
        """
        wanted = self.unpadded(signal).places
        if wanted is None:
            return signal.value
        turned = (_TO_LAST, _TO_FIRST) if self._channels_first[signal.value] else (_TO_FIRST, _TO_LAST)
        for kinds in chain(_STRAIGHT, *turned):
            places = _numbered(self.shapes[signal.value])
            for kind in kinds:
                places = _LAID[kind](places)
            if places.shape == wanted.shape and torch.equal(places, wanted):
                return self.laid_out(signal.value, kinds, signal.name)
        raise Untraceable(f"a net cannot lay out {self.shapes[signal.value]} as {tuple(signal.shape[1:])}")

    def laid_out(self, value: int, kinds: Sequence[type], name: str) -> int:
        """A value after layers of these kinds, which are shared by all who need them."""
        for kind in kinds:
            if (value, kind) not in self._laid:
                self._laid[value, kind] = self.add(kind(self._unused(name)), value).value
            value = self._laid[value, kind]
        return value

    def relaid(self, signal: Signal, places: Tensor) -> Signal:
        """The numbers of `signal`'s value as `places` says; some rows of a linear layer become a layer of their own.

        Raises:
            Untraceable: numbers are left out or repeated in another way.
        """
        if places.numel() != BATCH * prod(self.shapes[signal.value]):
            signal, places = self._narrowed(signal.value, places)
        return replace(signal, shape=tuple(places.shape), places=places.contiguous(), name=self.step)

    def places(self, signal: Signal) -> Tensor:
        """Which number of its value stands where in the tensor."""
        laid = self.unpadded(signal).places
        return _numbered(self.shapes[signal.value]) if laid is None else laid

    def alike(self, a: Signal, b: Signal) -> bool:
        """Whether two tensors of one shape are laid out in the same way, whatever their numbers."""
        same = self.unpadded(a).places is self.unpadded(b).places
        return same or torch.equal(self.places(a), self.places(b))

    def unpadded(self, signal: Any) -> Signal:
        """The signal itself.

        Raises:
            Untraceable: it has zeros around it, or is no signal.
        """
        if not isinstance(signal, Signal):
            raise Untraceable("a tensor that is computed from the input is expected, got a constant")
        if signal.padding:
            raise Untraceable("padding can only stand before a convolution")
        return signal

    def dtype(self, signal: Signal) -> torch.dtype:
        """What the module sees: int64 for tokens, else float32."""
        return torch.int64 if self._tokens(signal.value) else torch.float32

    def finished(self, answer: Signal) -> Net:
        """The net that gives `answer`: norms folded, layers that nothing reads left out."""
        last = self.plain(answer)
        if last == 0:
            raise Untraceable("the model answers its input")
        net = Net(self.shapes[0], self.tokens, tuple(self.layers[:last]), tuple(self.wires[:last]))
        return fold(without_unread(net), self.norms)

    def _unused(self, wanted: str) -> str:
        taken = {layer.name for layer in self.layers}
        tries = (wanted if at == 1 else f"{wanted}_{at}" for at in range(1, len(taken) + 2))
        return next(name for name in tries if name not in taken)

    def _tokens(self, value: int) -> bool:
        return self.tokens and value == 0

    def _narrowed(self, value: int, places: Tensor) -> tuple[Signal, Tensor]:
        """Some rows of a linear layer, as in `q, k, v = layer(x).chunk(3, -1)`: a linear layer with those rows."""
        layer = self.layers[value - 1] if value else None
        if not isinstance(layer, Linear):
            raise Untraceable("a part of a tensor is taken, which only works right after a linear layer")
        width = len(layer.bias)
        rows = torch.unique(places % width)
        count = places.numel()
        if count != BATCH * prod(self.shapes[value]) // width * len(rows) or len(torch.unique(places)) != count:
            raise Untraceable("a part of a tensor is taken that is not whole rows of a linear layer")
        kept = rows.numpy()
        part = Linear(self._unused(f"{layer.name}.{kept[0]}"), layer.weight[kept], layer.bias[kept])
        now = torch.div(places, width, rounding_mode="floor") * len(rows) + torch.searchsorted(rows, places % width)
        return self.add(part, *self.wires[value - 1]), now


def floats(tensor: Tensor | Signal) -> Floats:
    """A float32 copy.

    Raises:
        Untraceable: the module computes it from its input.
    """
    if isinstance(tensor, Signal):
        raise Untraceable("its weights are computed from the input")
    return tensor.detach().cpu().numpy().astype(np.float32, copy=True)


def _numbered(shape: Shape) -> Tensor:
    return torch.arange(BATCH * prod(shape)).view(BATCH, *shape)


_LAID: dict[Any, Any] = {
    ChannelsFirst: lambda places: places.movedim(-1, 1),
    ChannelsLast: lambda places: places.movedim(1, -1),
    Flatten: lambda places: places.flatten(1),
}
_STRAIGHT: tuple[tuple[type, ...], ...] = ((), (Flatten,))
_TO_FIRST = ((ChannelsFirst,), (ChannelsFirst, Flatten))  # with two axes it moves what `_TO_LAST` does
_TO_LAST = ((ChannelsLast,), (ChannelsLast, Flatten))


def _answered(layer: Layer, shapes: list[Shape], tokens: bool) -> Shape:
    """The shape after one layer, by the rules of `shapes.py` for a net of it alone."""
    if isinstance(layer, Concat):
        return _concatenated(layer, shapes)
    if len(set(shapes)) > 1:
        raise Untraceable(f"it reads values of different shapes, {' and '.join(map(str, shapes))}")
    return layer_shapes(Net(shapes[0], tokens, (layer,), ((0,) * len(shapes),)))[-1]


def _concatenated(layer: Concat, shapes: list[Shape]) -> Shape:
    axis, first = layer.axis, shapes[0]
    around = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(around) > 1 or axis not in {0, len(first) - 1}:
        raise Untraceable(f"a net concatenates along the first or last axis, got axis {axis} of {shapes}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])
