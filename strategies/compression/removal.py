"""In which order channels are removed, what that costs the layers that read them, and the weights that are best then.

Sources: Kurtic, Frantar & Alistarh 2023, ZipLM, arXiv:2302.04089, section 3.1 (whole structures are removed by the
layer-wise squared error); Frantar & Alistarh 2022, Optimal Brain Compression, arXiv:2208.11580, section 4 (a removal
eliminates its columns from the inverse Hessian). Different here: several layers may read a channel, whose removal costs
the sum of their relative errors; and the inverse is not updated but its factors are kept, a block Cholesky
decomposition whose pivots are the channels in the order of their removal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.graph.groups import Indices

DAMPING = 1e-2  # of the mean diagonal of a Hessian; less follows the noise of a few dozen samples


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads the channels of a group.

    hessian [c + 1, c + 1]: the mean of a·aᵀ over its inputs a, the last of which is 1, for the bias. weight
    [c + 1, out]: bias last. columns [channels, k]: the inputs that read each channel.
    """

    hessian: Tensor
    weight: Tensor
    columns: Indices


@dataclass(frozen=True, eq=False)
class Removal:
    """order [channels]: the first one goes first. costs [channels + 1]: the error by the number of channels left."""

    order: Indices
    costs: Doubles

    def kept(self, count: int) -> Indices:
        """The channels that are left when `count` are, ascending."""
        return np.sort(self.order[len(self.order) - count :])


def removal(readers: Sequence[Reader]) -> Removal:
    """All channels, each time the one that costs least with all other weights fitted anew.

    The cost of a layer is the squared error of its outputs, damped towards the weights it has, as a part of their
    variance; costs are sums over the layers.
    """
    eliminations = [_Elimination(reader) for reader in readers]
    channels = len(readers[0].columns)
    left = torch.ones(channels, dtype=torch.bool)
    order, errors = [], [0.0]
    for _ in range(channels):
        costs = torch.stack([elimination.costs() for elimination in eliminations]).sum(0)
        cheapest = int(torch.where(left, costs, torch.inf).argmin())
        left[cheapest] = False
        order.append(cheapest)
        errors.append(errors[-1] + float(costs[cheapest]))
        for elimination in eliminations:
            elimination.remove(cheapest)
    return Removal(np.array(order), np.array(errors[::-1]))


def best_weight(inputs: Tensor, outputs: Tensor, weight: Tensor) -> Tensor:
    """The weights [c, out] that come closest to `outputs` [rows, out] from `inputs` [rows, c]: ridge regression.

    `weight` is where the ridge pulls to, and where weights stay that the rows say nothing about.
    """
    missing = outputs - inputs @ weight
    ridge = float(DAMPING * inputs.square().sum() / inputs.shape[1])
    if len(inputs) < inputs.shape[1]:  # the same solution with as many unknowns as there are rows
        return weight + inputs.T @ _solved(inputs @ inputs.T, ridge, missing).float()
    return weight + _solved(inputs.T @ inputs, ridge, inputs.T @ missing).float()


def _solved(matrix: Tensor, ridge: float, right: Tensor) -> Tensor:
    """The solution in float64 of (matrix + ridge · 1) · x = right."""
    wide = matrix.double() + ridge * torch.eye(len(matrix), dtype=torch.float64)
    solution: Tensor = torch.cholesky_solve(right.double(), torch.linalg.cholesky(wide))
    return solution


class _Elimination:
    """The inverse Hessian of one reader while channels are eliminated from it.

    It is `_inverse` − Fᵀ·F with a row of factors F [removed, c + 1] for every column that was removed.
    """

    def __init__(self, reader: Reader) -> None:
        hessian, weight = reader.hessian.double(), reader.weight.double()
        ridge = float(DAMPING * hessian.diagonal().mean())
        self._inverse = _solved(hessian, ridge, torch.eye(len(hessian)))
        self._columns = torch.from_numpy(reader.columns)
        self._factors = torch.empty(self._columns.numel(), len(hessian), dtype=torch.float64)
        self._removed = 0
        self._weight = weight.clone()
        self._blocks = self._inverse[self._columns[:, :, None], self._columns[:, None, :]]
        variance = float((weight * (hessian @ weight)).sum() - (hessian[-1] @ weight).square().sum())
        self._scale = 1 / max(variance, torch.finfo(torch.float32).tiny)

    def costs(self) -> Tensor:
        """By channel, how much the error grows: Σ wᵀ·B⁻¹·w over the block B of its columns in the inverse."""
        weight = self._weight[self._columns]
        squares = weight @ weight.mT
        grown: Tensor = (torch.linalg.inv(self._blocks) * squares).sum((1, 2))
        return self._scale * grown

    def remove(self, channel: int) -> None:
        columns = self._columns[channel]
        past = self._factors[: self._removed]
        slab = self._inverse[columns] - past[:, columns].T @ past
        corner = torch.linalg.cholesky(slab[:, columns])
        fresh = torch.linalg.solve_triangular(corner, slab, upper=False)
        share = torch.linalg.solve_triangular(corner, self._weight[columns], upper=False)
        self._weight -= fresh.T @ share
        self._weight[columns] = 0
        self._factors[self._removed : self._removed + len(columns)] = fresh
        self._removed += len(columns)
        mine = fresh[:, self._columns]  # [k, channels, k]
        self._blocks -= torch.einsum("jck,jcl->ckl", mine, mine)
        self._blocks[channel] = torch.eye(len(columns), dtype=torch.float64)
