"""Submodels by depth, for every built-in model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_exits import EXITED, module_of, rows_of

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.models.exits import Answers
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.submodel.depth import EXIT_SHARE, answers_loss, depth_part
from fedtailor.strategies.submodel.part import covered, extract
from fedtailor.strategies.task import TASKS


@pytest.mark.parametrize("name", EXITED)
def test_every_exit_of_every_model_computes_what_the_model_computes_there(name):
    spec = EXITED[name]
    state, x = initial_state(spec, 0), rows_of(spec)
    module = module_of(spec, state)
    sizes = []
    for until in (*spec.exits, None):
        part = depth_part(spec, until)
        with torch.no_grad():
            torch.testing.assert_close(realise(extract(part, state))(x), Answers(module, until)(x))
        sizes.append(sum(int(kept.sum()) for kept in covered(part).values()))
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == sum(value.size for value in state.values())


def test_whole_tensors_are_covered_or_none_of_them():
    masks = covered(depth_part(EXITED["conv2d"], "pool2"))
    whole = {name for name, kept in masks.items() if kept.all()}
    assert whole == {name for name, kept in masks.items() if kept.any()}
    assert {name.rsplit(".", 1)[0] for name in whole} == {"conv1", "conv2", "exits.pool1.1", "exits.pool2.1"}


@pytest.mark.parametrize("exits", [(), ("pool1",)])
def test_an_exit_that_the_fleets_model_has_not_is_refused(exits):
    spec = replace(EXITED["conv2d"], exits=exits)
    with pytest.raises(PlanError, match=rf"has exits {'none' if not exits else 'pool1'}, the plan asks for 'pool2'"):
        depth_part(spec, "pool2")


def labels_of(spec, outputs):
    rng = np.random.default_rng(1)
    if spec.kind == REGRESSION:
        return torch.from_numpy(rng.normal(75, 40, len(outputs)).astype(np.float32))
    return torch.from_numpy(rng.integers(0, spec.outputs, outputs.shape[:-1]))


@pytest.mark.parametrize("name", ["conv2d", "conv1d regression", "next-token"])
def test_of_one_answer_the_loss_is_the_tasks(name):
    spec = EXITED[name]
    outputs = module_of(spec, initial_state(spec, 0))(rows_of(spec)).detach()
    y = labels_of(spec, outputs)
    assert torch.equal(answers_loss(outputs, y, spec), TASKS[spec.kind].loss(outputs, y, spec))


@pytest.mark.parametrize("name", ["conv2d", "conv1d regression", "next-token"])
def test_exits_learn_from_the_last_answer_and_it_does_not_learn_from_them(name):
    spec = replace(EXITED[name], exits=EXITED[name].exits[:1])
    outputs = Answers(module_of(spec, initial_state(spec, 0)), None)(rows_of(spec)).detach().requires_grad_()
    y = labels_of(spec, outputs)
    answers_loss(outputs, y, spec).backward()
    alone = outputs.detach()[..., -spec.outputs :].clone().requires_grad_()
    TASKS[spec.kind].loss(alone, y, spec).backward()
    torch.testing.assert_close(outputs.grad[..., -spec.outputs :], alone.grad)
    same = torch.cat([alone.detach(), alone.detach()], dim=-1)  # an exit that agrees has only the labels to learn from
    once = TASKS[spec.kind].loss(alone, y, spec).detach()
    torch.testing.assert_close(answers_loss(same, y, spec), (1 + EXIT_SHARE) * once)
