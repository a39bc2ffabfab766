"""Bits come back as they went, and what could not have been written is refused before memory is taken for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter

wide_numbers = st.lists(
    st.integers(0, 32).flatmap(lambda width: st.tuples(st.just(width), st.integers(0, 2**width - 1))), max_size=40
)


def written(write):
    writer = BitWriter()
    write(writer)
    return writer.to_bytes()


@given(numbers=wide_numbers)
def test_numbers_of_many_widths_come_back(numbers):
    widths, values = np.array(numbers, np.int64).reshape(-1, 2).T
    data = written(lambda writer: writer.write_bits(values, widths))
    assert len(data) == -(-int(widths.sum()) // 8)
    reader = BitReader(data)
    assert (reader.read_bits(len(values), widths) == values).all()
    reader.close()


@given(values=st.lists(st.integers(0, 50), max_size=40), flags=st.lists(st.booleans(), max_size=9))
def test_unary_and_flags_come_back_one_after_the_other(values, flags):
    def write(writer):
        writer.write_unary(np.array(values, np.int64))
        writer.write_bits(np.array(flags, np.int64), 1)

    reader = BitReader(written(write))
    assert reader.read_unary(len(values)).tolist() == values
    assert reader.read_bits(len(flags), 1).tolist() == flags
    reader.close()


def test_the_first_bit_is_the_lowest_and_numbers_lie_plane_by_plane():
    assert written(lambda writer: writer.write_bits(np.array([1, 2, 3]), 2)) == bytes([0b110_101])
    assert written(lambda writer: writer.write_unary(np.array([2, 0, 3]))) == bytes([0b1000_1_100])


def test_bits_that_are_not_there_are_refused():
    with pytest.raises(DecodeError, match="ends early: 9 more bits expected, 8 left"):
        BitReader(b"\xff").read_bits(9, 1)


def test_an_absurd_count_is_refused_before_memory_is_taken():
    with pytest.raises(DecodeError, match="ends early"):
        BitReader(b"\xff").read_unary(10**15)
    with pytest.raises(DecodeError, match="ends early"):
        BitReader(b"\xff").read_bits(10**15, 1)


def test_unary_numbers_without_their_one_are_refused():
    with pytest.raises(DecodeError, match="2 numbers in unary expected, 1 left"):
        BitReader(b"\x10").read_unary(2)


def test_bytes_left_over_are_refused():
    reader = BitReader(b"\x01\x00")
    reader.read_unary(1)
    with pytest.raises(DecodeError, match="1 bytes more"):
        reader.close()


def test_padding_that_is_not_zero_is_refused():
    reader = BitReader(b"\x81")
    reader.read_unary(1)
    with pytest.raises(DecodeError, match="padding"):
        reader.close()
