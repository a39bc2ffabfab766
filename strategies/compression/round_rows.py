"""Integers and a bfloat16 scale for every row of a weight matrix."""

import numpy as np

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.gptq import round_compensated
from fedtailor.strategies.integer.grids import bfloat16_nearest, sign_scales, weight_scales

_FACTORS = (0.6, 0.8, 1.0, 1.2, 1.4)  # of the scale that suits the weights alone


def nearest_rows(weight: Doubles, coding: Coding) -> tuple[Doubles, Doubles]:
    """Integers [out, in], each the nearest, and the scales [out] of least squared error on weight [out, in].

    A row of zeros has the scale 1.
    """
    scales = _weight_scales(weight, coding)
    return np.clip(np.rint(weight / scales[:, None]), -coding.top, coding.top), scales


def round_rows(weight: Doubles, coding: Coding, energy: Doubles) -> tuple[Doubles, Doubles]:
    """Integers [out, in] and scales [out] of least error Σ d·energy·dᵀ over the rows d of what rounding changes.

    Below 8 bits each row is rounded, with compensation, on a few scales; the best is kept, and its scale is then the
    one that suits its integers. At 8 bits the nearest integers lose next to nothing.

    Args:
        weight: [out, in].
        coding: 1 to 8 bits.
        energy: [in, in], the mean of x·xᵀ over the layer's inputs.
    """
    if coding == Coding(8):
        return nearest_rows(weight, coding)
    tries = bfloat16_nearest(np.outer(_FACTORS, _weight_scales(weight, coding)))
    many = np.tile(weight, (len(tries), 1))
    rounded = round_compensated(many, tries.ravel(), coding, energy)
    errors = _errors(many - rounded * tries.reshape(-1, 1), energy).reshape(tries.shape)
    best, rows = errors.argmin(0), np.arange(len(weight))
    integers: Doubles = rounded.reshape(*tries.shape, -1)[best, rows]
    integers[~weight.any(1)] = 0
    return integers, _fitted_scales(weight, integers, tries[best, rows], energy)


def _weight_scales(weight: Doubles, coding: Coding) -> Doubles:
    scales = sign_scales(weight) if coding.bits == 1 else weight_scales(weight, coding.top)
    return np.where(scales > 0, scales, 1.0)


def _errors(change: Doubles, energy: Doubles) -> Doubles:
    errors: Doubles = np.einsum("oi,oi->o", change @ energy, change)
    return errors


def _fitted_scales(weight: Doubles, integers: Doubles, scales: Doubles, energy: Doubles) -> Doubles:
    """For given integers the error is a parabola in the scale: the best bfloat16 is the one next to its foot."""
    seen = integers @ energy
    along, against = (seen * weight).sum(1), (seen * integers).sum(1)
    feet = bfloat16_nearest(np.divide(along, against, out=scales.copy(), where=against > 0))
    return np.where(feet > 0, feet, scales)
