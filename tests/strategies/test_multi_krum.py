"""Multi-Krum: updates far from the others do not count; what cannot be compared is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import PlanError, RoundError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.merge.aggregate import AggregateSpec, aggregate_of
from fedtailor.strategies.merge.sparse import Sparse


def krum(values, masks=None):
    aggregate = aggregate_of(AggregateSpec(name="multi-krum", version=1), Schema(("w",), (np.shape(values)[1:],)))
    for at, each in enumerate(np.asarray(values, np.float32)):
        aggregate.fold([each], 7.0 * (at + 1), sender=f"device {at}", masks=None if masks is None else [masks[at]])
    return aggregate.mean()


@given(seed=st.integers(0, 2**32 - 1), together=st.booleans())
def test_a_hostile_fifth_far_away_has_no_say(seed, together):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(10, 40)).astype(np.float32)
    values[:2] = 50 + (0 if together else rng.normal(size=(2, 40)))
    chosen = krum(values).values
    assert np.abs(chosen).max() < 4
    np.testing.assert_allclose(krum(values * 0.5).values, chosen / 2, atol=1e-6)


def test_of_k_replies_with_f_hostile_the_k_minus_f_minus_2_with_the_nearest_neighbours_count_alike():
    values = [[0.1], [1.0], [2.0], [4.0], [100.0]]  # f = 1; to the two nearest: 4.42, 1.81, 4.61, 12.61, …
    assert krum(values).values[0] == pytest.approx((0.1 + 1.0) / 2)


def test_a_model_of_many_blocks_is_compared_whole():
    values = np.zeros((7, 9_000), np.float32)
    values[:, -1] = [0, 0.1, -0.1, 0.2, -0.2, 9, 9]
    assert abs(krum(values).values[-1]) < 0.3


def test_equal_masks_are_taken_and_others_refused_by_name():
    mask, other = np.array([True, False]), np.array([True, True])
    step = krum([[1.0, 5.0]] * 5, [mask] * 5)
    assert (step.values.tolist(), step.covered.tolist()) == ([1.0, 0.0], [True, False])
    line = "multi-krum compares whole updates, and device 4 covers other coordinates than device 0; use trimmed-mean"
    with pytest.raises(PlanError, match=line):
        krum([[1.0, 5.0]] * 5, [mask] * 4 + [other])


def test_a_mask_of_everything_is_no_mask():
    aggregate = aggregate_of(AggregateSpec(name="multi-krum", version=1), Schema(("w",), ((2,),)))
    for at in range(5):
        said = Sparse(np.array([1]), np.ones(1, np.float32))
        aggregate.fold_sparse(said, 1.0, sender=f"device {at}", mask=np.ones(2, np.bool_) if at % 2 else None)
    assert aggregate.mean().values.tolist() == [0.0, 1.0]


def test_too_few_replies_are_one_line_that_says_how_many():
    with pytest.raises(RoundError, match="multi-krum: 4 replies came, at least 5 are needed to withstand 1 hostile"):
        krum([[1.0]] * 4)
