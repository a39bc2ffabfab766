"""Golomb's code: back as it went, close to the fewest bits there can be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.golomb import divisors_for, read_golomb, write_golomb


def coded(values, divisors):
    writer = BitWriter()
    write_golomb(writer, values, divisors)
    return writer.to_bytes()


@given(pairs=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 2**31)), max_size=40))
def test_any_divisors_come_back(pairs):
    values, divisors = np.array(pairs, np.int64).reshape(-1, 2).T
    reader = BitReader(coded(values, divisors))
    assert (read_golomb(reader, divisors) == values).all()
    reader.close()


@pytest.mark.parametrize(
    ("divisor", "lengths"), [(1, [1, 2, 3, 4]), (2, [2, 2, 3, 3]), (3, [2, 3, 3, 3]), (5, [3, 3, 3, 4, 4, 3 + 1])]
)
def test_lengths_are_those_of_the_paper(divisor, lengths):
    for value, length in enumerate(lengths):
        reader = BitReader(coded(np.array([value]), np.array([divisor])))
        read_golomb(reader, np.array([divisor]))
        assert 8 * len(coded(np.array([value]), np.array([divisor]))) - reader.left == length


@pytest.mark.parametrize("count", [30, 500, 3_000, 20_000])
def test_random_places_take_at_most_two_percent_more_than_the_choice_of_them_says(count):
    size = 60_000
    places = np.sort(np.random.default_rng(count).choice(size, count, replace=False))
    divisors = np.repeat(divisors_for(np.array([size]), np.array([count])), count)
    fewest = math.log2(math.comb(size, count))
    assert fewest < 8 * len(coded(np.diff(places, prepend=-1) - 1, divisors)) < 1.035 * fewest + 8


def test_rests_that_are_not_there_are_refused():
    with pytest.raises(DecodeError, match="ends early"):
        read_golomb(BitReader(b"\x01"), np.array([1 << 20]))
