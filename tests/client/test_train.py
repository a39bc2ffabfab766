"""Training on a device."""

from dataclasses import replace

import numpy as np
import pytest
from small_devices import SPEC, rows

from fedtailor.client.train import cosine, loss_of_state, score_state, train
from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Footprint, TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import state_hash
from fedtailor.strategies.models.model import initial_state

PLAN = TrainPlan(epochs=6, batch_size=16, learning_rate=0.1)
START = initial_state(SPEC, seed=0)


def test_it_learns_and_leaves_the_start_alone():
    before = state_hash(START)
    trained = train(START, rows(400, 1), SPEC, PLAN, seed=3)
    assert score_state(trained.state, SPEC, rows(200, 2)) > 0.85 > score_state(START, SPEC, rows(200, 2))
    assert state_hash(START) == before
    assert trained.cpu_s > 0


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not():
    states = [train(START, rows(50, 1), SPEC, PLAN, seed=seed).state for seed in (3, 3, 4)]
    assert state_hash(states[0]) == state_hash(states[1]) != state_hash(states[2])


def test_no_epochs_change_nothing():
    assert state_hash(train(START, rows(50, 1), SPEC, replace(PLAN, epochs=0), seed=3).state) == state_hash(START)


def test_clipping_bounds_each_step():
    plan = replace(PLAN, epochs=1, batch_size=200, momentum=0.0, clip_norm=0.01)
    moved = train(START, rows(200, 1), SPEC, plan, seed=3).state
    norm = np.sqrt(sum(float(((moved[name] - START[name]) ** 2).sum()) for name in START))
    assert norm == pytest.approx(0.1 * 0.01, rel=1e-2)


def test_without_rows_scores_and_losses_are_zero():
    empty = Samples(np.zeros((0, 6), np.float32), np.zeros(0, np.int64))
    assert score_state(START, SPEC, empty) == loss_of_state(START, SPEC, empty) == 0.0


def test_a_cosine_starts_whole_and_ends_at_nothing():
    assert (cosine(0.0), cosine(0.5)) == (1.0, pytest.approx(0.5))
    assert cosine(1.0) == pytest.approx(0.0, abs=1e-12)


def test_the_schedule_scales_every_step():
    still = train(START, rows(50, 1), SPEC, PLAN, seed=3, schedule=lambda done: 0.0).state
    assert state_hash(still) == state_hash(START)
    seen = []
    train(START, rows(50, 1), SPEC, replace(PLAN, epochs=2), seed=3, schedule=lambda done: seen.append(done) or 1.0)
    assert seen == [step / 8 for step in range(8)]


def test_the_loss_is_the_mean_of_the_last_epoch():
    frozen = replace(PLAN, learning_rate=1e-9, batch_size=25)
    loss = train(START, rows(50, 1), SPEC, frozen, seed=3).loss
    assert loss == pytest.approx(loss_of_state(START, SPEC, rows(50, 1)), rel=1e-4)


def test_gradients_summed_over_few_rows_are_those_of_the_batch():
    whole, few = (
        train(START, rows(100, 1), SPEC, replace(PLAN, epochs=2, footprint=Footprint(micro_batch=size)), seed=3)
        for size in (0, 5)
    )
    assert few.loss == pytest.approx(whole.loss, rel=1e-5)
    for name in START:
        np.testing.assert_allclose(few.state[name], whole.state[name], rtol=1e-4, atol=1e-6)


def test_recomputed_activations_train_the_same():
    held, again = (
        train(START, rows(100, 1), SPEC, replace(PLAN, epochs=2, footprint=Footprint(checkpoints=number)), seed=3).state
        for number in (0, 3)
    )
    for name in START:
        np.testing.assert_allclose(again[name], held[name], rtol=1e-5, atol=1e-7)


def test_bfloat16_stays_finite_and_learns():
    trained = train(START, rows(400, 1), SPEC, replace(PLAN, footprint=Footprint(precision="bf16")), seed=3)
    assert all(np.isfinite(value).all() for value in trained.state.values())
    assert score_state(trained.state, SPEC, rows(200, 2)) > 0.85


def test_an_unknown_precision_is_refused():
    with pytest.raises(PlanError, match="got 'int4'"):
        train(START, rows(50, 1), SPEC, replace(PLAN, footprint=Footprint(precision="int4")), seed=3)
