"""Gaps in Golomb's code, many at a time: the shortest prefix code where every place is taken with equal probability.

Source: Golomb 1966, IEEE Transactions on Information Theory 12(3); the rest of a division is written in the bits of
the divisor, or one fewer. The stream is split: first all quotients in unary, then all rests.
"""

import numpy as np

from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.rice import bit_length


def write_golomb(writer: BitWriter, values: Integers, divisors: Integers) -> None:
    """Integers of at least 0 [count] and the divisor (1 to 2**31) of each [count]."""
    quotients, rests = np.divmod(values, divisors)
    widths, short = _widths(divisors)
    long = rests >= short
    rests = rests + np.where(long, short, 0)
    writer.write_unary(quotients)
    writer.write_bits(np.where(long, rests >> 1, rests), widths)
    writer.write_bits(rests[long] & 1, 1)


def read_golomb(reader: BitReader, divisors: Integers) -> Integers:
    """The inverse: one integer for each divisor.

    Raises:
        DecodeError: the bits end early.
    """
    quotients = reader.read_unary(divisors.size)
    widths, short = _widths(divisors)
    rests = reader.read_bits(divisors.size, widths)
    long = np.flatnonzero(rests >= short)
    rests[long] += rests[long] - short[long] + reader.read_bits(long.size, 1)
    return quotients * divisors + rests


def divisors_for(sizes: Integers, counts: Integers) -> Integers:
    """The divisor for gaps between `counts` places among `sizes`: ln 2 of the mean distance, at least 1."""
    divisors: Integers = sizes * 9 // (13 * np.maximum(counts, 1))
    return np.maximum(divisors, 1)


def _widths(divisors: Integers) -> tuple[Integers, Integers]:
    """Bits that a rest takes, and the first rest that takes one more."""
    widths = bit_length(divisors) - 1
    return widths, (2 << widths) - divisors
