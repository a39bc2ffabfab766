import numpy as np
import pytest
from codec_cases import context_of
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitWriter
from fedtailor.strategies.codec.levels import pack_levels, unpack_levels

SCHEMA = Schema(("w", "b"), ((50, 50), (20,)))
CONTEXT = context_of(SCHEMA)
SPARSE, DENSE, PLAIN = range(3)


def levels_of(top, spread, seed):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(rng.standard_t(2, SCHEMA.size) * spread), -top, top).astype(np.int64)


def form(packed):
    return packed[0] & 3


@given(bits=st.integers(2, 8), spread=st.floats(0, 200), seed=st.integers(0, 99))
def test_levels_come_back_exactly_and_never_take_more_than_plain_bits(bits, spread, seed):
    top = 2 ** (bits - 1) - 1
    levels = levels_of(top, spread, seed)
    packed = pack_levels(levels, top, CONTEXT)
    assert (unpack_levels(packed, top, CONTEXT) == levels).all()
    assert len(packed) <= -(-(2 + SCHEMA.size * bits) // 8)


@pytest.mark.parametrize(("top", "spread", "want"), [(7, 0.1, SPARSE), (127, 20, DENSE), (7, 1e6, PLAIN)])
def test_the_shortest_form_is_taken(top, spread, want):
    assert form(pack_levels(levels_of(top, spread, 0), top, CONTEXT)) == want


@pytest.mark.parametrize("spread", [0.1, 20, 1e6])
def test_a_byte_more_or_less_is_refused(spread):
    packed = pack_levels(levels_of(127, spread, 0), 127, CONTEXT)
    for broken in (packed[:-1], packed + b"\x00", packed + b"\x01"):
        with pytest.raises(DecodeError, match="payload"):
            unpack_levels(broken, 127, CONTEXT)


def test_a_level_beyond_the_largest_is_refused():
    with pytest.raises(DecodeError, match="a level of magnitude 90 came, at most 7 is allowed"):
        unpack_levels(pack_levels(levels_of(127, 0, 0) + 90 * (np.arange(SCHEMA.size) == 3), 127, CONTEXT), 7, CONTEXT)


def test_an_unknown_form_is_refused():
    writer = BitWriter()
    writer.write_bits(np.array([3]), 2)
    with pytest.raises(DecodeError, match="levels of form 3 came, known are 0 to 2"):
        unpack_levels(writer.to_bytes(), 7, CONTEXT)
