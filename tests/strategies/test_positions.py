"""Positions come back in the order in which they went, in few bits, and nothing else is taken for positions."""

import numpy as np
import pytest
from codec_cases import context_of
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.context import Context, blank
from fedtailor.strategies.codec.positions import most_position_bits, read_positions, write_positions
from fedtailor.strategies.codec.rice import write_gamma

SCHEMA = Schema(("conv.weight", "conv.bias", "head.weight"), ((30, 20, 3, 3), (30,), (10, 30)))
CONTEXT = context_of(SCHEMA)
ALL = np.arange(SCHEMA.size)
chosen = st.one_of(
    st.lists(st.integers(0, SCHEMA.size - 1), unique=True, max_size=200).map(sorted).map(np.array),
    st.tuples(st.integers(0, 99), st.floats(0, 1)).map(
        lambda draw: np.flatnonzero(np.random.default_rng(draw[0]).random(SCHEMA.size) < draw[1])
    ),
)


def written(positions, context=CONTEXT):
    writer = BitWriter()
    return write_positions(writer, positions.astype(np.int64), context), writer.to_bytes()


def read(data, context=CONTEXT, most=SCHEMA.size):
    reader = BitReader(data)
    positions = read_positions(reader, context, most)
    reader.close()
    return positions


@given(positions=chosen, known=st.booleans())
def test_positions_come_back_in_coded_order_within_the_limit(positions, known):
    context = CONTEXT if known else blank(SCHEMA)
    coded, data = written(positions, context)
    assert (np.sort(coded) == positions).all()
    assert (read(data, context) == coded).all()
    assert 8 * len(data) <= most_position_bits(SCHEMA)


def test_nothing_takes_a_bit_for_each_bucket():
    _, data = written(np.zeros(0, np.int64))
    assert len(data) == -(-CONTEXT.buckets.sizes.size // 8)
    assert read(data).size == 0


def test_all_coordinates_take_a_bit_each():
    assert len(written(ALL)[1]) <= SCHEMA.size // 8 + 20


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("share", [0.2, 0.23, 0.34, 0.35, 0.69, 1.0])
def test_unlikely_positions_stay_within_the_limit(stride, share):
    positions = np.unique(ALL[::-stride][: int(share * SCHEMA.size)])
    assert 8 * len(written(positions, blank(SCHEMA))[1]) <= most_position_bits(SCHEMA)


def test_a_context_that_knows_where_saves_bits():
    moved = np.zeros((30, 20, 9), np.int32)
    moved[:6, :5] = 1
    flat = np.append(moved.ravel(), np.zeros(SCHEMA.size - moved.size, np.int32))
    active = np.flatnonzero(flat)[::4]
    knowing = Context(SCHEMA, np.zeros_like(flat), flat)
    assert len(written(active, knowing)[1]) < 0.6 * len(written(active, blank(SCHEMA))[1])


def test_more_positions_than_allowed_are_refused():
    _, data = written(ALL[:9])
    with pytest.raises(DecodeError, match="9 positions came, at most 8"):
        read(data, most=8)


def test_a_count_above_the_size_of_a_bucket_is_refused():
    writer = BitWriter()
    write_gamma(writer, np.append(CONTEXT.buckets.sizes[:1] + 1, np.zeros(CONTEXT.buckets.sizes.size - 1, np.int64)))
    with pytest.raises(DecodeError, match="bucket 0 has 330 coordinates, 331 positions came"):
        read(writer.to_bytes())


def test_a_position_outside_its_bucket_is_refused():
    writer = BitWriter()
    write_gamma(writer, np.append([1], np.zeros(CONTEXT.buckets.sizes.size - 1, np.int64)))
    writer.write_unary(np.array([2]))
    writer.write_bits(np.array([0]), 9)
    with pytest.raises(DecodeError, match="position 0 of 1 lies outside its bucket"):
        read(writer.to_bytes())


@given(noise=st.binary(max_size=60))
def test_noise_is_refused_or_reads_as_distinct_coordinates(noise):
    try:
        came = read(noise)
    except DecodeError:
        return
    assert len(set(came.tolist())) == came.size
    assert ((came >= 0) & (came < SCHEMA.size)).all()
