"""What is taken out of a model and put back lies where it lay, and nothing else moves."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_exits import SMALL
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Submodel
from fedtailor.strategies.graph.realise import TRAINED, realise, trace_back
from fedtailor.strategies.models.model import MODELS, Model, initial_state
from fedtailor.strategies.submodel import part as parts
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.submodel.part import covered, extract, put_back


def numbers(net):
    return [getattr(layer, name) for layer in net.layers for name in TRAINED.get(type(layer), ())]


def trained(net, by):
    """The net after a training that changed every number by as much."""
    module = realise(net)
    for parameter in module.parameters():
        parameter.data += by
    return trace_back(module, net)


@st.composite
def submodels(draw):
    spec = SMALL[draw(st.sampled_from(sorted(SMALL)))]
    if draw(st.booleans()):
        return spec, Submodel(kind="depth", exit=draw(st.sampled_from(spec.exits)))
    share, offset = draw(st.floats(0.05, 1)), draw(st.integers(0, 200))
    return replace(spec, exits=()), Submodel(kind="width", share=share, offset=offset)


@given(case=submodels(), seed=st.integers(0, 9))
def test_taken_out_and_put_back_is_as_it_was(case, seed):
    spec, submodel = case
    part, state = part_of(spec, submodel), initial_state(spec, seed)
    again = put_back(part, extract(part, state), state)
    assert list(again) == list(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


@given(case=submodels())
def test_what_is_covered_moves_and_nothing_else(case):
    spec, submodel = case
    part, state = part_of(spec, submodel), initial_state(spec, 0)
    after = put_back(part, trained(extract(part, state), by=1.0), state)
    for name, kept in covered(part).items():
        assert np.array_equal(after[name][~kept], state[name][~kept])
        np.testing.assert_array_equal(after[name][kept], state[name][kept] + np.float32(1))


@given(case=submodels())
def test_a_part_has_each_covered_number_once(case):
    spec, submodel = case
    part = part_of(spec, submodel)
    sizes = sum(each.size for each in numbers(extract(part, initial_state(spec, 0))))
    assert sizes == sum(int(kept.sum()) for kept in covered(part).values())


@pytest.fixture
def registered(monkeypatch):
    def register(*layers):
        model = Model(
            name="own",
            version=1,
            suits=lambda kind, shape: True,
            layers=lambda spec: OrderedDict((f"layer{at}", layer) for at, layer in enumerate(layers)),
        )
        monkeypatch.setitem(MODELS, "own", model)
        return replace(SMALL["mlp"], name="own", exits=())

    return register


@pytest.mark.parametrize("case", ["shared", "without bias", "folded"])
def test_a_model_whose_layers_do_not_own_their_numbers_has_no_parts(registered, case):
    inner = nn.Linear(11, 11)
    layers = {
        "shared": (inner, nn.ReLU(), inner),
        "without bias": (nn.Linear(11, 8, bias=False), nn.ReLU(), nn.Linear(8, 11)),
        "folded": (nn.Linear(11, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 11)),
    }[case]
    spec = registered(*layers, nn.Linear(11, 4))
    with pytest.raises(PlanError, match="no part of this model can be trained: its layers share numbers"):
        part_of(spec, Submodel(kind="width", share=0.5))


def test_a_model_of_too_many_numbers_says_how_many_would_do(monkeypatch):
    monkeypatch.setattr(parts, "_MOST", 1000)
    with pytest.raises(PlanError, match="of less than 1000 parameters, this one has"):
        part_of(replace(SMALL["mlp"], version=1), Submodel(kind="width", share=0.31))
