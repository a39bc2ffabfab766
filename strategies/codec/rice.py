"""Integers of at least 0 that are small more often than large, in Rice's and in Elias' code, many at a time.

Sources: Rice and Plaunt 1971, IEEE Transactions on Communication Technology 19(6), section III: the part above 2**k in
unary, the k bits below it as they are; Elias 1975, IEEE Transactions on Information Theory 21(2), the code gamma: the
bit length of value + 1 in unary, then its bits below the highest. Both lie split: first all unary parts, then all bits.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import MAX_WIDTH, BitReader, BitWriter, Integers

MAX_PARAMETER = 24


def write_rice(writer: BitWriter, values: NDArray[np.integer], parameter: int | Integers) -> None:
    """Integers [count]; one Rice parameter (0 to 24) for all, or one [count] for each."""
    values = np.asarray(values, np.int64)
    writer.write_unary(values >> parameter)
    writer.write_bits(values, parameter)


def read_rice(reader: BitReader, count: int, parameter: int | Integers) -> Integers:
    """The inverse; the caller checks `count` and the parameters.

    Raises:
        DecodeError: the bits end early.
    """
    high = reader.read_unary(count)
    return (high << parameter) + reader.read_bits(count, parameter)


def write_gamma(writer: BitWriter, values: NDArray[np.integer]) -> None:
    """Integers [count] from 0 to 2**32 − 2, of no known size: 1 bit for 0, 2·log2(value + 1) + 1 at most."""
    above = np.asarray(values, np.int64) + 1
    widths = bit_length(above) - 1
    writer.write_unary(widths)
    writer.write_bits(above, widths)


def read_gamma(reader: BitReader, count: int) -> Integers:
    """The inverse.

    Raises:
        DecodeError: the bits end early, or a number is too large.
    """
    widths = reader.read_unary(count)
    if int(widths.max(initial=0)) > MAX_WIDTH - 1:
        raise DecodeError(f"payload: a number of {int(widths.max()) + 1} bits came, at most {MAX_WIDTH} are allowed")
    return (1 << widths) + reader.read_bits(count, widths) - 1


_POWERS = np.left_shift(np.int64(1), np.arange(63))


def bit_length(values: NDArray[np.integer]) -> Integers:
    """Of integers from 0 to 2**63 − 1: 0 for 0, 1 for 1, 2 for 2 and 3."""
    return np.searchsorted(_POWERS, values, side="right").astype(np.int64)
