"""Short distillation of a small network from the personal fp32 one, on the device's own samples.

Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2: T² · KL(teacher ‖ student) at temperature T beside
the cross-entropy with the labels.
"""

import math

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.model_spec import NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.net import Net
from fedtailor.protos.samples import Samples
from fedtailor.strategies.realise import realise, trace_back
from fedtailor.strategies.task import TASKS

BATCH_ROWS = 64
BATCH_WINDOWS = 8  # of tokens: each holds as many labels as it has symbols
TEMPERATURE = 2.0


def distil(
    student: Net,
    teacher: Net,
    data: Samples,
    *,
    spec: ModelSpec,
    steps: int,
    seed: int,
    learning_rate: float = 1e-2,
) -> Net:
    """The student after `steps` of Adam under a cosine schedule; equal seeds give equal bits on one platform.

    Classification and next-token learn from the teacher's softened outputs and the labels, regression from the
    squared distance to both. Batches go through the samples in shuffled order, again and again.

    Args:
        student: The network to train; the shapes of its layers stay.
        teacher: Gives outputs of the same shape.
        data: Samples of the train split; without any the student comes back as it is.
    """
    if steps == 0 or len(data) == 0:
        return student
    rows = min(BATCH_WINDOWS if spec.kind == NEXT_TOKEN else BATCH_ROWS, len(data))
    rng = np.random.default_rng(seed)
    picked = rng.permutation(len(data))[: steps * rows]
    x, y = torch.from_numpy(data.x[picked]), torch.from_numpy(data.y[picked])
    guide = realise(teacher)
    with torch.no_grad():
        wanted = torch.cat([guide(part) for part in x.split(4 * rows)])
    module = realise(student)
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate)
    rounds = math.ceil(steps * rows / len(x))
    order = torch.from_numpy(np.concatenate([rng.permutation(len(x)) for _ in range(rounds)]))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        batch = order[step * rows : (step + 1) * rows]
        outputs = module(x[batch])
        loss = TASKS[spec.kind].loss(outputs, y[batch], spec) + _distance(outputs, wanted[batch], spec)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return trace_back(module, student)


def _distance(outputs: Tensor, wanted: Tensor, spec: ModelSpec) -> Tensor:
    """How far the student's outputs are from the teacher's, on the scale of the task's own loss."""
    if spec.kind == REGRESSION:
        return TASKS[REGRESSION].loss(outputs, wanted[:, 0], spec)
    student = torch.log_softmax(outputs.flatten(0, -2) / TEMPERATURE, dim=-1)
    teacher = torch.log_softmax(wanted.flatten(0, -2) / TEMPERATURE, dim=-1)
    return TEMPERATURE**2 * torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
