"""What a training step takes in memory, modelled from the shapes of a net's layers, and how to make it fit.

Counted are parameters, gradients and the optimiser's moments; what each layer holds for its backward pass; the loss;
and the gradients on both sides of the layer whose backward pass is running. The runtime's own workspace is not.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import (
    Activation,
    Attention,
    AveragePool,
    ChannelsFirst,
    Conv,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Net,
    Positions,
)
from fedtailor.protos.plan import Footprint
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.train_step import crossing, runs

_VALUE_BYTES = {"fp32": 4, "bf16": 2}
_INDEX_BYTES = 8  # of a token, and of the place of a pool's maximum
_LOSS_COPIES = 3  # of the answer, in float32: itself, its logarithms, its gradient
_HOLDS_INPUT = (Attention, AveragePool, Conv, LayerNorm, Linear, MaxPool)
_ANSWER_TELLS = ("relu", "sigmoid", "tanh")  # their derivative follows from what they answered


def footprint_within(net: Net, rows: int, limit_bytes: int, *, moments: int) -> Footprint:
    """The first footprint within the limit: as it is, bfloat16, with checkpoints too, then with fewer rows at once.

    `rows` is the batch; `moments` are the optimiser's, per parameter.

    Raises:
        PlanError: none fits; the line says what the least would be.
    """
    least = step_bytes(net, rows, Footprint(), moments=moments)
    for footprint in _footprints(net, rows, moments):
        takes = step_bytes(net, rows, footprint, moments=moments)
        if takes <= limit_bytes:
            return footprint
        least = min(least, takes)
    raise PlanError(
        f"a training step of this model takes at least {least} bytes, the budget allows train_ram_bytes {limit_bytes}; "
        "raise it, or choose a smaller model"
    )


def step_bytes(net: Net, rows: int, footprint: Footprint, *, moments: int) -> int:
    """Bytes of one step on `rows` samples at its peak, modelled."""
    parameters = [_parameters(layer) for layer in net.layers]
    at_once = min(footprint.micro_batch or rows, rows)
    copies = 2 * sum(parameters) if footprint.precision == "bf16" else 0
    summed = 4 * max(parameters) if at_once < rows else 0  # a layer's new gradients, before they join the old
    return 4 * (2 + moments) * sum(parameters) + copies + summed + at_once * _row_bytes(net, footprint)


def tail_step_bytes(net: Net, rows: int, footprint: Footprint, *, first: int, moments: int) -> int:
    """As `step_bytes`, of a step that trains the layers from place `first` on: those before only pass values on."""
    parameters = [_parameters(layer) for layer in net.layers]
    size, shapes = _VALUE_BYTES[footprint.precision], [prod(shape) for shape in layer_shapes(net)]
    at_once, tail = min(footprint.micro_batch or rows, rows), range(first, len(net.layers))
    alive = [sum(shapes[value] for value in (*crossing(net.wires, at), at + 1)) for at in range(len(net.layers))]
    row = size * max(alive) + held_bytes(net, tail, size) + 4 * (shapes[0] + _LOSS_COPIES * shapes[-1])
    copies = 2 * sum(parameters) if footprint.precision == "bf16" else 0
    summed = 4 * max(parameters[first:]) if at_once < rows else 0
    return 4 * (sum(parameters) + (1 + moments) * sum(parameters[first:])) + copies + summed + at_once * row


def parameter_count(net: Net) -> int:
    """Numbers that a training changes."""
    return sum(map(_parameters, net.layers))


def held_bytes(net: Net, places: range, value_bytes: int) -> int:
    """Bytes per row that these layers hold for their backward pass."""
    shapes = layer_shapes(net)
    values: set[int] = set()
    own = 0
    for place in places:
        layer, read = net.layers[place], net.wires[place]
        if isinstance(layer, Conv) and any(before != after for before, after in layer.padding):
            own += value_bytes * _padded(layer, shapes[read[0]])
        elif isinstance(layer, _HOLDS_INPUT) or (isinstance(layer, Activation) and layer.function not in _ANSWER_TELLS):
            values.update(_stored(net, value) for value in read)
        if isinstance(layer, Attention) or (isinstance(layer, Activation) and layer.function in _ANSWER_TELLS):
            values.add(place + 1)
        if isinstance(layer, MaxPool | Embedding):
            own += _INDEX_BYTES * prod(shapes[place + 1 if isinstance(layer, MaxPool) else read[0]])
    return own + value_bytes * sum(prod(shapes[value]) for value in values)


def _footprints(net: Net, rows: int, moments: int) -> Iterator[Footprint]:
    yield Footprint()
    whole = Footprint(precision="bf16")
    yield whole
    cut = [replace(whole, checkpoints=checkpoints) for checkpoints in range(2, len(net.layers) + 1)]
    yield from cut
    smallest = min(cut, key=lambda footprint: step_bytes(net, rows, footprint, moments=moments), default=whole)
    at_once = rows
    while at_once > 1:
        at_once = -(-at_once // 2)
        yield from (replace(footprint, micro_batch=at_once) for footprint in (Footprint(), whole, smallest))


def _row_bytes(net: Net, footprint: Footprint) -> int:
    """Bytes per row when most is held: as backward passes go from the last layer to the first, ever less is."""
    size, shapes = _VALUE_BYTES[footprint.precision], [prod(shape) for shape in layer_shapes(net)]
    most, entering = 0, 0
    for part in runs(len(net.layers), max(footprint.checkpoints, 1)):
        entering += sum(shapes[value] for value in crossing(net.wires, part.start)) if part.start else 0
        for place in part:
            gradients = (*crossing(net.wires, place + 1), *net.wires[place])
            running = entering + sum(shapes[value] for value in gradients)
            most = max(most, size * running + held_bytes(net, range(part.start, place + 1), size))
    return most + 4 * (shapes[0] + _LOSS_COPIES * shapes[-1])


def _stored(net: Net, value: int) -> int:
    """The value whose memory this one is a view of."""
    while value and isinstance(net.layers[value - 1], ChannelsFirst):
        value = net.wires[value - 1][0]
    return value


def _padded(layer: Conv, shape: tuple[int, ...]) -> int:
    return shape[0] * prod(size + sum(pair) for size, pair in zip(shape[1:], layer.padding, strict=True))


def _parameters(layer: Layer) -> int:
    if isinstance(layer, Conv | Linear):
        return layer.weight.size + layer.bias.size
    if isinstance(layer, Embedding | Positions):
        return layer.table.size
    return layer.scale.size + layer.shift.size if isinstance(layer, LayerNorm) else 0
