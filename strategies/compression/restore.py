"""Weights fitted anew to inputs that earlier layers' rounding has changed, so that the layer answers as it did.

Source: Li et al. 2025, GPTAQ, arXiv:2504.02692: a layer of the coded net is held against the answers of the dense net,
not against what the dense weights make of changed inputs. Here by ridge regression towards the weights as they are; how
strongly these pull is decided on samples that were left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedtailor.protos.schema import Doubles

_RIDGES = (0.01, 0.1, 1.0, 10.0)  # of the mean energy of an input
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Moments:
    """What a linear map sees and should answer, both about their means: E[x·xᵀ] [in, in] and E[y·xᵀ] [out, in]."""

    inputs: Tensor
    answers: Tensor


def moments(inputs: Tensor, answers: Tensor) -> Moments:
    """Of inputs [n, in] and answers [n, out]; the means are left to the bias."""
    x, y = (inputs - inputs.mean(0)).double(), (answers - answers.mean(0)).double()
    return Moments(x.T @ x / len(x), y.T @ x / len(x))


def mean_moments(first: Moments, second: Moments) -> Moments:
    """Of two halves of equal size."""
    return Moments((first.inputs + second.inputs) / 2, (first.answers + second.answers) / 2)


def restored(weight: Doubles, halves: tuple[Moments, Moments]) -> Doubles:
    """Weights [out, in] near `weight` that answer what is wanted.

    `weight` itself where none did better on samples it was not fitted to. halves: of the first and of the last samples.
    """

    before = torch.from_numpy(weight)

    def left_out(ridge: float) -> float:
        first, second = halves
        return _error(_fitted(before, first, ridge), second) + _error(_fitted(before, second, ridge), first)

    errors = [left_out(ridge) for ridge in _RIDGES]
    if min(errors) >= _error(before, halves[0]) + _error(before, halves[1]):
        return weight
    return _fitted(before, mean_moments(*halves), _RIDGES[errors.index(min(errors))]).numpy()


def _fitted(weight: Tensor, seen: Moments, ridge: float) -> Tensor:
    damping = ridge * float(seen.inputs.diagonal().mean()) + _SMALLEST
    factor = torch.linalg.cholesky(seen.inputs + damping * torch.eye(len(seen.inputs), dtype=seen.inputs.dtype))
    change: Tensor = torch.cholesky_solve((seen.answers - weight @ seen.inputs).T, factor).T
    return weight + change


def _error(weight: Tensor, seen: Moments) -> float:
    """The mean squared error, less the energy of the answers, which no weight changes."""
    return float(((weight @ seen.inputs - 2 * seen.answers) * weight).sum())
