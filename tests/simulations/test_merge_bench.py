"""The merge bench: what it folds is whole, what it tells is of this run, and memory does not grow with the cohort."""

import numpy as np

from fedtailor.simulations.codec_speed import network_schema
from fedtailor.simulations.merge_bench import TURN, bench_merge, made_up_reply


def test_made_up_replies_are_of_the_size_and_density_asked_for():
    schema = network_schema(5_000)
    reply = made_up_reply(schema, 0.02, np.random.default_rng(0))
    assert tuple(tensor.shape for tensor in reply.tensors) == schema.shapes
    assert tuple(mask.shape for mask in reply.masks) == schema.shapes
    assert reply.sparse.positions.size == reply.sparse.values.size == 100
    assert (np.diff(reply.sparse.positions) > 0).all()


def test_figures_are_of_one_run_and_memory_is_flat_in_the_cohort():
    told = []
    found = bench_merge(100_000, 2 * TURN, 0.01, 3, lambda *said: told.append(said[1:3]))
    assert told == [(TURN, 2 * TURN), (2 * TURN, 2 * TURN)]
    assert (found.parameters, found.replies, found.density, found.seed) == (100_000, 2 * TURN, 0.01, 3)
    assert found.dense_over_read == found.dense_ms / found.read_ms
    assert found.dense_over_read_float32 == found.dense_ms / found.read_float32_ms
    assert found.masked_over_dense == found.masked_ms / found.dense_ms
    assert found.sparse_over_dense == found.dense_ms / found.sparse_ms
    vector = 8 * found.parameters
    assert found.peak_bytes < 4 * vector
    assert found.peak_bytes < 1.05 * found.peak_bytes_small_cohort
    assert found.peak_bytes < found.peak_bytes_masked < 6 * vector
