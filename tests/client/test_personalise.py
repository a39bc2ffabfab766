"""The personal model, and the guard that keeps the base where fine-tuning does not help."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_devices import SPEC, device, plan, public_base, rows

from fedtailor.client.personalise import chosen, personalise
from fedtailor.client.train import loss_of_state, score_state, train
from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State, state_hash
from fedtailor.strategies.label_prior import FleetLabels, label_prior


def trained_base() -> State:
    start = public_base().state
    return train(start, rows(400, 9), SPEC, TrainPlan(epochs=8, batch_size=16, learning_rate=0.1), seed=1).state


@pytest.mark.parametrize("method", ["finetune", "ditto", "head"])
def test_a_device_whose_labels_differ_gets_a_better_model(method, tmp_path):
    base, mine = trained_base(), device(tmp_path, shift=1)
    personal = personalise(base, mine.data, plan(method=method))
    assert personal.method == method
    assert personal.validation_score > personal.base_validation_score + 0.2
    assert score_state(personal.state, SPEC, mine.data.test) > score_state(base, SPEC, mine.data.test) + 0.2


def test_a_personal_head_leaves_the_body_alone(tmp_path):
    base = trained_base()
    personal = personalise(base, device(tmp_path, shift=1).data, plan(method="head"))
    changed = {name for name, value in personal.state.items() if not np.array_equal(value, base[name])}
    assert changed == {"head.weight", "head.bias"}


def test_ditto_stays_nearer_to_the_base_than_fine_tuning(tmp_path):
    base, data = trained_base(), device(tmp_path, shift=1).data

    def distance(method: str) -> float:
        state = personalise(base, data, plan(method=method)).state
        return sum(float(((state[name] - base[name]) ** 2).sum()) for name in base)

    assert distance("ditto") < distance("finetune")


def test_a_model_that_training_rows_lead_astray_is_not_used(tmp_path):
    base, mine = trained_base(), device(tmp_path)
    misled = replace(mine.data, train=rows(96, 1, shift=1))
    personal = personalise(base, misled, plan())
    assert personal.method == "shared"
    assert state_hash(personal.state) == state_hash(base)


def test_few_rows_do_not_choose_among_many_points():
    flat = np.full(8, 1.0)
    near = [flat, flat, flat - 0.01, flat - 0.1, flat - 0.1 + np.resize([1.0, -1.001], 8), flat]
    assert chosen(near) == 3
    clearly = [flat, flat, flat, flat - 0.1, flat - 0.2, flat]
    assert chosen(clearly) == 4


def test_what_loses_more_than_the_base_is_never_chosen():
    base = np.full(8, 1.0)
    assert chosen([base, *[base + 0.1] * 5]) == 0
    assert chosen([base, *[base * np.nan] * 5]) == 0


def of_class(samples: Samples, label: int) -> Samples:
    return Samples(samples.x[samples.y == label], samples.y[samples.y == label])


def test_a_device_that_knows_its_labels_starts_from_there(tmp_path):
    base, mine = public_base().state, device(tmp_path).data
    own = replace(mine, train=of_class(mine.train, 0), validation=of_class(mine.validation, 0))
    prior = label_prior((96, 0, 0), FleetLabels((50, 50, 50), 0.5))
    asked = replace(plan(learning_rate=1e-9), label_prior=prior)
    assert score_state(personalise(base, own, asked).state, SPEC, own.validation) == 1
    assert score_state(base, SPEC, own.validation) < 1


@pytest.mark.parametrize("rates", [0.001, 0.05, 0.5])
def test_the_validation_loss_never_grows(rates, tmp_path):
    base, data = trained_base(), device(tmp_path).data
    personal = personalise(base, data, plan(learning_rate=rates))
    assert loss_of_state(personal.state, SPEC, data.validation) <= loss_of_state(base, SPEC, data.validation)


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_without_rows_to_train_on_or_judge_by_the_base_is_shared(missing, tmp_path):
    base, mine = trained_base(), device(tmp_path, shift=1, **{missing: 0})
    assert personalise(base, mine.data, plan()).method == "shared"


def test_little_data_calibrates_the_base_and_trains_nothing(tmp_path):
    base, mine = public_base().state, device(tmp_path).data
    own = replace(mine, train=of_class(mine.train, 0), validation=of_class(mine.validation, 0))
    asked = replace(plan(method="prior"), label_prior=label_prior((20, 0, 0), FleetLabels((50, 50, 50), 0.5)))
    personal = personalise(base, own, asked)
    changed = {name for name, value in personal.state.items() if not np.array_equal(value, base[name])}
    assert (personal.method, changed) == ("prior", {"head.bias"})
    assert personalise(base, own, plan(method="prior")).method == "shared"
    misled = replace(own, validation=of_class(mine.validation, 1))
    assert personalise(base, misled, asked).method == "shared"


def test_an_unknown_method_names_the_known_ones(tmp_path):
    with pytest.raises(PlanError, match=r"'magic' is not known here; known: shared, prior, finetune, ditto, head"):
        personalise(trained_base(), device(tmp_path).data, plan(method="magic"))


def test_a_personal_head_holds_nothing_of_the_layers_below_for_its_backward_pass(tmp_path):
    def held_bytes(method):
        held = []

        def note(tensor):
            held.append(tensor.untyped_storage().nbytes())
            return tensor

        asked = plan(method=method)
        once = replace(asked, personal=replace(asked.personal, epochs=1))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            personalise(public_base().state, device(tmp_path).data, once)
        return sum(held)

    assert held_bytes("head") < 0.3 * held_bytes("finetune")
