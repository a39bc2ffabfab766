import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.golomb import divisors_for, write_golomb
from fedtailor.strategies.codec.rice import write_gamma
from fedtailor.strategies.codec.subset import read_subset, write_subset


def written(places, size):
    writer = BitWriter()
    write_subset(writer, np.array(sorted(places), np.int64), size)
    return writer.to_bytes()


@given(data=st.data(), size=st.integers(0, 300))
def test_a_subset_comes_back(data, size):
    places = data.draw(st.sets(st.integers(0, size - 1))) if size else set()
    reader = BitReader(written(places, size))
    assert read_subset(reader, size).tolist() == sorted(places)
    reader.close()


def test_all_of_many_take_a_bit_each():
    assert len(written(range(8000), 8000)) <= 1000 + 4


def test_a_few_of_many_take_about_the_logarithm_of_their_distance():
    assert len(written(range(0, 64_000, 1000), 64_000)) <= 64 * 12 / 8 + 2


@pytest.mark.parametrize("size", [4, 5])
def test_a_place_beyond_the_last_is_refused(size):
    writer = BitWriter()
    write_gamma(writer, np.array([1]))
    write_golomb(writer, np.array([5]), divisors_for(np.array([size]), np.array([1])))
    with pytest.raises(DecodeError, match=f"value 5 is named, there are only {size}"):
        read_subset(BitReader(writer.to_bytes()), size)


def test_more_than_there_are_are_refused_before_they_are_read():
    writer = BitWriter()
    write_gamma(writer, np.array([2**31]))
    with pytest.raises(DecodeError, match=f"{2**31} of 9 values are named"):
        read_subset(BitReader(writer.to_bytes()), 9)
