"""The last public bases, and the ways from one to the newest."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bases import FP32, TERNARY, commits

from fedtailor.protos.errors import PlanError
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.codec.broadcast import follow
from fedtailor.strategies.codec.public_base import PublicBase
from fedtailor.strategies.codec.ring import LONGEST, MARK_EVERY, extended

BASES = {spec.name: commits(20, spec) for spec in (FP32, TERNARY)}


def same(one: PublicBase, other: PublicBase) -> bool:
    """All that later messages and contexts build on."""
    marks = zip(one.marks, other.marks, strict=True)
    return (
        (one.version, one.hash, one.context_version) == (other.version, other.hash, other.context_version)
        and (one.steps == other.steps).all()
        and all(a.version == b.version and (a.steps == b.steps).all() for a, b in marks)
    )


@pytest.mark.parametrize("spec", [FP32, TERNARY], ids=lambda spec: spec.name)
@settings(max_examples=30)
@given(st.data())
def test_every_way_from_every_base_leads_to_the_same_bits_and_the_same_marks(spec, data):
    bases = BASES[spec.name]
    newest = data.draw(st.sampled_from(bases))
    held = data.draw(st.sampled_from([base for base in bases if base.version <= newest.version]))
    for way in newest.ring.ways(held.version).values():
        start = None if way.held_version is None else held.public
        assert same(follow(start, way, newest.public.schema, spec), newest.public)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_device_that_misses_rounds_and_comes_by_any_way_always_holds_the_server_s_base(gaps, random):
    bases, held, at = BASES["ternary"], None, 0
    for gap in gaps:
        at = min(at + gap, len(bases) - 1)
        ways = bases[at].ring.ways(held.version if held else None)
        way = random.choice(list(ways.values()))
        held = follow(held if way.held_version is not None else None, way, bases[at].public.schema, TERNARY)
        assert same(held, bases[at].public)


def test_the_cheapest_way_is_taken_and_a_chain_is_cheaper_than_a_snapshot():
    ring = BASES["ternary"][-1].ring
    for held in [base.version for base in BASES["ternary"]]:
        cheapest = min(len(to_bytes(way)) for way in ring.ways(held).values())
        assert len(to_bytes(ring.broadcast(held))) == cheapest
    sizes = {name: len(to_bytes(way)) for name, way in ring.ways(ring.newest.version - 16).items()}
    assert sizes["chain"] < sizes["snapshot"]


def test_who_holds_the_newest_base_is_sent_nothing():
    ring = BASES["fp32"][-1].ring
    assert ring.broadcast(ring.newest.version).hops == ()


@pytest.mark.parametrize("held", [None, 999, -1])
def test_who_holds_nothing_known_gets_a_snapshot(held):
    assert BASES["ternary"][-1].ring.broadcast(held).held_version is None


def test_after_the_last_link_a_snapshot_is_all_there_is():
    bases = commits(LONGEST + 2)
    assert len(bases[-1].ring.links) == LONGEST
    assert "chain" in bases[-1].ring.ways(2)
    assert list(bases[-1].ring.ways(1)) == ["snapshot"]


def test_abandoned_rounds_leave_gaps_between_versions_and_nothing_else():
    bases = commits(MARK_EVERY + 3, skipped=2)
    assert [base.version for base in bases[:3]] == [0, 3, 6]
    for base in bases:
        for way in bases[-1].ring.ways(base.version).values():
            start = None if way.held_version is None else base.public
            assert same(follow(start, way, base.public.schema, TERNARY), bases[-1].public)


def test_a_context_looks_back_over_a_window_that_both_sides_know():
    versions = [base.public.context_version for base in BASES["ternary"]]
    assert versions[: 2 * MARK_EVERY] == [0] * 2 * MARK_EVERY
    assert all(MARK_EVERY <= at - version < 2 * MARK_EVERY for at, version in list(enumerate(versions))[MARK_EVERY:])
    last = BASES["ternary"][-1].public
    earlier = BASES["ternary"][last.context_version].public
    np.testing.assert_array_equal(last.context.moved, last.steps - earlier.steps)


def test_what_a_broadcast_leaves_out_stays_private_and_is_said_later():
    base = BASES["ternary"][-1]
    rest = [np.abs(base.state[name] - value).max() for name, value in base.public.state.items()]
    assert max(rest) > 0
    ring = base.ring
    for number in range(40):
        ring = extended(ring, base.state, base.version + 1 + number, TERNARY, np.random.default_rng(0))
    later = [np.abs(base.state[name] - value).max() for name, value in ring.newest.state.items()]
    assert max(later) < max(rest) / 3


def test_fp32_makes_all_of_it_public_to_the_last_step():
    base = BASES["fp32"][-1]
    for name, value in base.public.state.items():
        np.testing.assert_allclose(value, base.state[name], atol=2.0**-24)


def test_an_unknown_codec_or_a_value_off_the_grid_is_a_plan_error():
    base = BASES["fp32"][-1]
    with pytest.raises(PlanError, match="codec zip 1 is not known here"):
        extended(base.ring, base.state, 99, replace(FP32, name="zip"), np.random.default_rng(0))
    far = {**base.state, "body.bias": np.full(40, 200.0, np.float32)}
    with pytest.raises(PlanError, match=r"layer 'body.bias': the value 200 lies outside"):
        extended(base.ring, far, 99, FP32, np.random.default_rng(0))
