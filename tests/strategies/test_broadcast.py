"""What a device makes of a broadcast, and what it refuses."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bases import FP32, TERNARY, commits

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Broadcast, Hop
from fedtailor.protos.schema import Schema
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.codec.broadcast import follow, snapshot
from fedtailor.strategies.codec.exact import write_exact

BASES = commits(6)
OLD, NEW = BASES[3].public, BASES[-1].public
SCHEMA = NEW.schema
WAYS = BASES[-1].ring.ways(OLD.version)


def refused(broadcast, line, start=OLD):
    with pytest.raises(DecodeError, match=line):
        follow(start, broadcast, SCHEMA, TERNARY)


def test_a_snapshot_of_what_a_device_holds_brings_it_back_bit_for_bit():
    back = follow(None, snapshot(NEW), SCHEMA, TERNARY)
    assert (back.hash, back.context_version) == (NEW.hash, NEW.context_version)
    np.testing.assert_array_equal(back.context.moved, NEW.context.moved)


def test_another_model_is_refused():
    other = Schema(("w",), ((SCHEMA.size,),))
    with pytest.raises(DecodeError, match=r"server, base 6: schema \w{8} came, expected \w{8}; models differ"):
        follow(None, snapshot(NEW), other, TERNARY)


@pytest.mark.parametrize("way", WAYS)
def test_a_base_that_is_not_the_one_it_says_is_refused(way):
    refused(replace(WAYS[way], base_hash="0" * 16), "server, base 6: expected hash 0{16}, what came leads to base 6")
    refused(replace(WAYS[way], base_version=7), "server, base 7: .* what came leads to base 6 with hash")


def test_a_chain_from_another_base_than_it_was_made_for_is_refused():
    refused(WAYS["chain"], "server, base 6: ", start=BASES[2].public)
    refused(WAYS["merged"], "server, base 6: ", start=BASES[2].public)


def test_a_chain_from_nothing_is_refused():
    refused(
        WAYS["chain"], "an encoded delta came where no base was before it; this device needs a snapshot", start=None
    )
    refused(replace(WAYS["chain"], hops=()), "what came leads to nothing", start=None)


def test_an_unknown_downlink_codec_is_a_plan_error():
    with pytest.raises(PlanError, match="codec zip 1 is not known here"):
        follow(OLD, WAYS["chain"], SCHEMA, replace(TERNARY, name="zip"))


def test_a_step_off_the_grid_is_refused():
    far = Hop(
        version=6, marks=False, exact=True, scales=(), payload=write_exact(np.full(SCHEMA.size, 2**32 - 1), SCHEMA)
    )
    refused(replace(WAYS["merged"], hops=(far,)), "a value outside the grid of int32 came")
    huge = np.full(SCHEMA.size, 500.0, "<f4").tobytes()
    hop = Hop(version=6, marks=False, exact=False, scales=(), payload=huge)
    with pytest.raises(DecodeError, match=r"layer 'body\.weight': the value"):
        follow(OLD, replace(WAYS["chain"], hops=(hop,)), SCHEMA, FP32)


@pytest.mark.parametrize("scales", [(1.0,), (float("nan"),)])
def test_scales_that_the_codec_does_not_have_are_refused(scales):
    hop = replace(WAYS["chain"].hops[0], scales=scales)
    refused(replace(WAYS["chain"], hops=(hop,)), "1 scales came, expected 0")


@settings(max_examples=200)
@given(st.sampled_from(sorted(WAYS)), st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_broadcast_is_one_exception_type_or_the_very_base(way, at, flip):
    data = bytearray(to_bytes(WAYS[way]))
    data[at % len(data)] ^= flip
    with contextlib.suppress(DecodeError):
        broadcast = from_bytes(Broadcast, bytes(data), sender="server")
        base = follow(OLD if broadcast.held_version is not None else None, broadcast, SCHEMA, TERNARY)
        assert (base.version, base.hash) == (broadcast.base_version, broadcast.base_hash)
