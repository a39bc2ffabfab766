"""Buckets: a permutation that both sides know, by what moved, and the same on every platform."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.buckets import SMALL, lay_out, most_buckets
from fedtailor.strategies.codec.context import Context, blank
from fedtailor.strategies.codec.integer_hash import integer_hash

SCHEMA = Schema(("conv.weight", "conv.bias", "embed", "flat"), ((40, 30, 3, 3), (40,), (50, 60), (3000,)))
EXTREMES = np.array([-(2**31), 2**31 - 1, 0, 1, -1], np.int32)


def moved_by(seed, share=0.3):
    words = integer_hash(seed, SCHEMA.size)
    sizes = (words >> np.uint64(40)).astype(np.int64) - (1 << 23) >> (words % np.uint64(20)).astype(np.int64)
    return np.where(integer_hash(seed + 1, SCHEMA.size) % np.uint64(100) < share * 100, sizes, 0).astype(np.int32)


def buckets_of(buckets):
    return [buckets.order[begin:end] for begin, end in zip(buckets.bounds[:-1], buckets.bounds[1:], strict=True)]


@given(seed=st.integers(0, 50), share=st.sampled_from([0.0, 0.001, 0.3, 1.0]))
def test_every_coordinate_has_one_place(seed, share):
    buckets = lay_out(SCHEMA, moved_by(seed, share))
    assert (buckets.place[buckets.order] == np.arange(SCHEMA.size)).all()
    assert buckets.bounds[0] == 0
    assert buckets.bounds[-1] == SCHEMA.size
    assert (buckets.sizes > 0).all()
    assert len(buckets.sizes) <= most_buckets(SCHEMA)
    assert all((np.diff(bucket) > 0).all() for bucket in buckets_of(buckets))


def test_small_tensors_share_a_bucket_and_large_ones_share_none():
    ends = np.cumsum(SCHEMA.sizes)
    for bucket in buckets_of(lay_out(SCHEMA, moved_by(3))):
        tensors = set(np.searchsorted(ends, bucket, side="right").tolist())
        assert len(tensors) == 1
        assert all(SCHEMA.sizes[tensor] > SMALL for tensor in tensors) or tensors == {1}


def test_where_row_and_column_moved_most_is_the_last_bucket():
    moved = np.zeros((40, 30, 3, 3), np.int32)
    moved[:4], moved[:, :3] = 100, 100
    last = buckets_of(lay_out(Schema(("conv.weight",), (moved.shape,)), moved.ravel()))[-1]
    rows, columns, *_ = np.unravel_index(last, moved.shape)
    assert set(rows.tolist()) == {0, 1, 2, 3}
    assert set(columns.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_moved_alike_a_tensor_is_one_bucket(share):
    moved = np.full(SCHEMA.size, int(7 * share), np.int32)
    assert len(lay_out(SCHEMA, moved).sizes) == 4


def test_the_largest_steps_do_not_overflow():
    moved = np.resize(EXTREMES, SCHEMA.size)
    assert len(lay_out(SCHEMA, moved).sizes) <= most_buckets(SCHEMA)
    alone = lay_out(SCHEMA, np.full(SCHEMA.size, -(2**31), np.int32))
    assert len(alone.sizes) == 4


def test_a_schema_of_nothing_has_no_bucket():
    assert blank(Schema((), ())).buckets.sizes.size == 0


def test_a_context_derives_its_buckets_once():
    context = Context(SCHEMA, np.zeros(SCHEMA.size, np.int32), moved_by(1))
    assert context.buckets is context.buckets


def test_the_order_is_the_same_as_ever():
    order = lay_out(SCHEMA, moved_by(7)).order.astype("<i4").tobytes()
    assert hashlib.sha256(order).hexdigest()[:16] == "a38dd7032080b4fc"
