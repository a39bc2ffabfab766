"""What stays on the device, and what is sent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.codec.shared_only import shared_part, whole

NAMES = ("body.weight", "body.bias", "norm.mean", "head.weight")


def state(value: float) -> dict:
    return {name: np.full((2,), value, np.float32) for name in NAMES}


@given(local=st.sets(st.sampled_from(NAMES), max_size=3))
def test_the_whole_is_what_came_and_what_stayed_in_the_models_order(local):
    mine = whole(shared_part(state(2.0), sorted(local)), state(1.0))
    assert tuple(mine) == NAMES
    assert {name for name, values in mine.items() if values[0] == 1} == local


def test_without_local_parameters_everything_is_shared():
    assert list(shared_part(state(1.0), ())) == list(NAMES)


def test_the_shared_part_keeps_the_models_order():
    assert list(shared_part(state(1.0), ("body.bias", "norm.mean"))) == ["body.weight", "head.weight"]


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(PlanError, match=r"the model has no 'hed.weight'; it has body.weight, .*head.weight"):
        shared_part(state(1.0), ("head.weight", "hed.weight"))


def test_a_model_that_shares_nothing_is_refused():
    with pytest.raises(PlanError, match="nothing is left to share"):
        shared_part(state(1.0), NAMES)
