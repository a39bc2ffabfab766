import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.merge import Merge

SCHEMA = Schema(("w", "b"), ((3, 4), (4,)))


@st.composite
def cohorts(draw, masked=False):
    """A base, and a list of (deltas, weight, masks) whose values spread over six orders of magnitude."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def values():
        return [(rng.normal(size=s) * 10.0 ** rng.uniform(-5, 1)).astype(np.float32) for s in SCHEMA.shapes]

    def masks():
        share = rng.choice([0.0, 0.2, 0.8, 1.0])
        return [rng.random(s) < share for s in SCHEMA.shapes] if masked else None

    replies = [(values(), float(rng.integers(1, 1000)), masks()) for _ in range(draw(st.integers(1, 6)))]
    return dict(zip(SCHEMA.names, values(), strict=True)), replies


def merged(base, cohort, max_norm=0.0, **how):
    merge = Merge(SCHEMA, max_norm=max_norm)
    for deltas, weight, masks in cohort:
        merge.fold(deltas, weight, sender="device", masks=masks)
    return merge.commit(base, **how)


@given(case=cohorts())
def test_full_masks_give_the_weighted_mean_of_fedavg(case):
    base, cohort = case
    total = sum(weight for _, weight, _ in cohort)
    for index, (name, value) in enumerate(merged(base, cohort).items()):
        mean = sum(deltas[index].astype(np.float64) * weight for deltas, weight, _ in cohort) / total
        np.testing.assert_allclose(value, base[name] + mean, rtol=1e-6, atol=1e-6)


@given(case=cohorts(masked=True), seed=st.integers(0, 1000))
def test_any_order_of_arrival_gives_the_same_bits(case, seed):
    base, cohort = case
    shuffled = [cohort[i] for i in np.random.default_rng(seed).permutation(len(cohort))]
    one, other = merged(base, cohort), merged(base, shuffled)
    assert all(one[name].tobytes() == other[name].tobytes() for name in base)


@given(case=cohorts(masked=True), kappa=st.floats(0, 1), rate=st.floats(0.1, 2))
def test_the_merge_is_the_coverage_normalised_formula(case, kappa, rate):
    base, cohort = case
    weight = sum(weight for _, weight, _ in cohort)
    for index, (name, value) in enumerate(merged(base, cohort, learning_rate=rate, kappa=kappa).items()):
        covered = sum(masks[index] * weight for _, weight, masks in cohort)
        moved = sum((masks[index] * deltas[index]).astype(np.float64) * weight for deltas, weight, masks in cohort)
        share = np.minimum(1.0, covered / (kappa * weight)) if kappa > 1e-6 else 1.0
        want = base[name] + rate * share * moved / np.maximum(covered, 1)
        np.testing.assert_allclose(value, want, rtol=1e-6, atol=1e-6)


@given(case=cohorts(masked=True))
def test_a_coordinate_nobody_covers_keeps_its_bits(case):
    base, cohort = case
    for index, (name, value) in enumerate(merged(base, cohort).items()):
        absent = ~np.logical_or.reduce([masks[index] for _, _, masks in cohort])
        assert value[absent].tobytes() == base[name][absent].tobytes()


def test_absent_is_not_zero_and_not_shared_by_its_tensor():
    base = {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4, np.float32)}
    ones = [np.ones(shape, np.float32) for shape in SCHEMA.shapes]
    first_row = np.arange(3)[:, None] == 0
    new = merged(base, [(ones, 1.0, [first_row, None]), (ones, 3.0, [np.zeros(1, bool), None])])
    assert new["w"][0].tolist() == [1.0] * 4
    assert new["w"][1:].tolist() == [[0.0] * 4] * 2
    assert new["b"].tolist() == [1.0] * 4


def test_nothing_folded_leaves_the_base():
    base = {"w": np.full((3, 4), 0.1, np.float32), "b": np.full(4, -0.0, np.float32)}
    new = Merge(SCHEMA).commit(base)
    assert all(new[name].tobytes() == base[name].tobytes() for name in base)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_in_one_line_and_leave_the_sums(bad):
    base = {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4, np.float32)}
    good = [np.ones(shape, np.float32) for shape in SCHEMA.shapes]
    merge = Merge(SCHEMA)
    merge.fold(good, 2.0, sender="device a")
    spoiled = [good[0], np.array([0, 0, bad, 0], np.float32)]
    with pytest.raises(DecodeError, match=r"^device b, round 3: layer 'b' of the update holds NaN or infinity.*$"):
        merge.fold(spoiled, 9.0, sender="device b, round 3")
    assert (merge.weight, merge.folded) == (2.0, 1)
    assert merge.commit(base)["w"].tolist() == np.ones((3, 4)).tolist()


def test_large_finite_values_are_not_taken_for_infinity():
    base = {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4, np.float32)}
    large = [np.full(shape, 1e30, np.float32) for shape in SCHEMA.shapes]
    assert merged(base, [(large, 1.0, None)])["b"][0] == np.float32(1e30)


def test_a_wrong_shape_names_sender_expected_and_got():
    with pytest.raises(DecodeError, match=r"device a: the update has shapes \[\(4,\), \(4,\)\], the base has"):
        Merge(SCHEMA).fold([np.zeros(4, np.float32)] * 2, 1.0, sender="device a")


@pytest.mark.parametrize("weight", [0.5, 0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_below_one_is_refused(weight):
    with pytest.raises(ValueError, match="weight must be at least 1"):
        Merge(SCHEMA).fold([np.zeros(shape, np.float32) for shape in SCHEMA.shapes], weight, sender="x")


@given(case=cohorts(), limit=st.floats(0.01, 50))
def test_no_update_moves_the_base_further_than_the_norm_limit(case, limit):
    base = {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4, np.float32)}
    for reply in case[1]:
        new = merged(base, [reply], max_norm=limit)
        norm = np.sqrt(sum(float((d.astype(np.float64) ** 2).sum()) for d in reply[0]))
        moved = np.sqrt(sum(float((v.astype(np.float64) ** 2).sum()) for v in new.values()))
        assert moved == pytest.approx(min(norm, limit), rel=1e-5, abs=1e-6)


@settings(deadline=None)
@given(size=st.integers(16_380, 40_000))
def test_chunks_join_without_a_seam(size):
    schema = Schema(("w",), ((size,),))
    merge = Merge(schema)
    delta = np.arange(size, dtype=np.float32)
    merge.fold([delta], 3.0, sender="x")
    assert merge.commit({"w": np.zeros(size, np.float32)})["w"].tolist() == delta.tolist()


def test_memory_is_one_accumulator_whatever_the_cohort():
    size = 500_000
    delta = [np.ones(size, np.float32)]
    tracemalloc.start()
    merge = Merge(Schema(("w",), ((size,),)))
    for _ in range(20):
        merge.fold(delta, 1.0, sender="x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * size * 8


def test_momentum_carries_the_last_change_on_but_moves_no_absent_coordinate():
    schema = Schema(("w",), ((3,),))
    merge = Merge(schema)
    delta, mask = np.array([1.0, 1.0, 1.0], np.float32), np.array([True, True, False])
    merge.fold([delta], 1.0, sender="a", masks=[mask])
    base = {"w": np.array([2.0, 2.0, 2.0], np.float32)}
    previous = {"w": np.array([1.0, 2.0, 1.0], np.float32)}
    merged = merge.commit(base, momentum=0.5, previous=previous)
    np.testing.assert_array_equal(merged["w"], np.array([3.5, 3.0, 2.0], np.float32))


def test_without_an_earlier_base_momentum_changes_nothing():
    schema = Schema(("w",), ((2,),))
    merge = Merge(schema)
    merge.fold([np.ones(2, np.float32)], 1.0, sender="a")
    base = {"w": np.zeros(2, np.float32)}
    np.testing.assert_array_equal(merge.commit(base, momentum=0.9)["w"], merge.commit(base)["w"])
