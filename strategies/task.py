"""The three kinds of task: loss, score, and the rows on which a gate compares two models.

To add a kind: one `Task` here, and its name in `protos/model_spec.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.schema import Doubles

Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True)
class Task:
    """`loss(outputs, y, spec)` is a mean over rows. `score(outputs, y)` is in the metric's unit.

    `row_loss(outputs, y)` [N] is what the gate pairs: 0/1 error (classification), share of wrong symbols in the
    window (next-token), squared error (regression). `row_surprise(outputs, y)` [N] says more of one row: −log p of the
    label in nats (next-token: mean over the window), squared error (regression).
    """

    kind: str
    metric: str
    better: str
    loss: Callable[[Tensor, Tensor, ModelSpec], Tensor]
    score: Callable[[Array, Array], float]
    row_loss: Callable[[Array, Array], Doubles]
    row_surprise: Callable[[Array, Array], Doubles]

    def improves(self, score: float, over: float) -> bool:
        """Whether `score` is strictly better than `over`."""
        return score > over if self.better == "higher" else score < over


def _cross_entropy(outputs: Tensor, y: Tensor, _: ModelSpec) -> Tensor:
    return torch.nn.functional.cross_entropy(outputs.flatten(0, -2), y.flatten())


def _squared(outputs: Tensor, y: Tensor, spec: ModelSpec) -> Tensor:
    return (((outputs[:, 0] - y) / spec.target_scale) ** 2).mean()


def _accuracy(outputs: Array, y: Array) -> float:
    return float((outputs.argmax(-1) == y).mean())


def _bits(outputs: Array, y: Array) -> float:
    return float(_nats(outputs, y).mean() / np.log(2))


def _nats(outputs: Array, y: Array) -> Doubles:
    logits = outputs.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    log_partition = np.log(np.exp(logits).sum(-1))
    picked = np.take_along_axis(logits, y[..., None].astype(np.int64), -1)[..., 0]
    return np.asarray((log_partition - picked).reshape(len(y), -1).mean(1))


def _rmse(outputs: Array, y: Array) -> float:
    return float(np.sqrt(_squared_errors(outputs, y).mean()))


def _wrong(outputs: Array, y: Array) -> Doubles:
    wrong = (outputs.argmax(-1) != y).reshape(len(y), -1)
    return np.asarray(wrong.mean(1), np.float64)


def _squared_errors(outputs: Array, y: Array) -> Doubles:
    error: Doubles = outputs[:, 0].astype(np.float64) - y.astype(np.float64)
    return error**2


TASKS = {
    task.kind: task
    for task in (
        Task(
            kind=CLASSIFICATION,
            metric="accuracy",
            better="higher",
            loss=_cross_entropy,
            score=_accuracy,
            row_loss=_wrong,
            row_surprise=_nats,
        ),
        Task(
            kind=REGRESSION,
            metric="rmse",
            better="lower",
            loss=_squared,
            score=_rmse,
            row_loss=_squared_errors,
            row_surprise=_squared_errors,
        ),
        Task(
            kind=NEXT_TOKEN,
            metric="bits per token",
            better="lower",
            loss=_cross_entropy,
            score=_bits,
            row_loss=_wrong,
            row_surprise=_nats,
        ),
    )
}
