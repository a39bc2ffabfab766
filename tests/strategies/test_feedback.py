"""Two-phase error feedback: no mass is lost, none is counted twice."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.feedback import (
    Pending,
    acknowledged_mask,
    ahead,
    await_fate,
    carry,
    masked,
    pending_from_bytes,
    pending_to_bytes,
    settle,
)

SCHEMA = Schema(("w", "b"), ((4, 3), (4,)))
FULL = np.ones(SCHEMA.size, np.bool_)


def deltas(rng: np.random.Generator) -> list:
    return [rng.normal(size=shape).astype(np.float32) for shape in SCHEMA.shapes]


def total_of(tensors) -> np.ndarray:
    return np.concatenate([np.ravel(each) for each in tensors]).astype(np.float64)


def half_said(total, rng) -> list:
    """A coarse codec: half of the coordinates, in half precision."""
    return [(each * (rng.random(each.shape) < 0.5)).astype(np.float16).astype(np.float32) for each in total]


@dataclass(frozen=True)
class Round:
    """What becomes of one upload, how often the device is asked for it, and whether its mask changes before."""

    merged: bool
    asked: int
    new_mask: bool


rounds = st.lists(st.builds(Round, merged=st.booleans(), asked=st.integers(1, 3), new_mask=st.booleans()), max_size=12)


class Fleet:
    """One device and its server; `meant` is what training moved, less what a change of mask gave up."""

    def __init__(self, seed: int, step_ahead: float) -> None:
        self.seed, self.step_ahead, self.kept = seed, step_ahead, FULL
        self.pending: Pending | None = None
        self.acknowledged = 0
        self.meant, self.said = np.zeros(SCHEMA.size), np.zeros(SCHEMA.size)

    def play(self, number: int, fate: Round) -> None:
        rng = np.random.default_rng((self.seed, number))
        if fate.new_mask:
            self.kept = rng.random(SCHEMA.size) < 0.7
        for _ in range(fate.asked):
            settled = settle(self.pending, number, self.acknowledged, SCHEMA)
            carried = masked(settled, self.kept)
            self.meant -= total_of(settled) - total_of(carried)
            update, heard = self.learn(number, carried)
        self.meant += total_of(update)
        if fate.merged:
            self.said += total_of(heard)
            self.acknowledged = number

    def learn(self, number: int, carried) -> tuple[list, list]:
        rng = np.random.default_rng((self.seed, number, 1))
        base = dict(zip(SCHEMA.names, deltas(rng), strict=True))
        start = ahead(base, carried, self.step_ahead)
        goal = deltas(rng)  # training goes half of the way from wherever it starts
        update = masked([(end - start[name]) / 2 for name, end in zip(SCHEMA.names, goal, strict=True)], self.kept)
        total = carry(update, carried)
        heard = half_said(total, rng)
        state = await_fate(number, carried, total, heard, kept=self.kept)
        self.pending = pending_from_bytes(pending_to_bytes(state))
        return list(update), heard


@given(seed=st.integers(0, 99), step_ahead=st.sampled_from([0.0, 0.5, 1.0]), fates=rounds)
def test_what_was_said_and_what_is_carried_is_what_was_meant(seed, step_ahead, fates):
    fleet = Fleet(seed, step_ahead)
    for number, fate in enumerate(fates, start=1):
        fleet.play(number, fate)
    left = settle(fleet.pending, len(fates) + 1, fleet.acknowledged, SCHEMA)
    np.testing.assert_allclose(fleet.said + total_of(left), fleet.meant, atol=1e-4)


@given(seed=st.integers(0, 99), fates=rounds)
def test_nothing_is_carried_or_said_outside_the_mask(seed, fates):
    fleet = Fleet(seed, 0.5)
    for number, fate in enumerate(fates, start=1):
        before = fleet.said.copy()
        fleet.play(number, fate)
        assert not (fleet.said - before)[~fleet.kept].any()
        assert not total_of(settle(fleet.pending, number + 1, fleet.acknowledged, SCHEMA))[~fleet.kept].any()


def test_without_a_step_ahead_training_starts_at_the_base():
    rng = np.random.default_rng(0)
    base = dict(zip(SCHEMA.names, deltas(rng), strict=True))
    start = ahead(base, deltas(rng), 0.0)
    assert list(start) == list(base)
    assert all(start[name].tobytes() == base[name].tobytes() for name in base)


def test_a_step_ahead_is_a_share_of_the_residual_in_float32():
    start = ahead({"w": np.array([1, 2], np.float32)}, [np.array([4, -4], np.float32)], 0.25)
    assert start["w"].tolist() == [2.0, 1.0]
    assert start["w"].dtype == np.float32


def test_a_mask_change_forgets_only_what_is_dropped():
    residual = [np.full(shape, 3, np.float32) for shape in SCHEMA.shapes]
    kept = np.arange(SCHEMA.size) % 2 == 0
    assert total_of(masked(residual, kept)).tolist() == [3.0, 0.0] * (SCHEMA.size // 2)
    assert total_of(masked(residual, None)).tolist() == [3.0] * SCHEMA.size


def test_the_server_knows_the_mask_of_an_upload_that_was_merged_and_no_other():
    zeros = settle(None, 1, 0, SCHEMA)
    pending = pending_from_bytes(pending_to_bytes(await_fate(3, zeros, zeros, zeros, kept=FULL)))
    assert np.array_equal(acknowledged_mask(pending, 3), FULL)
    assert acknowledged_mask(pending, 2) is None
    assert acknowledged_mask(await_fate(3, zeros, zeros, zeros), 3) is None
    assert acknowledged_mask(None, 0) is None


def test_a_new_device_carries_nothing():
    assert all(not each.any() for each in settle(None, 1, 0, SCHEMA))


def test_a_round_asked_for_twice_starts_from_the_same_residual():
    zeros, ones = settle(None, 1, 0, SCHEMA), tuple(np.ones(shape, np.float32) for shape in SCHEMA.shapes)
    pending = await_fate(3, ones, carry(ones, ones), zeros)
    for mine, carried in zip(settle(pending, 3, 2, SCHEMA), ones, strict=True):
        np.testing.assert_array_equal(mine, carried)


def test_a_changed_model_drops_the_residual():
    ones = (np.ones(2, np.float32),)
    residual = settle(Pending(1, ones, ones, ones), 2, 1, SCHEMA)
    assert [each.shape for each in residual] == list(SCHEMA.shapes)
    assert all(not each.any() for each in residual)


def test_a_residual_of_a_round_still_to_come_is_another_jobs_and_dropped():
    ones = tuple(np.ones(shape, np.float32) for shape in SCHEMA.shapes)
    pending = Pending(40, ones, ones, ones)
    assert all(not each.any() for each in settle(pending, 1, 0, SCHEMA))
    assert all(each.all() for each in settle(pending, 41, 0, SCHEMA))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_unreadable_bytes_say_what_happens_next(data):
    with pytest.raises(DecodeError, match="starts again from zero"):
        pending_from_bytes(data)
