"""A menu of smaller nets of one family: fewer channels, fewer layers, or both.

Depth as in Fan, Grave & Joulin 2020, LayerDrop, arXiv:1909.11556, section 3.2: whole layers go, here those whose loss
changes the answers least; width as `prune` narrows it, by the same share of every group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.net import Activation, Add, Conv, Linear, Net
from fedtailor.protos.schema import Floats
from fedtailor.strategies.compression.prune import prune
from fedtailor.strategies.graph.groups import Group, channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.graph.wiring import readers
from fedtailor.strategies.train_memory import parameter_count

_COMPARED = 128  # samples by which the layers to drop are chosen
_SHARES = np.linspace(1.0, 0.02, 99)  # of every group's channels

Rows = NDArray[np.generic]


def students(net: Net, calibration: Rows, share: float) -> tuple[tuple[Net, Mask], ...]:
    """Nets of at most `share` of the parameters: of each depth one, as wide as that allows; the deepest first.

    Each with what it kept of every layer: of a layer that is gone, nothing. A depth that is too large even with 2 % of
    its channels is left out.

    Args:
        net: The network to be like.
        calibration: Samples [N, *net.input_shape].
        share: Above 0, at most 1.

    Raises:
        ValueError: `share` is out of range.
        PlanError: there are no samples, or no student is small enough.
    """
    if not 0 < share <= 1:
        raise ValueError(f"students: share must be above 0 and at most 1, got {share}")
    if len(calibration) == 0:
        raise PlanError("students: samples to calibrate on are needed, got none; keep the model on this device")
    most = share * parameter_count(net)
    widths = ((shallow, _widest(shallow, most)) for shallow in _depths(net, calibration))
    found = tuple(_student(net, shallow, calibration, keep) for shallow, keep in widths if keep is not None)
    if not found:
        raise PlanError(f"no student of this model has at most {most:.0f} parameters; ask for a larger share")
    return found


def shallower(net: Net) -> tuple[Net, ...]:
    """Every net that lacks one residual branch, or one layer with weights that answers in the shape it reads.

    The activation behind such a layer goes with it. What nothing reads any more goes too.
    """
    return tuple(_without(net, place, value) for place, value in _droppable(net))


def _student(net: Net, shallow: Net, calibration: Rows, keep: Mapping[str, int]) -> tuple[Net, Mask]:
    student, mask = prune(shallow, calibration, keep)
    left = {layer.name for layer in student.layers}
    gone = [layer for layer in net.layers if isinstance(layer, Conv | Linear) and layer.name not in left]
    dropped = (KeptChannels(layer=layer.name, total=len(layer.weight), kept=()) for layer in gone)
    return student, Mask(layers=(*mask.layers, *dropped))


def _depths(net: Net, calibration: Rows) -> Iterator[Net]:
    """The net, then with one droppable layer less at a time: the one that changes the answers least."""
    x = calibration[:: -(-len(calibration) // _COMPARED)]
    wanted = _answers(net, x)
    while True:
        yield net
        fewer = shallower(net)
        if not fewer:
            return
        net = min(fewer, key=lambda each: float(((_answers(each, x) - wanted) ** 2).mean()))


def _answers(net: Net, x: Rows) -> Floats:
    with torch.no_grad():
        answers: Floats = realise(net)(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return answers


def _droppable(net: Net) -> Iterator[tuple[int, int]]:
    """A place, and the value that is read in its stead when it goes."""
    shapes, reading = layer_shapes(net), readers(net)
    for place, (layer, read) in enumerate(zip(net.layers, net.wires, strict=True)):
        if isinstance(layer, Add) and read[0] != read[1]:
            yield place, min(read)
        if isinstance(layer, Conv | Linear) and shapes[place + 1] == shapes[read[0]]:
            behind = reading[place + 1]
            activated = len(behind) == 1 and isinstance(net.layers[behind[0]], Activation)
            yield (behind[0] if activated else place), read[0]


def _without(net: Net, place: int, stand_in: int) -> Net:
    """The net whose layers read `stand_in` where they read the answer of layer `place`."""
    wires = [tuple(stand_in if value == place + 1 else value for value in read) for read in net.wires]
    needed, waiting = {0}, [stand_in if place + 1 == len(net.layers) else len(net.layers)]
    while waiting:
        value = waiting.pop()
        if value not in needed:
            needed.add(value)
            waiting.extend(wires[value - 1])
    kept = sorted(needed)
    number = {value: at for at, value in enumerate(kept)}
    return replace(
        net,
        layers=tuple(net.layers[value - 1] for value in kept[1:]),
        wires=tuple(tuple(number[read] for read in wires[value - 1]) for value in kept[1:]),
    )


def _widest(net: Net, most: float) -> Mapping[str, int] | None:
    """Channels left by group for the largest share that is small enough, or None."""
    groups = channel_groups(net)
    for share in _SHARES:
        keep = {group.name: max(1, round(share * group.channels)) for group in groups}
        if parameter_count(_cut(net, groups, keep)) <= most:
            return keep
    return None


def _cut(net: Net, groups: tuple[Group, ...], keep: Mapping[str, int]) -> Net:
    return narrowed(net, [(group, np.arange(keep[group.name])) for group in groups])[0]
