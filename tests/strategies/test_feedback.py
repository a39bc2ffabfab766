"""Two-phase error feedback: no mass is lost, none is counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedtailor.strategies.codec as _codecs  # noqa: F401 - registers them
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import CODECS
from fedtailor.strategies.codec.feedback import Pending, await_fate, carry, pending_from_bytes, pending_to_bytes, settle

SCHEMA = Schema(("w", "b"), ((4, 3), (4,)))


def deltas(rng: np.random.Generator) -> list:
    return [rng.normal(size=shape).astype(np.float32) for shape in SCHEMA.shapes]


@given(seed=st.integers(0, 99), merged=st.lists(st.booleans(), min_size=1, max_size=12))
def test_what_was_trained_is_what_was_merged_plus_what_is_carried(seed, merged):
    rng, codec = np.random.default_rng(seed), CODECS["int4"]
    trained = [np.zeros(shape) for shape in SCHEMA.shapes]
    at_server = [np.zeros(shape) for shape in SCHEMA.shapes]
    pending, acknowledged = None, 0
    for round_, arrives in enumerate(merged, start=1):
        delta = deltas(rng)
        carried = settle(pending, round_, acknowledged, SCHEMA)
        total = carry(delta, carried)
        decoded = codec.decode(codec.encode(total, rng), SCHEMA)
        pending = pending_from_bytes(pending_to_bytes(await_fate(round_, carried, total, decoded)))
        trained = [a + b for a, b in zip(trained, delta, strict=True)]
        if arrives:
            at_server = [a + b for a, b in zip(at_server, decoded, strict=True)]
            acknowledged = round_
    left = settle(pending, len(merged) + 1, acknowledged, SCHEMA)
    for want, got, rest in zip(trained, at_server, left, strict=True):
        np.testing.assert_allclose(got + rest, want, atol=1e-4)


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
