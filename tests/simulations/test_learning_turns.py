"""What each method trains in a round, and what never leaves the device."""

from dataclasses import replace

import numpy as np
import pytest
from learning_fleets import learning_fleet

from fedtailor.protos.schema import schema_of
from fedtailor.simulations import learning_training
from fedtailor.simulations.federation import Federation, Turn
from fedtailor.simulations.learning_course import intake_of
from fedtailor.simulations.learning_outcome import LOCAL, OWN
from fedtailor.simulations.learning_training import FP32, ditto, plainly
from fedtailor.simulations.learning_turns import DITTO, FEDALA, FEDBABU, FEDPER, FEDREP, PROXIMAL, fitted
from fedtailor.strategies.models.model import head_of, initial_state

HEAD = ("head.weight", "head.bias")


@pytest.fixture(scope="module")
def intake(tmp_path_factory):
    return intake_of(learning_fleet(tmp_path_factory.mktemp("rows")), 4, None, 0)


@pytest.fixture(scope="module")
def first(intake):
    """The first turn of a device."""
    (plan, *_) = intake.course.plans(1).values()
    start = initial_state(plan.model, 0)
    return Turn(start=start, data=intake.course.devices[plan.device_id], plan=plan, kept={})


def moved(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("learner", [FEDREP, FEDPER, FEDBABU])
def test_heads_never_leave_their_device(intake, learner):
    federation = Federation(intake.course, FP32, learner)
    sent = federation.round()
    shared = schema_of({name: value for name, value in federation.state.items() if name not in HEAD})
    assert federation.schema == shared
    assert all(tuple(tensor.shape for tensor in each.total) == shared.shapes for each in sent)
    assert not moved({name: federation.state[name] for name in HEAD}, initial_state(intake.course.template.model, 0))


def test_the_head_is_the_model_s_last_layer(first):
    assert head_of(first.plan.model) == HEAD


def test_only_what_is_asked_for_is_trained(first):
    assert moved(first.start, fitted(first.start, first.data, first.plan, only=HEAD)) == set(HEAD)


@pytest.mark.parametrize("learner", [FEDREP, FEDPER])
def test_a_turn_begins_with_the_head_that_the_last_one_left(first, learner):
    taken = learner.turn(first)
    assert moved(first.start, taken.state) == set(first.start)
    assert not moved(taken.kept[LOCAL], taken.state)
    again = learner.turn(replace(first, kept=taken.kept))
    assert moved(taken.kept[LOCAL], again.kept[LOCAL]) == set(HEAD)


def test_fedrep_trains_the_body_under_a_head_that_is_trained_already(first):
    later = replace(first, kept=FEDREP.turn(first).kept)
    no_epochs = replace(later.plan, train=replace(later.plan.train, epochs=0))
    head_alone = FEDREP.turn(replace(later, plan=no_epochs)).state
    assert moved(later.start, head_alone) == set(HEAD)
    assert not moved({name: head_alone[name] for name in HEAD}, FEDREP.turn(later).state)


def test_fedbabu_never_trains_a_head(first):
    taken = FEDBABU.turn(first)
    assert moved(first.start, taken.state) == set(first.start) - set(HEAD)
    assert not taken.kept


def distance(one, other):
    return sum(float(np.square(one[name] - other[name]).sum()) for name in one)


def test_ditto_draws_its_own_models_to_the_base_and_keeps_them_going(first):
    plan = replace(first.plan, train=replace(first.plan.train, epochs=10))
    taken = DITTO.turn(replace(first, plan=plan))
    low, high = (taken.kept[str(proximal)] for proximal in PROXIMAL)
    assert distance(high, first.start) < distance(low, first.start) < distance(taken.state, first.start)
    again = DITTO.turn(replace(first, plan=plan, kept=taken.kept))
    assert not moved(taken.state, again.state)
    assert moved(low, again.kept[str(PROXIMAL[0])])


def test_ditto_takes_the_proximal_weight_that_loses_least_on_validation_rows(intake, monkeypatch):
    tried = plainly(DITTO)(intake)
    monkeypatch.setattr(learning_training, "plainly", lambda _: lambda _: tried)
    for wanted in map(str, PROXIMAL):
        best = {id(kept[wanted]) for kept in tried.kept.values()}
        monkeypatch.setattr(
            learning_training, "loss_of_state", lambda state, *_, best=best: float(id(state) not in best)
        )
        assert {id(kept[OWN]) for kept in ditto(intake).kept.values()} == best


def test_fedala_sends_what_it_trained_from_the_mixture(first):
    taken = FEDALA.turn(first)
    assert not moved(taken.state, taken.kept[OWN])
    elsewhere = {name: value + np.float32(0.1) for name, value in first.start.items()}
    again = FEDALA.turn(replace(first, start=elsewhere, kept=taken.kept))
    assert moved(taken.state, again.state) == set(first.start)


def test_private_parts_are_averaged_by_rows_for_newcomers(intake):
    outcome = plainly(FEDPER)(intake)
    heads = [kept[LOCAL]["head.bias"] for kept in outcome.kept.values()]
    assert np.allclose(outcome.shared["head.bias"], np.mean(heads, 0), atol=1e-6)  # all have as many rows
    assert moved({"head.bias": heads[0]}, outcome.shared)
