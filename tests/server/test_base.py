"""What the registry keeps of a base, and the base that comes of it."""

from dataclasses import replace

import numpy as np
import pytest
from small_bases import FP32, TERNARY, a_state, commits

from fedtailor.protos.checkpoint import Checkpoint
from fedtailor.protos.errors import PlanError, RegistryError
from fedtailor.protos.schema import Schema
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.server.base import base_from, checkpoint_of, first_base, next_base
from fedtailor.strategies.codec.ring import LONGEST

BASES = commits(11)
SCHEMA = BASES[0].public.schema
KEPT = [from_bytes(Checkpoint, to_bytes(checkpoint_of(base)), sender="test") for base in BASES]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_a_base_taken_up_again_goes_on_as_if_nothing_had_been(count):
    want = BASES[count - 1]
    got = base_from(KEPT[:count], SCHEMA, sender="test")
    assert to_bytes(checkpoint_of(got)) == to_bytes(checkpoint_of(want))
    for held in (None, *range(count)):
        assert got.ring.broadcast(held) == want.ring.broadcast(held)
    one, other = (next_base(base, a_state(), 99, TERNARY, (0, 1)) for base in (got, want))
    assert to_bytes(checkpoint_of(one)) == to_bytes(checkpoint_of(other))
    assert [moment.tobytes() for moment in got.moments] == [moment.tobytes() for moment in want.moments]


def test_more_commits_than_a_ring_holds_leave_the_last_ones():
    bases = commits(LONGEST + 3)
    got = base_from([checkpoint_of(base) for base in bases[-LONGEST - 1 :]], SCHEMA, sender="test")
    for held in (2, 3, LONGEST):
        assert got.ring.broadcast(held) == bases[-1].ring.broadcast(held)
    assert got.public.context_version == bases[-1].public.context_version


def test_the_first_base_is_public_to_the_last_bit():
    base = first_base(a_state())
    for name, value in base.public.state.items():
        np.testing.assert_array_equal(value, base.state[name])
        np.testing.assert_allclose(value, a_state()[name], atol=2.0**-25)


def test_a_checkpoint_of_another_model_or_with_other_values_is_refused():
    with pytest.raises(RegistryError, match=r"test: base 0 has .* bytes, the model has 3 parameters"):
        base_from(KEPT[:1], Schema(("w",), ((3,),)), sender="test")
    with pytest.raises(RegistryError, match="test: base 1 has no broadcast"):
        base_from([KEPT[0], replace(KEPT[1], hop=None)], SCHEMA, sender="test")
    with pytest.raises(RegistryError, match=f"test: base 1 has hash {KEPT[1].base_hash}, expected {'0' * 16}"):
        base_from([KEPT[0], replace(KEPT[1], base_hash="0" * 16)], SCHEMA, sender="test")


def test_a_base_that_leaves_the_grid_is_a_plan_error():
    with pytest.raises(PlanError, match=r"layer 'body.bias': the value -300 lies outside"):
        next_base(BASES[0], {**a_state(), "body.bias": np.full(40, -300.0, np.float32)}, 1, FP32, (0, 1))
