"""The dyadic grid of the public base: integers alone decide what it is, so it is the same bits on every machine.

A value is a whole number of steps of 2**-24 within int32: from -128 to just below 128, as fine as float32 is near 1.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Floats, Schema, State, schema_of
from fedtailor.strategies.codec.context import Steps
from fedtailor.strategies.codec.flat import flatten, unflatten

STEPS_PER_ONE = 2.0**24
HASH_DIGITS = 16
_LIMITS = np.iinfo(np.int32)


def steps_of(state: State) -> Steps:
    """The nearest point of the grid, flat in the state's order.

    Raises:
        PlanError: a value is NaN or lies outside the grid.
    """
    schema = schema_of(state)
    return moved_steps(np.zeros(schema.size, np.int32), list(state.values()), schema)


def moved_steps(steps: Steps, delta: Sequence[Floats], schema: Schema) -> Steps:
    """Where a delta, rounded to the grid, leads from `steps` [schema.size].

    Raises:
        PlanError: a value is NaN or lies outside the grid; the line names its layer.
    """
    scaled = flatten(delta).astype(np.float64) * STEPS_PER_ONE
    with np.errstate(invalid="ignore"):
        target = np.rint(scaled) + steps  # exact: float64 holds every sum that is inside the grid
    outside = ~((target >= _LIMITS.min) & (target <= _LIMITS.max))
    if outside.any():
        at = int(outside.argmax())
        layer = schema.names[int(np.searchsorted(np.cumsum(schema.sizes), at, side="right"))]
        raise PlanError(
            f"layer {layer!r}: the value {target[at] / STEPS_PER_ONE:g} lies outside the public base's -128 to 128; "
            "lower the learning rate, or keep this layer out with local_parameters"
        )
    return target.astype(np.int32)


def state_of_steps(steps: Steps, schema: Schema) -> State:
    """The nearest float32 of every point, writable."""
    return dict(zip(schema.names, unflatten((steps / STEPS_PER_ONE).astype(np.float32), schema), strict=True))


def rest_of(private: State, steps: Steps) -> list[Floats]:
    """The delta that leads from the grid's point `steps` to a state, by tensor."""
    rest = flatten(list(private.values())).astype(np.float64) - steps / STEPS_PER_ONE
    return unflatten(rest.astype(np.float32), schema_of(private))


def steps_hash(steps: Steps, schema: Schema) -> str:
    """The first 16 hex digits of the SHA-256 over schema and little-endian steps."""
    digest = hashlib.sha256(schema.hash.encode())
    digest.update(np.ascontiguousarray(steps, dtype="<i4").tobytes())
    return digest.hexdigest()[:HASH_DIGITS]
