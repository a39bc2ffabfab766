"""A part of a model as a net of its own, and where each of its numbers lies in the model.

Traced with its numbers counted, a model tells which number went where: whatever a net leaves out or puts side by side,
its weights say where they came from, and what was trained is put back there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Net
from fedtailor.protos.schema import Floats, Schema, State, schema_of
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.graph.realise import TRAINED
from fedtailor.strategies.merge.sparse import Kept
from fedtailor.strategies.models.model import load_state, read_state

_MOST = 2**24  # whole numbers that a float32 tells apart


@dataclass(frozen=True, eq=False)
class Part:
    """`layout` is the net, with 1 + its coordinate in the model (`schema`) in place of every number that is trained."""

    layout: Net
    schema: Schema


def counted(module: nn.Module) -> Schema:
    """Count the module's numbers from 1, each number being its count from now on; the module's schema.

    Raises:
        PlanError: there are too many.
    """
    schema = schema_of(read_state(module))
    if schema.size >= _MOST:
        raise PlanError(f"a part can be taken of a model of less than {_MOST} parameters, this one has {schema.size}")
    counts = np.arange(1, schema.size + 1, dtype=np.float32)
    load_state(module, dict(zip(schema.names, unflatten(counts, schema), strict=True)))
    return schema


def checked(part: Part) -> Part:
    """The part, if its numbers are the model's own, each taken once.

    Raises:
        PlanError: tracing computed with the numbers, or takes one in two places.
    """
    taken = np.concatenate([numbers.ravel() for numbers in _numbers(part.layout)])
    counts = np.clip(taken, 0, part.schema.size).astype(np.int64)
    if not np.array_equal(counts, taken) or np.bincount(counts, minlength=1)[0] or np.bincount(counts).max() > 1:
        raise PlanError(
            "no part of this model can be trained: its layers share numbers, lack some, or are changed when traced; "
            "let weak devices train it whole, or leave them out"
        )
    return part


def covered(part: Part) -> dict[str, Kept]:
    """Which numbers of the model the part has, by parameter, in its shape."""
    kept = np.zeros(part.schema.size, np.bool_)
    for numbers in _numbers(part.layout):
        kept[_places(numbers)] = True
    ends = np.cumsum(part.schema.sizes)[:-1]
    parts = zip(part.schema.names, part.schema.shapes, np.split(kept, ends), strict=True)
    return {name: own.reshape(shape) for name, shape, own in parts}


def extract(part: Part, state: State) -> Net:
    """The part with the numbers of a state of the model."""
    flat = flatten(list(state.values()))
    layers = []
    for layer in part.layout.layers:
        names = TRAINED.get(type(layer), ())
        numbers: dict[str, Any] = {name: flat[_places(getattr(layer, name))] for name in names}
        layers.append(replace(layer, **numbers))
    return replace(part.layout, layers=tuple(layers))


def put_back(part: Part, net: Net, state: State) -> State:
    """The state with the numbers of `net`, a net of the part's shapes, where they belong; all others as they are."""
    flat = flatten(list(state.values()))
    for places, numbers in zip(_numbers(part.layout), _numbers(net), strict=True):
        flat[_places(places)] = numbers
    return dict(zip(part.schema.names, unflatten(flat, part.schema), strict=True))


def _numbers(net: Net) -> Iterator[Floats]:
    for layer in net.layers:
        yield from (getattr(layer, name) for name in TRAINED.get(type(layer), ()))


def _places(counts: Floats) -> NDArray[np.int64]:
    return counts.astype(np.int64) - 1
