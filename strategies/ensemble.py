"""Ensemble distillation: the merged base learns what its round's models answer, on average, to rows without labels.

Models of other depths and widths, whose numbers cannot be averaged one by one, all answer in the same form: a submodel
by depth at its own exit, one by width through its thinned net. So the server asks each model that comes about the proxy
rows, and trains the base that it merged of them towards the mean of these answers.

Source: Lin et al. 2020, arXiv:2006.07242 (FedDF), section 3 and algorithms 1 and 3. Theirs are plain means of logits
and distances at temperature 1; here models weigh what they weigh in the merge, and answers are compared as in all of
this project's distillation (`distil.apart`).

It is off by default, for it helps only where a round asks many devices and hears them well. Pictures of 14×14 dealt to
36 devices by dirichlet:0.3, half of them weak, 100 steps at 1e-4: with 20 devices a round and `deadzone` updates the
worse tier gains 2.1 and 1.2 points of test accuracy, the mean 1.1 and 0.2 (40 rounds, seeds 0 and 1). With 10 a round
it costs: 1.4 points of the validation mean with whole updates (20 rounds, seed 10), and with `stc`, whose updates say a
small part of what their devices learned, 1.1 and 5.2 (seeds 10 and 11).
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.protos.plan import Submodel
from fedtailor.protos.schema import Doubles, Floats, State
from fedtailor.strategies.compression.distil import BATCH_ROWS, BATCH_WINDOWS, apart
from fedtailor.strategies.graph.realise import Realised, realise, trace_back
from fedtailor.strategies.merge.arrival import checked_weight
from fedtailor.strategies.models.model import build, load_state, read_state
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.submodel.depth import EXIT_SHARE
from fedtailor.strategies.submodel.part import Part, extract, put_back

Rows = NDArray[np.float32] | NDArray[np.int64]  # [N, *input_shape] as devices hold them

ASKED_ROWS = 256  # at a time
# Weighted answers are rounded to multiples of 2^-20, so their float64 sums are exact below 2^33 and the mean is the
# same bits in whatever order models arrive.
GRID = 2.0**20


class Teacher:
    """The mean answer of a round's models to `rows`, folded as they arrive: memory does not grow with their number."""

    def __init__(self, model: ModelSpec, rows: Rows) -> None:
        self.model = model
        self.rows = rows
        self._sums: Doubles | None = None  # in units of `target_scale` around `target_mean`, so that the grid fits
        self._weight = 0.0

    def ask(self, state: State, submodel: Submodel | None, *, sender: str) -> Floats:
        """What the model with this state answers, at the end of what of it the submodel covers.

        float32 [N, outputs], of tokens [N, T, outputs].

        Raises:
            DecodeError: an answer is NaN or infinite.
        """
        module = _module(part_of(self.model, submodel), state, self.model)
        with torch.no_grad():
            parts = torch.from_numpy(self.rows).split(ASKED_ROWS)
            said = torch.cat([module(part)[..., -self.model.outputs :] for part in parts])
        if not bool(said.isfinite().all()):
            raise DecodeError(f"{sender}: its model answers NaN or infinity to the proxy rows; the update is skipped")
        return np.asarray(said.numpy(), np.float32)

    def fold(self, answers: Floats, weight: float) -> None:
        """Add what `ask` gave.

        Raises:
            ValueError: `weight` is below 2^-10.
        """
        weight = checked_weight(weight)
        scaled = (answers.astype(np.float64) - self.model.target_mean) * (weight * GRID / self.model.target_scale)
        sums = np.zeros(scaled.shape) if self._sums is None else self._sums
        self._sums = np.add(sums, np.rint(scaled, out=scaled), out=sums)
        self._weight += weight

    def answers(self) -> Floats:
        """Their mean, in the form of `ask`; at least one was folded."""
        if self._sums is None:
            raise ValueError("answers: no model has been asked yet")
        mean = self._sums / (self._weight * GRID) * self.model.target_scale + self.model.target_mean
        return np.asarray(mean, np.float32)


def distilled(state: State, teacher: Teacher, *, steps: int, learning_rate: float, rng: np.random.Generator) -> State:
    """The state after `steps` of Adam under a cosine schedule towards the teacher's answers; equal arguments give equal
    bits on one platform.

    Classification and next-token learn from softened answers, regression from the squared distance to them; exits do as
    the model's end does, with the share they have in training (`answers_loss`).
    """
    model = teacher.model
    part = part_of(model, None)
    module = _module(part, state, model)
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    x, wanted = torch.from_numpy(teacher.rows), torch.from_numpy(teacher.answers())
    for batch in _batches(len(x), model, steps, rng):
        optimiser.zero_grad()
        answers_apart(module(x[batch]), wanted[batch], model).backward()
        optimiser.step()
        schedule.step()
    return _state_of(module, part, state)


def answers_apart(outputs: Tensor, wanted: Tensor, spec: ModelSpec) -> Tensor:
    """How far the last answer of [N, ..., answers · outputs] is from the wanted one [N, ..., outputs], and every exit's
    by its share.
    """
    *exits, last = (apart(each, wanted, spec) for each in outputs.split(spec.outputs, dim=-1))
    return torch.stack([last, *(EXIT_SHARE * each for each in exits)]).sum()


def _module(part: Part | None, state: State, spec: ModelSpec) -> nn.Module:
    if part is not None:
        return realise(extract(part, state))
    module = build(spec)
    load_state(module, state)
    return module


def _state_of(module: nn.Module, part: Part | None, before: State) -> State:
    if part is None or not isinstance(module, Realised):
        return read_state(module)
    return put_back(part, trace_back(module, part.layout), before)


def _batches(rows: int, spec: ModelSpec, steps: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Row numbers for each step, in shuffled order, again and again."""
    size = min(BATCH_WINDOWS if spec.kind == NEXT_TOKEN else BATCH_ROWS, rows)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(left) < size:
            left = torch.cat([left, torch.from_numpy(rng.permutation(rows))])
        batch, left = left[:size], left[size:]
        yield batch
