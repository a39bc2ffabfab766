"""Coordinates laid out in buckets: those of one tensor that are about as likely to change lie together.

What the last public bases changed tells where the next update lies: in the rows (output channels) and columns (input
channels) that moved most. A coordinate's activity is the sum of two logarithms, how far its row and its column moved
against the mean of the tensor, and a little more if it moved itself. Integers only: both sides know the same buckets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import Integers

SMALL = 2000  # tensors of up to so many parameters share one bucket
_LEAST, _MOST = -3, 2  # octaves of activity, the ends open
_CLASSES = _MOST - _LEAST + 1
_QUARTERS = 4  # steps of the logarithm to an octave
_MOVED_ITSELF = 2  # steps
_QUARTER_OCTAVES = np.array([isqrt(isqrt((1 << step) - 1)) + 1 for step in range(_QUARTERS * 62)], np.int64)


@dataclass(frozen=True, eq=False)
class Buckets:
    """order: the coordinate at each place [schema.size]. place: of each coordinate, the inverse. bounds: where the
    buckets begin, and the end of the last [buckets + 1]; none is empty.
    """

    order: NDArray[np.int32]
    place: NDArray[np.int32]
    bounds: Integers

    @property
    def sizes(self) -> Integers:
        """Coordinates of each bucket."""
        return np.diff(self.bounds)


def lay_out(schema: Schema, moved: NDArray[np.int32]) -> Buckets:
    """The buckets of a schema whose public base moved by `moved` [schema.size].

    Inside a bucket coordinates keep their order. A schema has `most_buckets` at most.
    """
    keys = np.concatenate([np.zeros(0, np.uint16), *_keys(schema, np.abs(moved.astype(np.int64)))])
    order = np.argsort(keys, kind="stable").astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(order.size, dtype=np.int32)
    used = np.bincount(keys)
    return Buckets(order, place, np.cumsum(np.append(0, used[used > 0]), dtype=np.int64))


def most_buckets(schema: Schema) -> int:
    """As many buckets as a schema can have."""
    return 1 + _CLASSES * sum(size > SMALL for size in schema.sizes)


def _keys(schema: Schema, moved: Integers) -> Iterator[NDArray[np.uint16]]:
    """The bucket of each coordinate, tensor by tensor."""
    first = 1
    for shape, part in zip(schema.shapes, np.split(moved, np.cumsum(schema.sizes)[:-1]), strict=False):
        if part.size > SMALL:
            yield (first + _activity(part.reshape(shape))).astype(np.uint16).ravel()
            first += _CLASSES
        else:
            yield np.zeros(part.size, np.uint16)


def _activity(moved: Integers) -> Integers:
    """The class, 0 to 5, of each element of a tensor that moved so far [*shape]; all the same where nothing moved."""
    rows, columns = (*moved.shape, 1)[:2]
    whole = moved.reshape(rows, columns, -1)
    by_row, by_column = _against_mean(whole.sum((1, 2))), _against_mean(whole.sum((0, 2)))
    steps = (by_row[:, None] + by_column)[:, :, None] + np.where(whole > 0, _MOVED_ITSELF, 0)
    classes: Integers = np.clip(steps // _QUARTERS, _LEAST, _MOST) - _LEAST
    return classes


def _against_mean(sums: Integers) -> Integers:
    """Quarter-octaves by which each sum lies above the mean of all."""
    return _logarithm(sums) - _logarithm(sums.sum()) + _logarithm(np.int64(sums.size)) - 1


def _logarithm(values: Integers | np.int64) -> Integers:
    """Quarter-octaves of integers from 0 to 2**62: 0 for 0, else 1 + ⌊4·log2⌋."""
    return np.searchsorted(_QUARTER_OCTAVES, values, side="right")
