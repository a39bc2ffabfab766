"""Weights made coarse (masked, rounded) one column after another, each error made up for by the columns that follow.

Sources: Frantar et al. 2022, GPTQ, arXiv:2210.17323, algorithm 1 and section 3.3 (lazy updates in blocks, Cholesky);
Frantar & Alistarh 2023, SparseGPT, arXiv:2301.00774, algorithm 1 (the mask is chosen on the way). Added here: a few
sweeps of coordinate descent over what came out; at 1 bit, or a density of 1/4, they halve the error that is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedtailor.protos.schema import Doubles

DAMPING = 0.01  # of the mean energy of an input; GPTQ, section 3.3
_BLOCK = 128  # columns, about: these are updated for each one that is settled, the others once for all of them
_SWEEPS = 3


@dataclass(frozen=True)
class Coarse:
    """What weights may become.

    keep: from how much the error grows where a weight of a run [out, run] is removed, to 1 where it stays and 0 where
    it goes. snap: from values [out, k] to the nearest ones that are allowed. run: columns to choose from at a time.
    """

    keep: Callable[[Tensor], Tensor]
    snap: Callable[[Tensor], Tensor]
    run: int = _BLOCK


def compensated(weight: Doubles, energy: Doubles, coarse: Coarse) -> Doubles:
    """Coarse weights [out, in] whose layer answers like `weight` on the inputs it has seen.

    The error is Σ d·(energy + damping)·dᵀ over the rows d of what changed; it is never above that of weights that are
    masked by their magnitude and snapped where they are.

    Args:
        weight: [out, in], in the order in which the columns are settled.
        energy: [in, in], the mean of x·xᵀ over the inputs.
        coarse: The values that weights may take.
    """
    wanted, seen = torch.from_numpy(weight).double(), torch.from_numpy(energy).double()
    damping = DAMPING * float(seen.diagonal().mean()) + 1e-12
    damped = seen + damping * torch.eye(len(seen), dtype=seen.dtype)

    def error(start: tuple[Tensor, Tensor]) -> float:
        change = start[0] - wanted
        return float(((change @ damped) * change).sum())

    start, kept = min(_swept(wanted, damped, coarse), _plain(wanted, coarse), key=error)
    return _descended(start, kept, wanted, damped, coarse).numpy()


def _swept(wanted: Tensor, damped: Tensor, coarse: Coarse) -> tuple[Tensor, Tensor]:
    """Coarse weights and their mask, column after column."""
    spread = _inverse_factor(damped)
    left, kept = wanted.clone(), torch.empty_like(wanted)
    width = -(-_BLOCK // coarse.run) * coarse.run
    for start in range(0, left.shape[1], width):
        columns = slice(start, start + width)
        block, factor, mask = left[:, columns], spread[columns, columns], kept[:, columns]
        errors = torch.empty_like(block)
        for at in range(block.shape[1]):
            if at % coarse.run == 0:
                run = slice(at, at + coarse.run)
                mask[:, run] = coarse.keep((block[:, run] / factor.diagonal()[run]).square())
            settled = coarse.snap(block[:, at : at + 1])[:, 0] * mask[:, at]
            errors[:, at] = (block[:, at] - settled) / factor[at, at]
            block[:, at + 1 :] -= torch.outer(errors[:, at], factor[at, at + 1 :])
            block[:, at] = settled
        left[:, start + width :] -= errors @ spread[columns, start + width :]
    return left, kept


def _inverse_factor(damped: Tensor) -> Tensor:
    """The upper triangular V with Vᵀ·V the inverse.

    Row j over its first entry is how an error in column j is shared among those after it; the entry's square is what
    the inverse holds for j once all columns before it are settled.
    """
    upper = torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1)
    factor: Tensor = torch.linalg.solve_triangular(upper, torch.eye(len(damped), dtype=damped.dtype), upper=True)
    return factor


def _plain(wanted: Tensor, coarse: Coarse) -> tuple[Tensor, Tensor]:
    kept = torch.cat([coarse.keep(run.square()) for run in wanted.split(coarse.run, dim=1)], dim=1)
    return coarse.snap(wanted) * kept, kept


def _descended(start: Tensor, kept: Tensor, wanted: Tensor, damped: Tensor, coarse: Coarse) -> Tensor:
    """Every weight in turn set to the best of its values given all others; the mask stays."""
    weight = start.clone()
    for _ in range(_SWEEPS):
        for first in range(0, weight.shape[1], _BLOCK):
            columns = slice(first, first + _BLOCK)
            corner = damped[columns, columns]
            slope = (weight - wanted) @ damped[:, columns]
            for at in range(len(corner)):
                before = weight[:, first + at]
                best = coarse.snap((before - slope[:, at] / corner[at, at])[:, None])[:, 0] * kept[:, first + at]
                slope += torch.outer(best - before, corner[at])
                weight[:, first + at] = best
    return weight
