"""Trimmed mean: a hostile minority moves no coordinate beyond what honest devices say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import RoundError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.merge.aggregate import AggregateSpec, aggregate_of

SIZE = 9_000  # more than two blocks
SCHEMA = Schema(("w",), ((SIZE,),))


def trimmed(values, masks=None, hostile=0.2, kappa=0.0):
    spec = AggregateSpec(name="trimmed-mean", version=1, args={"hostile": hostile})
    aggregate = aggregate_of(spec, Schema(("w",), (np.shape(values)[1:],)))
    for at, each in enumerate(np.asarray(values, np.float32)):
        aggregate.fold([each], 1.0, sender=f"device {at}", masks=None if masks is None else [np.asarray(masks[at])])
    return aggregate.mean(kappa)


@given(seed=st.integers(0, 2**32 - 1), replies=st.integers(5, 15), size=st.floats(-1e6, 1e6))
def test_whatever_a_hostile_fifth_says_the_mean_stays_among_what_the_honest_say(seed, replies, size):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(replies, 7))
    values[: replies // 5] = size * rng.choice([-1, 1], 7)
    mean, honest = trimmed(values).values, values[replies // 5 :].astype(np.float32)
    assert (mean >= honest.min(axis=0) - 1e-6).all()
    assert (mean <= honest.max(axis=0) + 1e-6).all()


def test_it_is_the_mean_of_what_lies_between_in_every_block():
    values = np.random.default_rng(0).normal(size=(10, SIZE)).astype(np.float32)
    np.testing.assert_allclose(trimmed(values).values, np.sort(values, axis=0)[2:8].mean(axis=0), atol=1e-6)


def test_only_devices_that_cover_a_coordinate_are_ranked_there():
    values = [[5, 1], [1, 2], [2, 3], [3, 9], [99, 0]]
    masks = [[True, False], [True, True], [True, True], [False, True], [True, False]]
    step = trimmed(values, masks)
    assert step.values.tolist() == [3.5, 3.0]
    assert trimmed(values, masks, kappa=1.0).values == pytest.approx([3.5 * 4 / 5, 3.0 * 3 / 5])


def test_where_too_few_cover_a_coordinate_it_stays():
    masks = [[True, True]] * 2 + [[True, False]] * 3
    step = trimmed([[1, 7]] * 5, masks)
    assert step.covered.tolist() == [True, False]
    assert step.values.tolist() == [1, 0]


def test_too_few_replies_are_one_line_that_says_how_many():
    with pytest.raises(RoundError, match="trimmed-mean: 2 replies came, at least 3 are needed to withstand 1 hostile"):
        trimmed([[1.0], [2.0]])


@pytest.mark.parametrize(("hostile", "replies", "trim"), [(0.0, 3, 0), (0.1, 30, 3), (0.2, 10, 2), (0.2, 11, 3)])
def test_the_share_is_rounded_up_to_whole_devices(hostile, replies, trim):
    values = np.zeros((replies, 1))
    values[: trim + 1] = 1
    assert trimmed(values, hostile=hostile).values[0] == pytest.approx(1 / (replies - 2 * trim))
