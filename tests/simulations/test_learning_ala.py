"""The mixture of a device's own last model and the base: weights between them, learned on its rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_fleets import learning_fleet

from fedtailor.client.train import loss_of_state
from fedtailor.simulations import learning_ala
from fedtailor.simulations.learning_ala import MOST, WEIGHTS, adapted
from fedtailor.simulations.learning_course import intake_of
from fedtailor.simulations.learning_outcome import OWN
from fedtailor.strategies.models.model import build, head_of, initial_state, load_state


@pytest.fixture(scope="module", params=["classification", "next-token"])
def case(request, tmp_path_factory):
    """A device's rows, its plan, and two models."""
    intake = intake_of(learning_fleet(tmp_path_factory.mktemp("rows"), request.param), 4, None, 0)
    plan = intake.plan("a")
    return intake.course.devices["a"], plan, *(initial_state(plan.model, seed) for seed in (0, 1))


def test_without_a_model_of_its_own_it_is_the_base(case):
    data, plan, base, _ = case
    state, weights = adapted(base, {}, data, plan, head_of(plan.model))
    assert state is base
    assert not weights


def test_mixed_layers_lie_between_the_two_models_and_the_others_are_the_base_s(case):
    data, plan, base, own = case
    mixed = head_of(plan.model)
    state, weights = adapted(base, {OWN: own, WEIGHTS: {}}, data, plan, mixed)
    assert set(weights) == set(mixed)
    for name in mixed:
        assert ((weights[name] >= 0) & (weights[name] <= 1)).all()
        assert np.allclose(state[name], own[name] + (base[name] - own[name]) * weights[name], atol=1e-6)
    assert all(np.array_equal(state[name], base[name]) for name in base if name not in mixed)
    assert any((weights[name] < 1).any() for name in mixed)


def test_the_weights_are_learned_on_the_device_s_rows(case):
    data, plan, base, own = case
    good = {**base, **{name: own[name] for name in head_of(plan.model)}}
    swapped = replace(data, train=replace(data.train, y=answers_of(good, plan, data.train.x)))
    state, _ = adapted(base, {OWN: own, WEIGHTS: {}}, swapped, plan, head_of(plan.model))
    assert loss_of_state(state, plan.model, swapped.train) < loss_of_state(base, plan.model, swapped.train)


def answers_of(state, plan, x):
    module = build(plan.model)
    load_state(module, state)
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy().argmax(-1).astype(np.int64)


def test_the_first_time_takes_as_many_epochs_as_it_needs_and_later_times_one(case, monkeypatch):
    data, plan, base, own = case
    steps = []
    step = learning_ala._Mixture.step
    monkeypatch.setattr(learning_ala._Mixture, "step", lambda self, x, y: steps.append(len(y)) or step(self, x, y))
    _, weights = adapted(base, {OWN: own, WEIGHTS: {}}, data, plan, head_of(plan.model))
    rows = round(0.8 * len(data.train))
    assert rows < sum(steps) <= MOST * rows
    steps.clear()
    adapted(base, {OWN: own, WEIGHTS: weights}, data, plan, head_of(plan.model))
    assert sum(steps) == rows
