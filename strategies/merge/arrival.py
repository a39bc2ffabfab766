"""One reply as it arrives at the merge: checked before any sum moves, and clipped."""

from collections.abc import Iterable, Sequence
from math import isfinite, sqrt

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.merge.sparse import Kept, Sparse

LEAST_WEIGHT = 2.0**-10
WEIGHT_GRID = 2.0**20
CHUNK = 32_768  # values; as float64 they stay in the second cache level

Part = tuple[Floats, Kept | None]  # one tensor, flat, and what of it is covered; None: all


def checked_weight(weight: float) -> float:
    """The weight, rounded to a multiple of 2^-20, so that sums of weights are exact below 2^33.

    Raises:
        ValueError: it is below 2^-10.
    """
    if not (isfinite(weight) and weight >= LEAST_WEIGHT):
        raise ValueError(f"merge: a weight must be at least {LEAST_WEIGHT:g}, got {weight!r}")
    return round(weight * WEIGHT_GRID) / WEIGHT_GRID


def dense_parts(
    deltas: Sequence[Floats], masks: Sequence[Kept | None] | None, schema: Schema, sender: str
) -> list[Part]:
    """Tensors in schema order, each with an optional mask that broadcasts to it.

    Raises:
        DecodeError: shapes differ from the schema, or a value is NaN or infinite.
    """
    got = tuple(tuple(delta.shape) for delta in deltas)
    if got != schema.shapes:
        raise DecodeError(f"{sender}: the update has shapes {list(got)}, the base has {list(schema.shapes)}")
    for name, delta in zip(schema.names, deltas, strict=True):
        if not is_finite(delta.reshape(-1)):
            raise DecodeError(f"{sender}: layer {name!r} of the update holds NaN or infinity; the update is skipped")
    return [
        (delta.reshape(-1), None if mask is None else np.broadcast_to(mask, delta.shape).reshape(-1))
        for delta, mask in zip(deltas, masks or [None] * len(deltas), strict=True)
    ]


def check_sparse(update: Sparse, mask: Kept | None, schema: Schema, sender: str) -> None:
    """
    Raises:
        DecodeError: positions are not ascending coordinates of the schema, each with a finite value, or the mask is of
            another size.
    """
    positions, values = update.positions, update.values
    if positions.shape != values.shape or positions.ndim != 1:
        raise DecodeError(f"{sender}: {positions.size} positions and {values.size} values came; expected as many")
    inside = positions.size == 0 or (positions[0] >= 0 and positions[-1] < schema.size)
    if not (inside and (positions[1:] > positions[:-1]).all()):
        raise DecodeError(f"{sender}: positions are expected to ascend from 0 to {schema.size - 1}; they do not")
    if not is_finite(values):
        raise DecodeError(f"{sender}: the update holds NaN or infinity; the update is skipped")
    if mask is not None and mask.shape != (schema.size,):
        raise DecodeError(f"{sender}: the mask covers {mask.size} coordinates, the base has {schema.size}")


def is_finite(flat: Floats) -> bool:
    """Whether all values are."""
    with np.errstate(all="ignore"):
        squares = float(np.dot(flat, flat))  # one fast pass; finite but large values may overflow it
    return isfinite(squares) or bool(np.isfinite(flat).all())


def share_within(parts: Iterable[Part], max_norm: float) -> float:
    """What to scale a delta by, so that its L2 norm over what it covers is at most `max_norm`; 0 sets no limit.

    The same bits for a delta in its dense and in its sparse form: zeros are left out before anything is added up.
    """
    if max_norm <= 0:
        return 1.0
    said = [flat[flat != 0 if kept is None else (flat != 0) & kept] for flat, kept in parts]
    values = np.concatenate([np.zeros(0, np.float32), *said])
    wide = (values[low : low + CHUNK].astype(np.float64) for low in range(0, values.size, CHUNK))
    norm = sqrt(sum(float(np.dot(part, part)) for part in wide))
    return max_norm / norm if norm > max_norm else 1.0
