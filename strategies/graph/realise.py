"""A `Net`, possibly pruned, as a trainable torch module; and its numbers back."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fedtailor.protos.net import Affine, Conv, Embedding, Layer, LayerNorm, Linear, Net, Positions, Wires
from fedtailor.strategies.graph.compute import answer
from fedtailor.strategies.graph.wiring import readers

TRAINED: dict[type, tuple[str, ...]] = {  # what of each kind of layer a training changes
    Conv: ("weight", "bias"),
    Linear: ("weight", "bias"),
    Embedding: ("table",),
    LayerNorm: ("scale", "shift"),
    Positions: ("table",),
}
_FIXED: dict[type, tuple[str, ...]] = {Affine: ("scale", "shift")}


class Part(nn.Module):
    """One layer with copies of its numbers, as parameters where they are trained."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        for name in TRAINED.get(type(layer), ()):
            self.register_parameter(name, nn.Parameter(torch.tensor(getattr(layer, name))))
        for name in _FIXED.get(type(layer), ()):
            self.register_buffer(name, torch.tensor(getattr(layer, name)))

    def forward(self, *inputs: Tensor) -> Tensor:
        names = (*TRAINED.get(type(self.layer), ()), *_FIXED.get(type(self.layer), ()))
        return answer(self.layer, {name: getattr(self, name) for name in names}, *inputs)


class Realised(nn.Module):
    """`parts` by place in the net, `wires` as its own: [N, *input_shape] to the answer of the last one."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.parts = nn.ModuleList(map(Part, net.layers))
        self.wires: Wires = net.wires
        self._last_reader = tuple(places[-1] if places else len(net.layers) for places in readers(net))

    def forward(self, x: Tensor) -> Tensor:
        held: dict[int, Tensor] = {0: x}
        for place, (part, read) in enumerate(zip(self.parts, self.wires, strict=True)):
            held[place + 1] = part(*(held[value] for value in read))
            for value in set(read):
                if self._last_reader[value] == place:
                    del held[value]
        return held[len(self.wires)]

    def values(self, x: Tensor) -> list[Tensor]:
        """Every value: the sample first, then each layer's answer."""
        held = [x]
        for part, read in zip(self.parts, self.wires, strict=True):
            held.append(part(*(held[value] for value in read)))
        return held


def realise(net: Net) -> Realised:
    """The module that computes `net`; it owns copies of the numbers, and no random number is drawn."""
    return Realised(net)


def trace_back(module: Realised, net: Net) -> Net:
    """`net` with the numbers that its realised module holds now; weights that were coded are plain again."""
    return replace(net, layers=tuple(map(_read, module.parts, net.layers)))


def _read(part: nn.Module, layer: Layer) -> Layer:
    names = TRAINED.get(type(layer), ())
    changes: dict[str, Any] = {name: getattr(part, name).detach().cpu().numpy().copy() for name in names}
    if isinstance(layer, Conv | Linear):
        changes["scales"] = None
    return replace(layer, **changes)
