"""What holds for every way to combine replies: registering one tries it here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replies import SCHEMA, cohorts, fold_dense, fold_sparse

import fedtailor.strategies.merge as _merge  # noqa: F401 - registers them
from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.strategies.codec.flat import unflatten
from fedtailor.strategies.merge.aggregate import AGGREGATES, AggregateSpec, aggregate_of
from fedtailor.strategies.merge.sparse import Sparse

every = pytest.mark.parametrize("name", AGGREGATES)
COHORT = {"least": 7, "most": 10}  # enough to withstand two hostile replies


def empty(name, **how):
    return aggregate_of(AggregateSpec(name=name, version=AGGREGATES[name].version), SCHEMA, **how)


def combined(name, cohort, fold=fold_dense, **how):
    aggregate = empty(name, **how)
    for said in cohort:
        fold(aggregate, said)
    assert aggregate.folded == len(cohort)
    return aggregate.mean()


def same_bits(one, other):
    covers = [np.ones(SCHEMA.size, np.bool_) if step.covered is None else step.covered for step in (one, other)]
    return one.values.tobytes() == other.values.tobytes() and np.array_equal(*covers)


def masked_alike(cohort, masked, rng):
    """The same replies, all over one mask, which every aggregate can take."""
    mask = rng.random(SCHEMA.size) < 0.5
    return [type(said)(said.sender, said.update, said.weight, mask) for said in cohort] if masked else cohort


@every
@given(cohort=cohorts(**COHORT), seed=st.integers(0, 1000), masked=st.booleans(), max_norm=st.sampled_from([0.0, 0.5]))
def test_any_order_of_arrival_gives_the_same_bits(name, cohort, seed, masked, max_norm):
    rng = np.random.default_rng(seed)
    cohort = masked_alike(cohort, masked, rng)
    shuffled = [cohort[at] for at in rng.permutation(len(cohort))]
    assert same_bits(combined(name, cohort, max_norm=max_norm), combined(name, shuffled, max_norm=max_norm))


@every
@given(cohort=cohorts(**COHORT), seed=st.integers(0, 1000), masked=st.booleans(), max_norm=st.sampled_from([0.0, 0.5]))
def test_sparse_and_dense_replies_give_the_same_bits(name, cohort, seed, masked, max_norm):
    cohort = masked_alike(cohort, masked, np.random.default_rng(seed))
    mixed = [fold_sparse if at % 2 else fold_dense for at in range(len(cohort))]
    steps = [combined(name, cohort, fold, max_norm=max_norm) for fold in (fold_dense, fold_sparse)]
    aggregate = empty(name, max_norm=max_norm)
    for said, fold in zip(cohort, mixed, strict=True):
        fold(aggregate, said)
    assert same_bits(*steps)
    assert same_bits(steps[0], aggregate.mean())


@every
@given(cohort=cohorts(most=1), times=st.integers(7, 10))
def test_replies_that_agree_come_to_what_they_say(name, cohort, times):
    np.testing.assert_allclose(combined(name, cohort * times).values, cohort[0].flat, rtol=1e-6, atol=2.0**-30)


@every
@given(cohort=cohorts(**COHORT), kappa=st.floats(0, 2), seed=st.integers(0, 1000))
def test_what_nobody_covers_has_no_value_and_is_not_covered(name, cohort, kappa, seed):
    cohort = masked_alike(cohort, True, np.random.default_rng(seed))
    aggregate = empty(name)
    for said in cohort:
        fold_sparse(aggregate, said)
    step = aggregate.mean(kappa)
    covered = np.ones(SCHEMA.size, np.bool_) if step.covered is None else step.covered
    assert np.array_equal(covered, cohort[0].mask)
    assert not step.values[~covered].any()


@every
def test_without_a_reply_nothing_is_covered(name):
    step = empty(name).mean()
    assert step.covered is not None
    assert not step.covered.any()
    assert not step.values.any()


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_and_change_nothing(name, bad):
    tensors = unflatten(np.arange(SCHEMA.size, dtype=np.float32), SCHEMA)
    spoiled = [tensors[0], tensors[1], np.array([0, 0, bad, 0], np.float32)]
    aggregate, untouched = empty(name), empty(name)
    for each in (aggregate, untouched):
        for at in range(5):
            each.fold(tensors, 2.0, sender=f"device {at}")
    with pytest.raises(DecodeError, match=r"^device b, round 3: layer 'b' of the update holds NaN or infinity.*$"):
        aggregate.fold(spoiled, 9.0, sender="device b, round 3")
    with pytest.raises(DecodeError, match=r"^device b, round 3: the update holds NaN or infinity.*$"):
        aggregate.fold_sparse(Sparse(np.array([3]), np.array([bad], np.float32)), 9.0, sender="device b, round 3")
    assert same_bits(aggregate.mean(), untouched.mean())


@every
@pytest.mark.parametrize("positions", [[-1, 2], [2, 16], [2, 2], [3, 2]])
def test_positions_that_are_no_ascending_coordinates_are_refused(name, positions):
    with pytest.raises(DecodeError, match="device a: positions are expected to ascend from 0 to 15"):
        empty(name).fold_sparse(Sparse(np.array(positions), np.ones(2, np.float32)), 1.0, sender="device a")


@every
def test_sizes_that_do_not_fit_name_sender_expected_and_got(name):
    with pytest.raises(DecodeError, match=r"device a: the update has shapes \[\(4,\)\], the base has \[\(3, 4\)"):
        empty(name).fold([np.zeros(4, np.float32)], 1.0, sender="device a")
    with pytest.raises(DecodeError, match=r"device a: 2 positions and 1 values came"):
        empty(name).fold_sparse(Sparse(np.array([0, 1]), np.ones(1, np.float32)), 1.0, sender="device a")
    one = Sparse(np.array([0]), np.ones(1, np.float32))
    with pytest.raises(DecodeError, match="device a: the mask covers 3 coordinates, the base has 16"):
        empty(name).fold_sparse(one, 1.0, sender="device a", mask=np.ones(3, np.bool_))


@every
@pytest.mark.parametrize("weight", [0.0009, 0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_too_small_is_refused(name, weight):
    with pytest.raises(ValueError, match=r"a weight must be at least 0\.00097"):
        empty(name).fold_sparse(Sparse(np.zeros(0, np.int64), np.zeros(0, np.float32)), weight, sender="x")


@every
@given(cohort=cohorts(most=1), limit=st.floats(0.01, 50))
def test_an_update_counts_for_no_more_than_the_norm_limit(name, cohort, limit):
    step = combined(name, cohort * 5, max_norm=limit)
    norm = float(np.linalg.norm(cohort[0].flat.astype(np.float64)))
    assert np.linalg.norm(step.values) == pytest.approx(min(norm, limit), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            AggregateSpec(name="median", version=1),
            "aggregate median 1 is not known here; known: mean 1, multi-krum 1, trimmed-mean 1",
        ),
        (AggregateSpec(name="mean", version=2), "aggregate mean 2 is not known here; known: mean 1"),
        (AggregateSpec(name="mean", version=1, args={"b": 1}), "mean 1: unknown parameter b; it takes none"),
        (
            AggregateSpec(name="trimmed-mean", version=1, args={"hostile": 0.5}),
            "trimmed-mean 1: hostile must be at least 0 and below 0.5 of the replies, got 0.5",
        ),
        (AggregateSpec(name="multi-krum", version=1, args={"hostile": float("nan")}), "multi-krum 1: hostile must"),
    ],
)
def test_what_is_not_known_is_one_line_that_names_what_is(spec, line):
    with pytest.raises(PlanError, match=line):
        aggregate_of(spec, SCHEMA)
