"""Training on the device's own rows: SGD with momentum, deterministic by seed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State
from fedtailor.strategies.models.model import build, load_state, read_state
from fedtailor.strategies.task import TASKS

Penalty = Callable[[nn.Module], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """The state after training, the mean loss of its last epoch, and the CPU seconds of this thread."""

    state: State
    loss: float
    cpu_s: float


def train(
    start: State,
    samples: Samples,
    spec: ModelSpec,
    plan: TrainPlan,
    *,
    seed: int,
    after_backward: Penalty | None = None,
) -> Trained:
    """Train a copy of `start` for `plan.epochs` over `samples`.

    `after_backward` may change the gradients before each step (a proximal term, frozen layers).
    Rows are shuffled by `seed`; equal arguments give equal bits on one platform.
    """
    began = time.thread_time()
    module = build(spec)
    load_state(module, start)
    optimiser = torch.optim.SGD(
        module.parameters(), lr=plan.learning_rate, momentum=plan.momentum, weight_decay=plan.weight_decay
    )
    loss = TASKS[spec.kind].loss
    mean = 0.0
    rng = np.random.default_rng(seed)
    for _ in range(plan.epochs):
        losses = []
        for x, y in _batches(samples, plan.batch_size, rng):
            optimiser.zero_grad()
            value = loss(module(x), y, spec)
            value.backward()
            if after_backward:
                after_backward(module)
            if plan.clip_norm:
                nn.utils.clip_grad_norm_(module.parameters(), plan.clip_norm)
            optimiser.step()
            losses.append(value.item())
        mean = float(np.mean(losses)) if losses else 0.0
    return Trained(read_state(module), mean, time.thread_time() - began)


def predict_state(state: State, spec: ModelSpec, samples: Samples, *, batch_rows: int = 256) -> Tensor:
    """float32 outputs [N, ...] of a state in torch; at least one row."""
    module = build(spec)
    load_state(module, state)
    x = torch.from_numpy(samples.x)
    with torch.no_grad():
        return torch.cat([module(x[at : at + batch_rows]) for at in range(0, len(x), batch_rows)])


def score_state(state: State, spec: ModelSpec, samples: Samples) -> float:
    """The task's score of a state on `samples`, in the metric's unit; 0 without rows."""
    if len(samples) == 0:
        return 0.0
    return TASKS[spec.kind].score(predict_state(state, spec, samples).numpy(), samples.y)


def loss_of_state(state: State, spec: ModelSpec, samples: Samples) -> float:
    """The mean training loss of a state on `samples`; 0 without rows, so that nothing is preferred."""
    if len(samples) == 0:
        return 0.0
    return float(TASKS[spec.kind].loss(predict_state(state, spec, samples), torch.from_numpy(samples.y), spec))


def _batches(samples: Samples, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = rng.permutation(len(samples))
    for at in range(0, len(order), batch_size):
        rows = order[at : at + batch_size]
        yield torch.from_numpy(samples.x[rows]), torch.from_numpy(samples.y[rows])
