import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.levels import most_level_bits, read_levels, write_levels

SIZES = np.array([1500, 700, 1, 299])


def levels_of(top, spread, seed=0):
    rng = np.random.default_rng(seed)
    by_bucket = np.repeat([1, 0.1, 3, 10], SIZES)
    return np.clip(np.rint(rng.standard_t(2, SIZES.sum()) * spread * by_bucket), -top, top).astype(np.int8)


def packed(levels):
    writer = BitWriter()
    write_levels(writer, levels, SIZES)
    return writer.to_bytes()


def unpacked(data, top):
    reader = BitReader(data)
    levels = read_levels(reader, SIZES, top)
    reader.close()
    return levels


@given(bits=st.integers(2, 8), spread=st.floats(0, 200), seed=st.integers(0, 99))
def test_levels_come_back_exactly_within_the_most_bits(bits, spread, seed):
    top = 2 ** (bits - 1) - 1
    levels = levels_of(top, spread, seed)
    data = packed(levels)
    assert (unpacked(data, top) == levels).all()
    assert len(data) * 8 <= most_level_bits(levels.size, SIZES.size)


@pytest.mark.parametrize("spread", [0.05, 0.3, 2, 20])
def test_they_take_at_most_a_tenth_more_than_the_entropy_of_their_buckets(spread):
    levels = levels_of(127, spread)
    entropy = 0.0
    for part in np.split(levels, np.cumsum(SIZES)[:-1]):
        shares = np.unique(np.abs(part), return_counts=True)[1] / part.size
        entropy -= part.size * (shares * np.log2(shares)).sum() - np.count_nonzero(part)
    assert len(packed(levels)) * 8 <= 1.1 * entropy + 400


@pytest.mark.parametrize("spread", [0.1, 20, 1e6])
def test_a_byte_more_or_less_is_refused(spread):
    data = packed(levels_of(127, spread))
    for broken in (data[:-1], data + b"\x00", data + b"\x01"):
        with pytest.raises(DecodeError, match="payload"):
            unpacked(broken, 127)


@pytest.mark.parametrize("level", [8, -90])
def test_a_level_beyond_the_largest_is_refused(level):
    levels = levels_of(7, 0.5)
    levels[3] = level
    with pytest.raises(DecodeError, match=f"a level of magnitude {abs(level)} came, at most 7 is allowed"):
        unpacked(packed(levels), 7)


def test_high_parts_that_would_not_fit_are_refused_before_they_are_shifted():
    levels = levels_of(127, 1e6)
    with pytest.raises(DecodeError, match="at most 7 is allowed"):
        unpacked(packed(levels), 7)
