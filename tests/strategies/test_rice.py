"""Rice's and Elias' codes: back as they went, in the bits that the books say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.rice import MAX_PARAMETER, bit_length, read_gamma, read_rice, write_gamma, write_rice


@given(pairs=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, MAX_PARAMETER)), max_size=40))
def test_rice_comes_back_in_the_bits_it_takes(pairs):
    values, parameters = np.array(pairs, np.int64).reshape(-1, 2).T
    writer = BitWriter()
    write_rice(writer, values, parameters)
    data = writer.to_bytes()
    assert len(data) == -(-int(((values >> parameters) + 1 + parameters).sum()) // 8)
    reader = BitReader(data)
    assert (read_rice(reader, len(pairs), parameters) == values).all()
    reader.close()


@given(values=st.lists(st.integers(0, 2**32 - 2), max_size=40))
def test_gamma_comes_back_in_the_bits_it_takes(values):
    writer = BitWriter()
    write_gamma(writer, np.array(values, np.int64))
    data = writer.to_bytes()
    assert len(data) == -(-sum(2 * (value + 1).bit_length() - 1 for value in values) // 8)
    reader = BitReader(data)
    assert read_gamma(reader, len(values)).tolist() == values
    reader.close()


def test_a_gamma_number_of_too_many_bits_is_refused():
    writer = BitWriter()
    writer.write_unary(np.array([32]))
    writer.write_bits(np.array([0]), 32)
    with pytest.raises(DecodeError, match="33 bits came, at most 32"):
        read_gamma(BitReader(writer.to_bytes()), 1)


@given(values=st.lists(st.integers(0, 2**63 - 1), max_size=40))
def test_bit_length_is_that_of_python(values):
    assert bit_length(np.array(values, np.int64)).tolist() == [value.bit_length() for value in values]
