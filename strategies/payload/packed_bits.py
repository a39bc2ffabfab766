"""How many bits integers will take in a payload, without packing them: what a planner asks a thousand times."""

from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from fedtailor.strategies.payload.integer_model import ACTIVITIES, ACTIVITY_TENTHS, SIDES, UNIT, IntegerModel, reach


def packed_bits(integers: NDArray[np.generic]) -> float:
    """Bits of an array [out, in, *kernel] of integers −255 to 255 as `payload.py` writes it; 0 if all are zero.

    The code length of `integer_model.py` with the counts it ends with, as if it learned after every weight. Scales and
    biases are not part of it.
    """
    whole = np.asarray(integers).astype(np.int16)
    magnitudes = np.bincount(np.abs(whole).ravel())[1:]
    if not magnitudes.any():
        return 0.0
    start = IntegerModel(len(magnitudes), len(magnitudes))
    seen = (_by_activity(whole), _by_neighbours(whole), magnitudes[None])
    assumed = (start.zeros, start.signs, start.magnitudes[None])
    return sum(_learned(observed, prior / UNIT) for observed, prior in zip(seen, assumed, strict=True))


def _by_activity(integers: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many are zero and how many are not, by how active their input channel is."""
    others = tuple(axis for axis in range(integers.ndim) if axis != 1) if integers.ndim > 1 else 0
    active = np.atleast_1d(np.count_nonzero(integers, axis=others)).astype(np.int64)
    levels = np.sum([10 * active * len(active) >= tenths * active.sum() for tenths in ACTIVITY_TENTHS], axis=0)
    counts = np.zeros((ACTIVITIES, 2), np.int64)
    np.add.at(counts, levels, np.stack((integers.size // len(active) - active, active), axis=1))
    return counts


def _by_neighbours(integers: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many are positive and how many negative, by the signs of the two neighbours before."""
    before = reach(integers.shape)
    sides = np.zeros(integers.size + before, np.uint8)
    sides[before:] = (integers > 0).ravel() + 2 * (integers < 0).ravel()
    kinds = 9 * sides[before - 1 : -1] + 3 * sides[:-before] + sides[before:]
    return np.bincount(kinds, minlength=3 * SIDES).reshape(SIDES, 3)[:, 1:]


def _learned(observed: NDArray[np.int64], prior: NDArray[np.float64]) -> float:
    """Bits of symbols that are coded by how often each came before, row by row: a Dirichlet-multinomial's."""
    ends, begins = observed + prior, prior
    each = _log_gammas(ends) - _log_gammas(begins)
    together = _log_gammas(ends.sum(1)) - _log_gammas(begins.sum(1))
    return (together - each) / log(2)


def _log_gammas(values: NDArray[np.float64]) -> float:
    return sum(map(lgamma, values.ravel().tolist()))
