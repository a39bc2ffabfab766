"""Masks of single weights, the rest compensated: for size alone, as no runtime is faster for them.

Sources: Frantar & Alistarh 2023, SparseGPT, arXiv:2301.00774, sections 3.1 and 3.3 (unstructured and n:m masks);
Frantar & Alistarh 2022, Optimal Brain Compression, arXiv:2208.11580, section 4 (saliency w² / [H⁻¹]).
"""

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.compensation import Coarse, compensated


def sparsify(weight: Doubles, energy: Doubles, density: float) -> Doubles:
    """`weight` [out, in] with a share `density` of it left, chosen among all rows of 128 inputs at a time.

    energy [in, in] is the mean of x·xᵀ over the inputs.

    Raises:
        ValueError: `density` is not above 0 and at most 1.
    """
    if not 0 < density <= 1:
        raise ValueError(f"sparsify: density must be above 0 and at most 1, got {density}")
    return compensated(weight, energy, Coarse(share(density), _as_it_is))


def n_of_m(weight: Doubles, energy: Doubles, n: int, m: int) -> Doubles:
    """`weight` [out, in] with at most n values in every m consecutive inputs of a row (the last run may be shorter).

    energy [in, in] is the mean of x·xᵀ over the inputs.

    Raises:
        ValueError: n is not 1 to m.
    """
    if not 1 <= n <= m:
        raise ValueError(f"n_of_m: n must be 1 to m, got {n} of {m}")
    return compensated(weight, energy, Coarse(lambda growth: _largest(growth, min(n, growth.shape[1])), _as_it_is, m))


def share(density: float) -> Callable[[Tensor], Tensor]:
    """A mask that keeps this part of a run of columns: those whose removal costs most."""

    def keep(growth: Tensor) -> Tensor:
        count = ceil(density * growth.numel() - 1e-9)  # 0.07 · 100 is above 7 in floating point
        return _largest(growth.flatten(), count).view_as(growth)

    return keep


def _largest(values: Tensor, count: int) -> Tensor:
    """1 for the `count` largest along the last axis, 0 for the others."""
    return torch.zeros_like(values).scatter_(-1, values.topk(count, dim=-1).indices, 1.0)


def _as_it_is(values: Tensor) -> Tensor:
    return values
