"""Weights rounded to few bits, each error compensated by the inputs that follow, together with a mask if one is asked.

Source: Frantar et al. 2022, GPTQ, arXiv:2210.17323; with a mask SparseGPT, arXiv:2301.00774, section 3.5 (both at once:
a weight that is kept is rounded, and either error is passed on).
"""

import numpy as np
import torch
from torch import Tensor

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.allotment import FP32_BITS, Coding
from fedtailor.strategies.compression.compensation import Coarse, compensated
from fedtailor.strategies.compression.sparsify import share


def round_compensated(weight: Doubles, scales: Doubles, coding: Coding, energy: Doubles) -> Doubles:
    """Integers of `coding` whose layer answers like `weight` on the inputs it has seen.

    Inputs are settled in the order of their energy, strongest first; with a mask in their own, since it is chosen among
    128 inputs at a time, which should not be all the strong or all the weak ones.

    Args:
        weight: [out, in].
        scales: [out], of at least 0; a row with 0 becomes zeros, or ones at 1 bit, which stand for 0 either way.
        coding: 1 to 8 bits; at a density below 1 that part of the integers may differ from 0.
        energy: [in, in], the mean of x·xᵀ over the layer's inputs.

    Raises:
        ValueError: `coding` says 32 bits.
    """
    if coding.bits == FP32_BITS:
        raise ValueError("round_compensated: 1 to 8 bits are needed, got float32; leave the layer as it is")
    order = np.arange(len(energy)) if coding.density < 1 else np.argsort(-np.diag(energy), kind="stable")
    steps = torch.from_numpy(np.where(scales > 0, scales, 1.0))[:, None]

    def snap(values: Tensor) -> Tensor:
        return _nearest(values / steps, coding) * steps

    coarse = compensated(weight[:, order], energy[np.ix_(order, order)], Coarse(share(coding.density), snap))
    rounded: Doubles = np.empty_like(coarse)
    rounded[:, order] = np.rint(coarse / steps.numpy())
    return rounded


def _nearest(values: Tensor, coding: Coding) -> Tensor:
    if coding.bits == 1:
        return torch.where(values < 0, -1.0, 1.0).to(values)
    return values.round().clamp(-coding.top, coding.top)
