"""Training on the device's own rows: SGD with momentum, deterministic by seed."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import Doubles, State
from fedtailor.strategies.answers import answers, mean_loss
from fedtailor.strategies.models.model import build, load_state, read_state
from fedtailor.strategies.task import TASKS
from fedtailor.strategies.train_step import backward, forward, in_layers

Penalty = Callable[[nn.Module], None]
Schedule = Callable[[float], float]  # from the share of training done to the share of the learning rate
Loss = Callable[[Tensor, Tensor, ModelSpec], Tensor]  # of outputs and labels; a mean over rows


@dataclass(frozen=True, eq=False)
class Trained:
    """The state after training, the mean loss of its last epoch, and the CPU seconds of this thread."""

    state: State
    loss: float
    cpu_s: float


def constant(_: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def cosine(done: float) -> float:
    """Half a cosine down to 0 (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""
    return (1 + math.cos(math.pi * done)) / 2


def train(
    start: State,
    samples: Samples,
    spec: ModelSpec,
    plan: TrainPlan,
    *,
    seed: int,
    schedule: Schedule = constant,
    after_backward: Penalty | None = None,
    loss: Loss | None = None,
) -> Trained:
    """Train a copy of `start` for `plan.epochs` over `samples`; as `fit`."""
    began = time.thread_time()
    module = _module_of(start, spec)
    last = fit(module, samples, spec, plan, seed=seed, schedule=schedule, after_backward=after_backward, loss=loss)
    return Trained(read_state(module), last, time.thread_time() - began)


def fit(
    module: nn.Module,
    samples: Samples,
    spec: ModelSpec,
    plan: TrainPlan,
    *,
    seed: int,
    schedule: Schedule = constant,
    after_backward: Penalty | None = None,
    loss: Loss | None = None,
) -> float:
    """Train the module's parameters in place for `plan.epochs`; the mean loss of the last epoch, 0 without rows.

    `after_backward` may change the gradients before each step (a proximal term, frozen layers). `loss` is the task's,
    if it is not given.
    Rows are shuffled by `seed`; equal arguments give equal bits on one platform.

    Raises:
        PlanError: the precision of the plan's footprint is unknown.
    """
    optimiser = torch.optim.SGD(
        module.parameters(), lr=plan.learning_rate, momentum=plan.momentum, weight_decay=plan.weight_decay
    )
    outputs = partial(forward, in_layers(module), footprint=plan.footprint)
    steps = plan.epochs * math.ceil(len(samples) / plan.batch_size)
    losses, measure = [], loss or TASKS[spec.kind].loss
    for step, batch in enumerate(_batches(samples, plan, seed)):
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * schedule(step / steps)
        optimiser.zero_grad()
        losses.append(backward(partial(_loss, outputs, measure, spec, batch), len(batch[0]), plan.footprint))
        if after_backward:
            after_backward(module)
        if plan.clip_norm:
            nn.utils.clip_grad_norm_(module.parameters(), plan.clip_norm)
        optimiser.step()
    last_epoch = losses[steps - steps // max(plan.epochs, 1) :]
    return float(np.mean(last_epoch)) if losses else 0.0


def score_state(state: State, spec: ModelSpec, samples: Samples) -> float:
    """The task's score of a state on `samples`, in the metric's unit; 0 without rows."""
    if len(samples) == 0:
        return 0.0
    return TASKS[spec.kind].score(answers(_module_of(state, spec), samples).numpy(), samples.y)


def loss_of_state(state: State, spec: ModelSpec, samples: Samples) -> float:
    """The mean training loss of a state on `samples`; 0 without rows, so that nothing is preferred."""
    return mean_loss(_module_of(state, spec), samples, spec)


def surprise_of_state(state: State, spec: ModelSpec, samples: Samples) -> Doubles:
    """What each row [rows] costs a state, at least one row: `Task.row_surprise`."""
    return TASKS[spec.kind].row_surprise(answers(_module_of(state, spec), samples).numpy(), samples.y)


def _module_of(state: State, spec: ModelSpec) -> nn.Module:
    module = build(spec)
    load_state(module, state)
    return module


def _loss(
    outputs: Callable[[Tensor], Tensor], loss: Loss, spec: ModelSpec, batch: tuple[Tensor, Tensor], part: slice
) -> Tensor:
    x, y = batch
    return loss(outputs(x[part]), y[part], spec)


def _batches(samples: Samples, plan: TrainPlan, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(seed)
    for _ in range(plan.epochs):
        order = rng.permutation(len(samples))
        for at in range(0, len(order), plan.batch_size):
            rows = order[at : at + plan.batch_size]
            yield torch.from_numpy(samples.x[rows]), torch.from_numpy(samples.y[rows])
