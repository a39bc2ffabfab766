"""One step of training, carried out with less memory: in bfloat16, with recomputed activations, few rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Wires, checked_wires
from fedtailor.protos.plan import Footprint
from fedtailor.strategies.graph.realise import Realised

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, eq=False)
class Layered:
    """A module and how it computes, layer by layer: `parts` by place, `wires` as of a `Net`."""

    module: nn.Module
    parts: Sequence[nn.Module]
    wires: Wires


def in_layers(module: nn.Module) -> Layered:
    """A sequence of layers, or a realised net, as such; any other module is one layer."""
    if isinstance(module, Realised):
        return Layered(module, list(module.parts), module.wires)
    parts = list(module) if isinstance(module, nn.Sequential) else [module]
    return Layered(module, parts, checked_wires((), len(parts)))


def backward(loss_of: Callable[[slice], Tensor], rows: int, footprint: Footprint) -> float:
    """The loss, a mean over all rows; its gradients are added to the parameters' own, one micro batch after another.

    loss_of: the mean loss of some of the rows.
    """
    total = 0.0
    for part in micro_batches(rows, footprint):
        loss = loss_of(part) * ((part.stop - part.start) / rows)
        loss.backward()
        total += loss.item()
    return total


def micro_batches(rows: int, footprint: Footprint) -> Iterator[slice]:
    """So many rows, as many at a time as the footprint allows."""
    size = footprint.micro_batch or rows
    return (slice(at, min(at + size, rows)) for at in range(0, rows, size))


def forward(layered: Layered, x: Tensor, *, footprint: Footprint) -> Tensor:
    """What the module answers to x, in float32.

    Raises:
        PlanError: the precision is unknown.
    """
    if footprint.precision not in PRECISIONS:
        raise PlanError(f"precision of training must be {' or '.join(PRECISIONS)}, got {footprint.precision!r}")
    with torch.autocast("cpu", torch.bfloat16, enabled=footprint.precision == "bf16"):
        again = footprint.checkpoints > 1
        outputs: Tensor = _checkpointed(layered, x, footprint.checkpoints) if again else layered.module(x)
    return outputs.float()


def runs(layers: int, checkpoints: int) -> list[range]:
    """The places of so many layers in `checkpoints` runs of about the same length."""
    bounds = [round(layers * at / checkpoints) for at in range(checkpoints + 1)]
    return [range(first, last) for first, last in pairwise(bounds) if first < last]


def crossing(wires: Wires, place: int) -> tuple[int, ...]:
    """The values that are there before layer `place` and read from it on, ascending; at the end it is the answer."""
    if place == len(wires):
        return (place,)
    return tuple(sorted({value for read in wires[place:] for value in read if value <= place}))


def _checkpointed(layered: Layered, x: Tensor, checkpoints: int) -> Tensor:
    """Chen et al. 2016, arXiv:1604.06174, section 3: of all runs but the last only what enters them is held."""
    held: tuple[Tensor, ...] = (x,)
    *before, last = runs(len(layered.parts), checkpoints)
    for places in before:
        held = checkpoint(_run, layered, places, *held, use_reentrant=False)
    return _run(layered, last, *held)[0]


def _run(layered: Layered, places: range, *entering: Tensor) -> tuple[Tensor, ...]:
    held = dict(zip(crossing(layered.wires, places.start), entering, strict=True))
    for place in places:
        held[place + 1] = layered.parts[place](*(held[value] for value in layered.wires[place]))
        held = {value: held[value] for value in crossing(layered.wires, place + 1)}
    return tuple(held.values())
