from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_devices import SPEC, rows
from small_optimised import plan_of
from torch import nn

from fedtailor.protos.budget import Budget
from fedtailor.protos.plan import PersonalPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.simulations.personal_model import personal_model
from fedtailor.simulations.user_model import PREFIX
from fedtailor.strategies.models.model import MODELS, Model, register
from fedtailor.strategies.task import TASKS

OWN = "tests:normed"
DATA = DeviceData("till-1", SPEC.kind, SPEC.outputs, rows(65, 1, shift=1), rows(30, 2, shift=1), rows(0, 3))
BASE_ROWS = rows(129, 0)  # of a batch size of 32, and of 16: the last row is a batch by itself


@pytest.fixture(autouse=True)
def own():
    """A model with statistics and chance inside, as a user's may have them."""

    def layers(_):
        parts = (nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        return OrderedDict({PREFIX: nn.Sequential(*parts)})

    register(Model(name=OWN, version=1, suits=lambda *_: True, layers=layers))
    yield
    del MODELS[OWN]


def made(name, method="finetune", seed=0, told=lambda *_: None):
    plan = plan_of(Budget())
    personal = PersonalPlan(method=method, epochs=4, batch_size=16, learning_rate=0.05)
    plan = replace(plan, seed=seed, model=replace(SPEC, name=name), personal=personal)
    return personal_model(BASE_ROWS, DATA, plan, epochs=3, progress=told)


def answers(module, x=DATA.validation.x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", ["mlp", OWN])
def test_fine_tuning_follows_the_devices_own_rows(name):
    found = made(name)
    score = TASKS[SPEC.kind].score(answers(found.module), DATA.validation.y)
    assert found.method == "finetune"
    assert found.base_score < 0.5 < score  # its classes have other names than the base's


@pytest.mark.parametrize("name", ["mlp", OWN])
def test_a_shared_model_stays_the_base(name):
    found = made(name, method="shared")
    assert found.method == "shared"
    assert TASKS[SPEC.kind].score(answers(found.module), DATA.validation.y) == found.base_score


@pytest.mark.parametrize("name", ["mlp", OWN])
def test_equal_seeds_give_equal_models_and_leave_torchs_own_randomness_alone(name):
    before = torch.get_rng_state()
    first, second, other = made(name), made(name), made(name, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(answers(first.module), answers(second.module))
    assert not np.array_equal(answers(first.module), answers(other.module))


def test_statistics_are_learned_and_what_comes_back_no_longer_moves():
    module = made(OWN).module
    statistics = {key: value for key, value in module.state_dict().items() if "running" in key}
    assert all(not torch.equal(value, torch.zeros(16)) for value in statistics.values())
    np.testing.assert_array_equal(answers(module), answers(module))


def test_every_step_of_the_base_is_told():
    heard = []
    made(OWN, told=lambda stage, done, total, _: heard.append((stage, done, total)))
    base = [entry[1:] for entry in heard if entry[0] == "train a base"]
    assert base == [(step, 12) for step in range(1, 13)]
    assert heard[-1] == ("fine-tune", 1, 1)


def test_one_row_too_many_is_left_out_of_a_batch_by_itself():
    alone = Samples(DATA.train.x[:17], DATA.train.y[:17])
    plan = replace(plan_of(Budget()), model=replace(SPEC, name=OWN))
    plan = replace(plan, personal=PersonalPlan(method="finetune", epochs=1, batch_size=16, learning_rate=0.05))
    found = personal_model(BASE_ROWS, replace(DATA, train=alone), plan, epochs=1, progress=lambda *_: None)
    assert np.isfinite(answers(found.module)).all()
