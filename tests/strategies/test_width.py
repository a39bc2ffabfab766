"""Submodels by width: real narrower nets, whose window moves around all channels."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_exits import EXITED, rows_of
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.models.model import MODELS, Model, initial_state
from fedtailor.strategies.submodel.part import covered, extract
from fedtailor.strategies.submodel.width import width_part, window


@given(channels=st.integers(1, 80), share=st.floats(0.01, 1), offset=st.integers(0, 500))
def test_a_window_is_a_share_of_the_channels_in_a_row_around_the_end(channels, share, offset):
    kept = window(channels, share, offset)
    assert len(set(kept.tolist())) == len(kept) == max(1, round(share * channels))
    assert set(kept.tolist()) == {(offset + at) % channels for at in range(len(kept))}
    assert (np.diff(kept) > 0).all()


@given(channels=st.integers(1, 40), share=st.floats(0.01, 1))
def test_every_channel_has_its_turn(channels, share):
    assert set(np.concatenate([window(channels, share, at) for at in range(channels)])) == set(range(channels))


@pytest.mark.parametrize("name", EXITED)
def test_every_model_can_be_half_as_wide_and_still_answers(name):
    spec = replace(EXITED[name], exits=())
    state = initial_state(spec, 0)
    part = width_part(spec, 0.5, 3)
    outputs = realise(extract(part, state))(rows_of(spec))
    assert outputs.shape[-1] == spec.outputs
    assert torch.isfinite(outputs).all()
    share = sum(int(kept.sum()) for kept in covered(part).values()) / sum(value.size for value in state.values())
    assert share < 0.6


def test_all_channels_are_the_model_itself():
    spec = replace(EXITED["conv2d"], exits=())
    assert all(kept.all() for kept in covered(width_part(spec, 1.0, 7)).values())


def test_a_model_without_channels_to_remove_says_so_in_one_line(monkeypatch):
    layers = lambda spec: OrderedDict(head=nn.Linear(11, 4))  # noqa: E731
    monkeypatch.setitem(MODELS, "own", Model(name="own", version=1, suits=lambda kind, shape: True, layers=layers))
    with pytest.raises(PlanError, match="model 'own' cannot be made narrower: none of its channels can go") as error:
        width_part(replace(EXITED["mlp"], name="own", exits=()), 0.5, 0)
    assert "\n" not in str(error.value)
