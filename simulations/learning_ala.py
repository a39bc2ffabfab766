"""Adaptive local aggregation: a device begins from a mixture of its own last model and the base that came.

Source: Zhang et al. 2023, arXiv:2212.01197, FedALA, section 3.3 and algorithm 1; its settings are those of section 4.
"""

from collections.abc import Iterator, Sequence
from statistics import pstdev

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import State
from fedtailor.simulations.federation import Kept
from fedtailor.simulations.learning_outcome import OWN
from fedtailor.strategies.models.model import build, load_state, read_state
from fedtailor.strategies.task import TASKS

WEIGHTS = "weights"
SHARE = 0.8  # of the train rows, drawn anew each time
RATE = 1.0
STILL, LAST, MOST = 0.01, 10, 50  # the first time: epochs until the last losses deviate by less, and at most so many


def adapted(base: State, kept: Kept, data: DeviceData, plan: Plan, mixed: Sequence[str]) -> tuple[State, State]:
    """The model to begin from and the weights of the mixture, by what its train rows say.

    Layers in `mixed` are own + (base − own) ⊙ W with W in [0, 1], learned; the others are the base's. A device without
    a model of its own takes the base.
    """
    if OWN not in kept:
        return base, {}
    rows = _drawn(data.train, plan.seed)
    weights = {name: torch.from_numpy(kept[WEIGHTS].get(name, np.ones_like(base[name])).copy()) for name in mixed}
    mixture = _Mixture(base, kept[OWN], weights, plan.model)
    losses: list[float] = []
    for _ in range(1 if kept[WEIGHTS] else MOST):
        losses.append(float(np.mean([mixture.step(*batch) for batch in _batches(rows, plan.train.batch_size)])))
        if len(losses) > LAST and pstdev(losses[-LAST:]) < STILL:
            break
    return read_state(mixture.module), {name: weight.numpy() for name, weight in weights.items()}


class _Mixture:
    """A module between two models; `step` moves the weights, in place."""

    def __init__(self, base: State, own: State, weights: dict[str, Tensor], spec: ModelSpec) -> None:
        self.module = build(spec)
        load_state(self.module, base)
        self._task, self._spec, self._weights = TASKS[spec.kind], spec, weights
        self._own = {name: torch.from_numpy(own[name]) for name in weights}
        self._way = {name: torch.from_numpy(base[name] - own[name]) for name in weights}
        self._mixed = {name: value for name, value in self.module.named_parameters() if name in weights}
        for name, value in self.module.named_parameters():
            value.requires_grad_(name in weights)
        self._mix()

    def step(self, x: Tensor, y: Tensor) -> float:
        """One step of gradient descent on the weights; the loss before it."""
        self.module.zero_grad()
        loss = self._task.loss(self.module(x), y, self._spec)
        loss.backward()
        for name, value in self._mixed.items():
            if value.grad is not None:
                self._weights[name].sub_(RATE * value.grad * self._way[name]).clamp_(0, 1)
        self._mix()
        return float(loss.item())

    def _mix(self) -> None:
        with torch.no_grad():
            for name, value in self._mixed.items():
                value.copy_(self._own[name] + self._way[name] * self._weights[name])


def _drawn(samples: Samples, seed: int) -> Samples:
    count = max(1, round(SHARE * len(samples)))
    rows = np.random.default_rng(seed).permutation(len(samples))[:count]
    return Samples(samples.x[rows], samples.y[rows])


def _batches(samples: Samples, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for at in range(0, len(samples), size):
        yield torch.from_numpy(samples.x[at : at + size]), torch.from_numpy(samples.y[at : at + size])
