"""Exits hang beside the main path, and change nothing of it."""

from dataclasses import replace

import pytest
import torch
from small_exits import EXITED, module_of, rows_of, with_all_exits

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.exits import Answers
from fedtailor.strategies.models.model import MODELS, build, initial_state, load_state, read_state


@pytest.mark.parametrize("name", EXITED)
def test_the_main_path_is_the_model_without_exits(name):
    spec = EXITED[name]
    bare = replace(spec, exits=())
    state = initial_state(spec, 3)
    plain = {key: value for key, value in state.items() if not key.startswith("exits.")}
    first = initial_state(bare, 3)
    assert list(plain) == list(first)
    assert list(state)[: len(plain)] == list(plain)
    assert all((plain[key] == first[key]).all() for key in plain)
    module, x = module_of(spec, state), rows_of(spec)
    with torch.no_grad():
        assert torch.equal(module(x), module_of(bare, plain)(x))
    assert len(module) == len(list(module)) == len(module_of(bare, plain))
    assert [layer.name for layer in trace(module, spec).layers] == [
        layer.name for layer in trace(module_of(bare, plain), bare).layers
    ]


@pytest.mark.parametrize("name", EXITED)
def test_the_numbers_of_exits_are_the_models_and_are_written_and_read(name):
    spec = EXITED[name]
    state, module = initial_state(spec, 1), build(spec)
    assert {key.split(".")[1] for key in state if key.startswith("exits.")} == set(spec.exits)
    load_state(module, state)
    assert all((value == state[key]).all() for key, value in read_state(module).items())


@pytest.mark.parametrize("name", EXITED)
def test_an_exit_answers_what_the_model_is_asked_and_the_end_answers_last(name):
    spec = EXITED[name]
    module, x = module_of(spec, initial_state(spec, 0)), rows_of(spec)
    with torch.no_grad():
        every, end = Answers(module, None)(x), module(x)
        assert every.shape == (*end.shape[:-1], (len(spec.exits) + 1) * spec.outputs)
        assert torch.equal(every[..., -spec.outputs :], end)
        for count, until in enumerate(spec.exits, 1):
            assert torch.equal(Answers(module, until)(x), every[..., : count * spec.outputs])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_registered_model_has_exits_that_fit_their_layers(name):
    model = MODELS[name]
    suited = next(spec for spec in EXITED.values() if model.suits(spec.kind, spec.input_shape))
    spec = with_all_exits(replace(suited, name=name, version=model.version, exits=()))
    assert spec.exits
    assert Answers(build(spec), None)(rows_of(spec)).shape[-1] == (len(spec.exits) + 1) * spec.outputs


def test_what_comes_after_the_exit_is_not_computed():
    spec = EXITED["conv2d"]
    names = {name.split(".")[1] for name, _ in Answers(build(spec), "pool1").named_parameters()}
    assert names == {"conv1", "pool1"}


def test_an_exit_that_the_model_has_not_is_refused_with_those_it_has():
    with pytest.raises(PlanError, match=r"model 'conv2d' has no exit after relu3; it has pool1, pool2"):
        build(replace(EXITED["conv2d"], exits=("relu3",)))
