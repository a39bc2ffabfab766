"""What server and devices hold alike, and the context that comes of it."""

import numpy as np
from small_bases import commits

from fedtailor.protos.schema import schema_of
from fedtailor.strategies.codec.public_base import first_public, hopped, shared_context
from fedtailor.strategies.codec.shared_only import shared_part

NEW = commits(6)[-1].public


def test_the_first_base_looks_back_to_itself_and_a_mark_pushes_the_older_one_out():
    base = first_public(NEW.schema, 0, NEW.steps)
    assert not base.context.moved.any()
    for version, marks in ((1, True), (2, False), (3, True), (4, False)):
        base = hopped(base, version, base.steps + np.int32(1), marks=marks)
    assert [mark.version for mark in base.marks] == [1, 3]
    assert (base.context_version, set(base.context.moved)) == (1, {3})


def test_bases_further_apart_than_int32_count_as_that_far_apart():
    low = np.full(NEW.schema.size, -(2**31), np.int32)
    base = hopped(first_public(NEW.schema, 0, low), 1, np.full_like(low, 2**31 - 1), marks=False)
    assert set(base.context.moved) == {2**31 - 1}


def test_what_is_local_is_not_part_of_the_context_of_an_update():
    shared = shared_context(NEW.context, ("body.bias",))
    assert shared.schema == schema_of(shared_part(NEW.state, ("body.bias",)))
    np.testing.assert_array_equal(shared.base, np.delete(NEW.steps, np.arange(2400, 2440)))
    np.testing.assert_array_equal(shared.moved, np.delete(NEW.context.moved, np.arange(2400, 2440)))
    assert shared_context(NEW.context, ()) is NEW.context
