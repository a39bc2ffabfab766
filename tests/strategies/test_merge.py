"""The streaming mean: DESIGN's formula, exactly, in one or two vectors of memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replies import SCHEMA, cohorts, fold_dense, fold_sparse

from fedtailor.protos.schema import Schema
from fedtailor.strategies.merge.merge import Merge
from fedtailor.strategies.merge.sparse import Sparse


def merged(cohort, fold=fold_dense):
    merge = Merge(SCHEMA)
    for said in cohort:
        fold(merge, said)
    return merge


def coverage(cohort):
    return sum((np.ones(SCHEMA.size) if said.mask is None else said.mask) * said.weight for said in cohort)


@given(cohort=cohorts())
def test_full_masks_give_the_weighted_mean_of_fedavg(cohort):
    step = merged(cohort).mean()
    total = sum(said.weight for said in cohort)
    mean = sum(said.flat.astype(np.float64) * said.weight for said in cohort) / total
    assert step.covered is None
    np.testing.assert_allclose(step.values, mean, rtol=1e-6, atol=2.0**-30)


@given(cohort=cohorts(masked=True), kappa=st.floats(0, 2))
def test_the_mean_is_the_coverage_normalised_formula(cohort, kappa):
    step, reached = merged(cohort).mean(kappa), coverage(cohort)
    share = np.minimum(1.0, reached / (kappa * sum(said.weight for said in cohort))) if kappa > 1e-6 else 1.0
    total = sum(said.flat.astype(np.float64) * said.weight for said in cohort)
    np.testing.assert_allclose(step.values, share * total / np.maximum(reached, 1e-9), rtol=1e-5, atol=2.0**-29)
    assert np.array_equal(step.covered, reached > 0)


@given(cohort=cohorts(masked=True), seed=st.integers(0, 1000), kappa=st.floats(0, 2))
def test_masks_of_all_kinds_in_any_order_and_form_give_the_same_bits(cohort, seed, kappa):
    rng = np.random.default_rng(seed)
    one, other = merged(cohort).mean(kappa), merged([cohort[at] for at in rng.permutation(len(cohort))], fold_sparse)
    assert one.values.tobytes() == other.mean(kappa).values.tobytes()
    assert np.array_equal(one.covered, other.mean(kappa).covered)


def test_absent_is_not_zero_and_not_shared_by_its_tensor():
    schema = Schema(("w", "b"), ((3, 4), (4,)))
    ones = [np.ones(shape, np.float32) for shape in schema.shapes]
    first_row = np.arange(3)[:, None] == 0
    merge = Merge(schema)
    merge.fold(ones, 1.0, sender="a", masks=[first_row, None])
    merge.fold(ones, 3.0, sender="b", masks=[np.zeros(1, bool), None])
    step = merge.mean()
    assert step.values.tolist() == [1.0] * 4 + [0.0] * 8 + [1.0] * 4
    assert step.covered.tolist() == [True] * 4 + [False] * 8 + [True] * 4


def test_what_lies_outside_a_mask_counts_for_nothing_not_even_in_the_norm():
    schema = Schema(("w",), ((2,),))
    merge = Merge(schema, max_norm=1.0)
    mask = np.array([True, False])
    merge.fold([np.array([1.0, 1000.0], np.float32)], 1.0, sender="a", masks=[mask])
    merge.fold_sparse(Sparse(np.array([0, 1]), np.array([1.0, 1000.0], np.float32)), 1.0, sender="b", mask=mask)
    assert merge.mean().values.tolist() == [1.0, 0.0]


def test_large_finite_values_are_not_taken_for_infinity():
    merge = Merge(Schema(("w",), ((4,),)))
    merge.fold([np.full(4, 1e30, np.float32)], 1.0, sender="a")
    assert merge.mean().values == pytest.approx([1e30] * 4)


@given(weights=st.lists(st.floats(2.0**-10, 1e6), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_weights_of_any_kind_add_up_to_the_same_total_in_any_order(weights, seed):
    merges = [Merge(SCHEMA), Merge(SCHEMA)]
    for merge, order in zip(
        merges, (range(len(weights)), np.random.default_rng(seed).permutation(len(weights))), strict=True
    ):
        for at in order:
            merge.fold_sparse(Sparse(np.zeros(0, np.int64), np.zeros(0, np.float32)), weights[at], sender="x")
    assert merges[0].weight == merges[1].weight == pytest.approx(sum(weights), rel=2.0**-10)


@settings(deadline=None, max_examples=20)
@given(size=st.integers(32_760, 80_000))
def test_chunks_join_without_a_seam(size):
    merge = Merge(Schema(("w",), ((size,),)))
    delta = np.arange(size, dtype=np.float32)
    mask = np.arange(size) % 3 > 0
    merge.fold([delta], 3.0, sender="x", masks=[mask])
    step = merge.mean()
    assert step.values.tolist() == (delta * mask).tolist()
    assert np.array_equal(step.covered, mask)


@pytest.mark.parametrize(("masked", "vectors"), [(False, 1.2), (True, 2.2)])
def test_memory_is_one_or_two_vectors_whatever_the_cohort(masked, vectors):
    size = 500_000
    delta, mask = [np.ones(size, np.float32)], [np.arange(size) % 2 == 0] if masked else None
    peaks = []
    for replies in (3, 20):
        tracemalloc.start()
        merge = Merge(Schema(("w",), ((size,),)))
        for _ in range(replies):
            merge.fold(delta, 1.0, sender="x", masks=mask)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < vectors * size * 8
    assert peaks[1] < 1.01 * peaks[0]


def test_a_sparse_reply_takes_memory_for_what_was_sent_alone():
    size, sent = 500_000, 1_000
    update = Sparse(np.arange(sent) * 400, np.ones(sent, np.float32))
    merge = Merge(Schema(("w",), ((size,),)))
    tracemalloc.start()
    merge.fold_sparse(update, 1.0, sender="x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * sent
