"""The dyadic grid of the public base."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.grid import moved_steps, rest_of, state_of_steps, steps_hash, steps_of

SCHEMA = Schema(("w", "b"), ((2, 3), (2,)))
INT32 = st.integers(-(2**31), 2**31 - 1)


def states(limit=127.0):
    inside = st.floats(-limit, limit, width=32)
    return st.tuples(arrays(np.float32, (2, 3), elements=inside), arrays(np.float32, 2, elements=inside)).map(
        lambda parts: dict(zip(SCHEMA.names, parts, strict=True))
    )


@given(states())
def test_the_grid_is_within_half_a_step(state):
    steps = steps_of(state)
    assert steps.dtype == np.int32
    exact = np.concatenate([value.ravel() for value in state.values()]).astype(np.float64)
    assert np.abs(steps * 2.0**-24 - exact).max() <= 2.0**-25


@given(arrays(np.int32, 8, elements=INT32))
def test_a_state_of_the_grid_is_the_nearest_float32_and_below_one_comes_back(steps):
    state = state_of_steps(steps, SCHEMA)
    assert [value.shape for value in state.values()] == [(2, 3), (2,)]
    flat = np.concatenate([value.ravel() for value in state.values()])
    assert (flat == (steps * 2.0**-24).astype(np.float32)).all()
    small = np.abs(steps.astype(np.int64)) <= 2**24
    back = np.rint(flat.astype(np.float64) * 2**24)
    assert (back[small] == steps[small]).all()


@given(states(60.0), states(60.0))
def test_what_is_not_public_leads_to_the_private_state(public, private):
    steps = steps_of(public)
    reached = moved_steps(steps, rest_of(private, steps), SCHEMA)
    want = np.concatenate([value.ravel() for value in private.values()]).astype(np.float64)
    rest = want - steps * 2.0**-24  # travels as float32
    assert (np.abs(reached * 2.0**-24 - want) <= 2.0**-25 + np.abs(rest) * 2.0**-24).all()


@pytest.mark.parametrize("value", [128.0, -129.0, np.inf, -np.inf, np.nan])
def test_a_value_outside_the_grid_is_named_with_its_layer(value):
    state = {"w": np.ones((2, 3), np.float32), "b": np.array([0.0, value], np.float32)}
    with pytest.raises(PlanError, match=rf"layer 'b': the value {value:g} lies outside the public base's -128 to 128"):
        steps_of(state)


def test_the_limits_of_the_grid_are_those_of_int32():
    state = {"w": np.array([-128.0, np.nextafter(np.float32(128), np.float32(0))], np.float32)}
    assert steps_of(state).tolist() == [-(2**31), 2**31 - 128]


def test_a_hash_is_what_it_always_was_and_sees_every_step_and_the_schema():
    steps = np.arange(8, dtype=np.int32)
    assert steps_hash(steps, SCHEMA) == "49dc062c2d232c65"
    assert steps_hash(steps.astype(">i4"), SCHEMA) == steps_hash(steps, SCHEMA)
    assert steps_hash(steps + np.int32(1), SCHEMA) != steps_hash(steps, SCHEMA)
    assert steps_hash(steps, Schema(("w",), ((8,),))) != steps_hash(steps, SCHEMA)
