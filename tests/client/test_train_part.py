"""Training of a part: as much as the plan asks, and nothing else moves."""

from dataclasses import replace

import numpy as np
import pytest
from small_devices import SPEC, plan, rows

from fedtailor.client.train import train
from fedtailor.client.train_part import train_part
from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Footprint, Submodel
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.submodel.part import covered

EXITED = replace(SPEC, exits=("relu1",))
ROWS = rows(96, 1)
DEPTH = replace(plan(), model=EXITED, submodel=Submodel(kind="depth", exit="relu1"))
WIDTH = replace(plan(), submodel=Submodel(kind="width", share=0.5, offset=5))


def test_without_exits_and_submodel_it_is_the_plain_training_bit_for_bit():
    start = initial_state(SPEC, 0)
    part, whole = train_part(start, ROWS, plan()), train(start, ROWS, SPEC, plan().train, seed=plan().seed)
    assert part.loss == whole.loss
    assert all(np.array_equal(part.state[name], whole.state[name]) for name in start)


@pytest.mark.parametrize("asked", [DEPTH, WIDTH], ids=["depth", "width"])
def test_a_submodel_learns_and_leaves_the_rest_as_it_was(asked):
    start = initial_state(asked.model, 0)
    once = train_part(start, ROWS, asked)
    longer = train_part(start, ROWS, replace(asked, train=replace(asked.train, epochs=10)))
    assert longer.loss < 0.7 * once.loss
    assert list(once.state) == list(start)
    for name, kept in covered(part_of(asked.model, asked.submodel)).items():
        moved = once.state[name] != start[name]
        assert not moved[~kept].any()
        assert not kept.any() or moved[kept].any()


def test_of_a_model_with_exits_all_of_it_learns():
    start = initial_state(EXITED, 0)
    after = train_part(start, ROWS, replace(DEPTH, submodel=None)).state
    assert all((after[name] != start[name]).any() for name in start)


def test_exits_change_nothing_of_how_the_end_learns_but_through_the_layers_they_share():
    start = initial_state(EXITED, 0)
    one = replace(DEPTH, submodel=None, train=replace(DEPTH.train, epochs=1, batch_size=96, clip_norm=0.0))
    joint = train_part(start, ROWS, one).state
    plain = {name: value for name, value in start.items() if not name.startswith("exits.")}
    alone = train(plain, ROWS, SPEC, one.train, seed=one.seed).state
    for name in ("fc2.weight", "head.weight"):
        np.testing.assert_allclose(joint[name], alone[name], atol=1e-6)
    assert not np.allclose(joint["fc1.weight"], alone["fc1.weight"], atol=1e-4)


@pytest.mark.parametrize("asked", [DEPTH, replace(DEPTH, submodel=None)], ids=["submodel", "whole"])
def test_with_little_memory_it_trains_to_nearly_the_same(asked):
    start = initial_state(EXITED, 0)
    small = replace(asked.train, footprint=Footprint(checkpoints=3, micro_batch=5))
    ample, little = (train_part(start, ROWS, each).state for each in (asked, replace(asked, train=small)))
    for name in start:
        np.testing.assert_allclose(ample[name], little[name], atol=1e-4)


def test_a_device_that_is_left_out_trains_nothing():
    with pytest.raises(PlanError, match="'leave-out' trains nothing here"):
        train_part(initial_state(SPEC, 0), ROWS, replace(plan(), submodel=Submodel(kind="leave-out", note="small")))
