from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch
from small_nets import SPECS
from torch import nn

from fedtailor.client.train import train
from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import CLASSIFICATION, KINDS, NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import (
    MODELS,
    Model,
    build,
    choose_model,
    initial_state,
    load_state,
    model_named,
    read_state,
)

PICTURE = ModelSpec(
    name="resnet",
    version=1,
    kind=CLASSIFICATION,
    input_shape=(16, 16, 1),
    outputs=4,
    feature_means=(0.0,),
    feature_scales=(1.0,),
)
TOKENS = ModelSpec(name="transformer", version=1, kind=NEXT_TOKEN, input_shape=(24,), outputs=9)
ALL = SPECS | {"resnet": PICTURE, "transformer": TOKENS}
JOB = TrainPlan(epochs=1, batch_size=16, learning_rate=0.05, momentum=0.9, clip_norm=2.0)


def _samples(spec, count=160):
    """Stripes whose direction and width is their class; or symbols that repeat after three."""
    rng = np.random.default_rng(0)
    if spec.kind == NEXT_TOKEN:
        text = np.tile(rng.integers(0, spec.outputs, (count, 3)), (1, 9))
        return Samples(text[:, :24], text[:, 1:25])
    y = rng.integers(0, 4, count)
    stripes = np.sign(
        np.sin(np.arange(16.0)[None, :] * np.where(y % 2, 0.8, 2.0)[:, None] + rng.uniform(0, 6, (count, 1)))
    )
    pictures = np.where((y < 2)[:, None, None], stripes[:, :, None], stripes[:, None, :]) * np.ones((1, 16, 16))
    noisy = pictures + 0.3 * rng.normal(size=pictures.shape)
    return Samples(noisy[..., None].astype(np.float32), y)


@pytest.mark.parametrize("name", ALL)
def test_a_state_written_into_a_module_is_read_back(name):
    state = initial_state(ALL[name], 3)
    module = build(ALL[name])
    load_state(module, state)
    assert all(np.array_equal(value, state[key]) for key, value in read_state(module).items())
    assert set(state) == set(module.state_dict())  # parameters are all there is to send


@pytest.mark.parametrize("name", ALL)
def test_equal_seeds_give_equal_bits_and_others_do_not(name):
    one, same, other = (initial_state(ALL[name], seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert any(not np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8,), (40, 6), (28, 28, 1), (48, 48, 3)])
def test_models_that_are_asked_for_by_name_are_never_chosen(kind, shape):
    try:
        chosen = choose_model(kind, shape).name
    except PlanError:
        chosen = None
    assert chosen not in {"resnet", "transformer"}


def test_they_suit_what_they_are_for():
    assert model_named("resnet").suits(CLASSIFICATION, (48, 48, 3))
    assert model_named("resnet").suits(REGRESSION, (48, 48, 3))
    assert not model_named("resnet").suits(CLASSIFICATION, (40, 6))
    assert model_named("transformer").suits(NEXT_TOKEN, (80,))
    assert not model_named("transformer").suits(CLASSIFICATION, (80,))


@pytest.mark.parametrize(
    ("spec", "least", "most"), [(PICTURE, 1.0e6, 1.15e6), (TOKENS, 55e3, 75e3)], ids=["resnet", "transformer"]
)
def test_their_size_is_what_they_say(spec, least, most):
    assert least <= sum(value.size for value in initial_state(spec, 0).values()) <= most


@pytest.mark.parametrize("spec", [PICTURE, TOKENS], ids=["resnet", "transformer"])
def test_residual_branches_start_at_zero(spec):
    state = initial_state(spec, 0)
    zero = {key for key, value in state.items() if key.endswith("weight") and not value.any()}
    branches = {key.split(".")[0] for key in state if ".branch." in key}
    assert {key.split(".")[0] for key in zero} == branches
    assert len(zero) == len(branches)


@pytest.mark.parametrize("spec", [PICTURE, TOKENS], ids=["resnet", "transformer"])
def test_the_jobs_own_settings_train_them_steadily(spec):
    state, samples, losses = initial_state(spec, 0), _samples(spec), []
    for epoch in range(4):
        trained = train(state, samples, spec, JOB, seed=epoch)
        state = trained.state
        losses.append(trained.loss)
    assert all(after < before for before, after in pairwise(losses))
    assert losses[0] < 2 * log(spec.outputs)
    assert losses[-1] < 0.6 * log(spec.outputs)


def test_a_transformer_does_not_look_ahead():
    module = build(TOKENS).eval()
    load_state(module, {key: value + 0.05 for key, value in initial_state(TOKENS, 0).items()})
    tokens = torch.from_numpy(_samples(TOKENS, 2).x)
    changed = tokens.clone()
    changed[:, 15:] = (changed[:, 15:] + 1) % TOKENS.outputs
    with torch.no_grad():
        before, after = module(tokens), module(changed)
    torch.testing.assert_close(before[:, :15], after[:, :15])
    assert not torch.allclose(before[:, 15:], after[:, 15:])


@pytest.mark.parametrize("spec", [PICTURE, TOKENS], ids=["resnet", "transformer"])
def test_their_nets_compute_the_same(spec):
    module = build(spec).eval()
    load_state(module, {key: value + 0.01 for key, value in initial_state(spec, 0).items()})
    x = torch.from_numpy(_samples(spec, 5).x)
    with torch.no_grad():
        torch.testing.assert_close(realise(trace(module, spec))(x), module(x))


def test_a_users_own_module_keeps_the_numbers_it_was_made_with(monkeypatch):
    def layers(spec):
        own = nn.Sequential(nn.Flatten(), nn.Linear(256, spec.outputs))
        nn.init.constant_(own[1].weight, 0.25)
        return OrderedDict(user=own)

    model = Model(name="own", version=1, suits=lambda kind, shape: True, layers=layers)
    monkeypatch.setitem(MODELS, "own", model)
    state = initial_state(replace(PICTURE, name="own"), 0)
    assert (state["user.1.weight"] == 0.25).all()
