"""Short distillation of a small network from the personal fp32 one, on the device's own samples.

Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2: T² · KL(teacher ‖ student) at temperature T beside
the cross-entropy with the labels. The teacher knows some hundred rows by heart, and its answers to them say little
more than their labels; so it is asked about mixtures of two rows (Zhang et al. 2018, mixup, arXiv:1710.09412,
section 2), of which there is no end. Tokens cannot be mixed and are learned as they are.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.model_spec import NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Footprint
from fedtailor.protos.samples import Samples
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.fake_quantise import realise_coded, trace_back_coded
from fedtailor.strategies.graph.realise import Realised, realise
from fedtailor.strategies.task import TASKS
from fedtailor.strategies.train_memory import footprint_within
from fedtailor.strategies.train_step import Layered, backward, forward, micro_batches

BATCH_ROWS = 64
BATCH_WINDOWS = 8  # of tokens: each holds as many labels as it has symbols
TEMPERATURE = 2.0
LABELS = 0.2  # their weight beside the teacher's answers; at 1 a student copies what the teacher knows by heart
_MOMENTS = 2  # of Adam


def distil(  # noqa: PLR0913 - what the two ways to distil need: in float32, and within a coding
    student: Net,
    teacher: Net,
    data: Samples,
    *,
    spec: ModelSpec,
    steps: int,
    seed: int,
    learning_rate: float = 1e-2,
    coding: Mapping[str, Coding] | None = None,
    ram_bytes: int | None = None,
) -> Net:
    """The student after `steps` of Adam under a cosine schedule; equal seeds give equal bits on one platform.

    Classification and next-token learn from the teacher's softened outputs and the labels, regression from the
    squared distance to both. Batches go through the samples in shuffled order, again and again.

    Args:
        student: The network to train; the shapes of its layers stay.
        teacher: Gives outputs of the same shape.
        data: Samples of the train split; without any the student comes back as it is.
        coding: By layer, how its weights are written. They are coded already and still are in what comes back, within
            the same bits and density; all other layers learn in float32 and come back without scales.
        learning_rate: Of a student far from its teacher. Where their distance, in the loss, starts below 1, steps are
            smaller by its root: a student that is close already would first be led away.
        ram_bytes: What one step may take beside the teacher's parameters.

    Raises:
        PlanError: a layer of `coding` is not coded, or no step fits into `ram_bytes`.
    """
    if steps == 0 or len(data) == 0:
        return student
    rows = min(BATCH_WINDOWS if spec.kind == NEXT_TOKEN else BATCH_ROWS, len(data))
    footprint = Footprint() if ram_bytes is None else footprint_within(student, rows, ram_bytes, moments=_MOMENTS)
    module, guide = realise_coded(student, coding or {}), realise(teacher)
    answers = partial(forward, Layered(module, list(module.parts), student.wires), footprint=footprint)
    optimiser = torch.optim.Adam(module.parameters())
    reach = None
    for step, lesson in enumerate(_lessons(data, spec, rows, steps, seed)):
        if reach is None:
            reach = min(
                1.0, math.sqrt(max(lesson.distance(answers, guide, footprint), 0.0))
            )  # rounding may fall below 0
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * reach * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.zero_grad()
        backward(partial(lesson.loss, answers, guide), rows, footprint)
        optimiser.step()
    return trace_back_coded(module, student)


@dataclass(frozen=True, eq=False)
class _Lesson:
    """Rows `x`, of which a share is the row labelled `y` and the rest the one labelled `other`."""

    x: Tensor
    y: Tensor
    other: Tensor
    share: float
    spec: ModelSpec

    def distance(self, answers: partial[Tensor], guide: Realised, footprint: Footprint) -> float:
        """How far all the answers are from the teacher's before anything is learned."""
        parts = [self.x[part] for part in micro_batches(len(self.x), footprint)]
        with torch.no_grad():
            return sum(float(apart(answers(x), guide(x), self.spec)) * len(x) for x in parts) / len(self.x)

    def loss(self, answers: partial[Tensor], guide: Realised, part: slice) -> Tensor:
        """How far the answers to these rows are from the teacher's and from the labels; a mean over them."""
        with torch.no_grad():
            wanted = guide(self.x[part])
        outputs, task = answers(self.x[part]), TASKS[self.spec.kind]
        labels = self.share * task.loss(outputs, self.y[part], self.spec)
        if self.share < 1:
            labels = labels + (1 - self.share) * task.loss(outputs, self.other[part], self.spec)
        return apart(outputs, wanted, self.spec) + LABELS * labels


def _lessons(data: Samples, spec: ModelSpec, rows: int, steps: int, seed: int) -> Iterator[_Lesson]:
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(data)) for _ in range(math.ceil(steps * rows / len(data)))])
    for batch in order[: steps * rows].reshape(steps, rows):
        x, y = torch.from_numpy(data.x[batch]), torch.from_numpy(data.y[batch])
        share, partner = (1.0, slice(None)) if spec.kind == NEXT_TOKEN else (rng.random(), rng.permutation(rows))
        yield _Lesson(share * x + (1 - share) * x[partner] if share < 1 else x, y, y[partner], share, spec)


def apart(outputs: Tensor, wanted: Tensor, spec: ModelSpec) -> Tensor:
    """How far the student's outputs are from the teacher's, on the scale of the task's own loss."""
    if spec.kind == REGRESSION:
        return TASKS[REGRESSION].loss(outputs, wanted[:, 0], spec)
    student = torch.log_softmax(outputs.flatten(0, -2) / TEMPERATURE, dim=-1)
    teacher = torch.log_softmax(wanted.flatten(0, -2) / TEMPERATURE, dim=-1)
    return TEMPERATURE**2 * torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
