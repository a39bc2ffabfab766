"""Submodels by depth: the layers up to an early exit, which a small device trains with the exits on the way.

Devices that train the whole model train its exits with it, each from the labels and from the final answer, so that the
layers below are good for both ends.

Sources: Zhang et al. 2019, arXiv:1905.08094, section 3 (exits learn from the final answer); Kim et al. 2023, DepthFL,
ICLR, section 3 (submodels by depth in a federation).
"""

from dataclasses import replace

import torch
from torch import Tensor

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.strategies.compression.distil import apart
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.exits import Answers, WithExits
from fedtailor.strategies.models.model import build
from fedtailor.strategies.submodel.part import Part, checked, counted
from fedtailor.strategies.task import TASKS

EXIT_SHARE = 0.3  # at 1 the whole model loses a point by what its exits ask of the layers they share


def depth_part(spec: ModelSpec, until: str | None) -> Part:
    """The layers up to exit `until` with all exits on the way, or without one the whole model with all of its exits.

    Its net answers [N, ..., answers · outputs]: every exit's answer, and the model's own last.

    Raises:
        PlanError: the model has no such exit, or cannot be traced.
    """
    model = build(spec)
    if not isinstance(model, WithExits) or until not in (None, *spec.exits):
        raise PlanError(f"model {spec.name!r} has exits {', '.join(spec.exits) or 'none'}, the plan asks for {until!r}")
    schema = counted(model)
    answers = Answers(model, until)
    count = len(answers.exits) + (until is None)
    return checked(Part(trace(answers, replace(spec, outputs=count * spec.outputs)), schema))


def answers_loss(outputs: Tensor, y: Tensor, spec: ModelSpec) -> Tensor:
    """The task's loss of the last answer [N, ..., answers · outputs], and of every exit a share of its own and of how
    far it is from the last one.

    The last learns from the labels alone; of a single answer this is the task's own loss.
    """
    *exits, last = outputs.split(spec.outputs, dim=-1)
    loss = TASKS[spec.kind].loss
    beside = [loss(each, y, spec) + apart(each, last.detach(), spec) for each in exits]
    return torch.stack([loss(last, y, spec), *(EXIT_SHARE * each for each in beside)]).sum()
