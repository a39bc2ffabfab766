"""Which of so many things are meant, few or many: a count in Elias' gamma code, then the gaps in Golomb's."""

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.golomb import divisors_for, read_golomb, write_golomb
from fedtailor.strategies.codec.rice import read_gamma, write_gamma


def write_subset(writer: BitWriter, places: Integers, size: int) -> None:
    """Places (distinct, ascending) among 0 to size − 1."""
    count = np.array([places.size])
    write_gamma(writer, count)
    write_golomb(writer, np.diff(places, prepend=-1) - 1, _divisors(size, count))


def read_subset(reader: BitReader, size: int) -> Integers:
    """The inverse.

    Raises:
        DecodeError: there are more than `size`, one lies beyond it, or the bits end early.
    """
    count = read_gamma(reader, 1)
    if int(count[0]) > size:
        raise DecodeError(f"{int(count[0])} of {size} values are named, that is more than there are")
    places = np.cumsum(read_golomb(reader, _divisors(size, count)) + 1) - 1
    if places.size and int(places[-1]) >= size:
        raise DecodeError(f"value {int(places[-1])} is named, there are only {size}")
    return places


def _divisors(size: int, count: Integers) -> Integers:
    return np.repeat(divisors_for(np.array([size]), count), count)
