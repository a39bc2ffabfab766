"""What small integers are likely to be, learned as they pass: both sides of a coded stream learn the same.

An integer is zero or not, positive or negative, and has a magnitude; each is counted for itself. Zeros are counted by
how active the input channel has been in the rows so far (pruned weights thin out whole inputs), signs by two signs
before (neighbours in a kernel tend to agree), magnitudes for all alike. Arithmetic on integers alone.
"""

from collections.abc import Iterator
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from fedtailor.strategies.payload.rans import SLOTS

Int64s = NDArray[np.int64]

ACTIVITIES = 4
SIDES = 9  # zero, positive or negative, of two symbols before
ACTIVITY_TENTHS = (6, 9, 13)  # of the array's mean
UNIT = 32  # one observation; priors are worth fractions of it
_PRIOR = 64 * UNIT  # what the assumed magnitudes weigh
_KEPT, _KEPT_SIDES = 512 * UNIT, 32 * UNIT  # what has been learned weighs at most this in the next array
_FIRST_BLOCK, _BLOCK = 16, 256  # numbers between two updates of the tables
_MOST_BLOCKS_BITS = 8
_WIDEST_KERNEL = 16


class IntegerModel:
    """Frequencies of the integers −top to top, top 1 to 255; at the start as of weights that were rounded to −usual to
    usual.

    Symbol 0 stands for 0, k for k, top + k for −k. A context is activity · 9 + 3 · side before + side further before.
    """

    def __init__(self, top: int, usual: int) -> None:
        self.top = top
        weights = _bell(top, usual)
        positive = int(weights[1:].sum())
        zero = 8 * UNIT * int(weights[0]) // (int(weights[0]) + 2 * positive)
        self.magnitudes = np.maximum(weights[1:] * _PRIOR // positive, 1)
        self.zeros = np.full((ACTIVITIES, 2), (zero, 8 * UNIT - zero), np.int64)  # observations of zero, and of others
        self.signs = np.full((SIDES, 2), 4 * UNIT, np.int64)  # of positive numbers, and of negative ones

    def symbols(self, integers: Int64s) -> Int64s:
        return np.where(integers < 0, self.top - integers, integers)

    def integers(self, symbols: Int64s) -> Int64s:
        return np.where(symbols > self.top, self.top - symbols, symbols)

    def tables(self) -> Int64s:
        """The slot where each symbol begins, by context, and the end. [contexts, 2 · top + 2]."""
        zero = np.clip(SLOTS * self.zeros[:, :1] // self.zeros.sum(1, keepdims=True), 1, SLOTS - 2 * self.top)
        others = SLOTS - zero
        up = np.clip(others * self.signs[:, 0] // self.signs.sum(1), self.top, others - self.top)
        share = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.magnitudes)))
        each = np.arange(self.top + 1, dtype=np.int64)  # at least one slot for every symbol
        positive = each + (up - self.top)[..., None] * share // share[-1]
        negative = each + (others - up - self.top)[..., None] * share // share[-1]
        middle = np.broadcast_to(zero, up.shape)[..., None]
        parts = (np.zeros_like(middle), middle + positive, middle + up[..., None] + negative[..., 1:])
        return np.concatenate(parts, axis=-1).reshape(ACTIVITIES * SIDES, -1)

    def learn(self, symbols: Int64s, contexts: Int64s) -> None:
        kinds = (symbols > 0).astype(np.int64) + (symbols > self.top)
        seen = np.bincount(contexts * 3 + kinds, minlength=ACTIVITIES * SIDES * 3).reshape(ACTIVITIES, SIDES, 3)
        seen = seen.astype(np.int64) * UNIT
        self.zeros += np.stack((seen[..., 0].sum(1), seen[..., 1:].sum((1, 2))), axis=1)
        self.signs += seen[..., 1:].sum(0)
        magnitudes = np.where(symbols > self.top, symbols - self.top, symbols)
        self.magnitudes += np.bincount(magnitudes, minlength=self.top + 1)[1:].astype(np.int64) * UNIT

    def start_array(self) -> None:
        """Weigh what was learned so far as no more than a start for the array that comes."""
        self.magnitudes = _faded(self.magnitudes, _KEPT)
        self.zeros = _faded(self.zeros, _KEPT_SIDES)
        self.signs = _faded(self.signs, _KEPT_SIDES)


class Activity:
    """How often each input channel of an array [out, in, *kernel] has been nonzero so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._run = prod(shape[2:])
        self._seen = np.zeros(shape[1] if len(shape) > 1 else 1, np.int64)
        self._nonzero = np.zeros_like(self._seen)
        self._total = self._total_nonzero = 0

    def channels(self, begin: int, end: int) -> Int64s:
        return np.arange(begin, end, dtype=np.int64) // self._run % len(self._seen)

    def levels(self, channels: Int64s) -> Int64s:
        """0 to 3: a channel's share of nonzeros against the array's."""
        own = 10 * (self._nonzero[channels] * self._total + 2 * self._total_nonzero)
        mean = (self._seen[channels] + 2) * self._total_nonzero
        levels = np.zeros(len(channels), np.int64)
        for tenths in ACTIVITY_TENTHS:
            levels += own >= tenths * mean
        return levels

    def learn(self, channels: Int64s, symbols: Int64s) -> None:
        nonzero = channels[symbols > 0]
        np.add.at(self._seen, channels, 1)
        np.add.at(self._nonzero, nonzero, 1)
        self._total += len(channels)
        self._total_nonzero += len(nonzero)


def blocks(count: int, top: int) -> Iterator[tuple[int, int]]:
    """Begin and end of the runs between which a model learns: short at first, and few in all."""
    longest = max(_BLOCK, 16 * top, count >> _MOST_BLOCKS_BITS)
    begin = 0
    while begin < count:
        end = min(count, begin + min(max(begin // 4, _FIRST_BLOCK), longest))
        yield begin, end
        begin = end


def reach(shape: tuple[int, ...]) -> int:
    """How far before a weight lies the second neighbour: above it in a kernel of two axes, else the one but last."""
    return shape[-1] if len(shape) == 4 and 2 <= shape[-1] <= _WIDEST_KERNEL else 2


@cache
def _bell(top: int, usual: int) -> Int64s:
    """Weights of 0 to top under a Gaussian of deviation 3 · (usual + 1) / 8, its tail gathered at the end."""
    fall = 9 * (usual + 1) ** 2
    step = SLOTS * fall // (fall + 32)  # 2^16 times exp(−1 / (2 · deviation²)), nearly
    weight, ratio, weights = 1 << 40, step, []
    for _ in range(4 * top + 8):
        weights.append(weight >> 16)
        weight = weight * ratio >> 16
        ratio = ratio * step * step >> 32
    return np.array((*weights[:top], sum(weights[top:])), np.int64)


def _faded(counts: Int64s, most: int) -> Int64s:
    """Counts whose sum along the last axis is `most` at most, each at least 1."""
    total = counts.sum(-1, keepdims=True)
    return np.where(total > most, np.maximum(counts * most // total, 1), counts)
