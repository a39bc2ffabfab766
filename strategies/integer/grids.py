"""Where quantised values lie: grids for activations, scales for weights."""

import numpy as np

from fedtailor.protos.quantised_net import Grid
from fedtailor.protos.schema import Doubles, Floats

_SEARCH_VALUES = 1 << 15  # a range is searched on this many values of an activation
_CLIPS = np.linspace(1.0, 0.4, 25)  # fractions of the full range that a search tries
_SMALLEST = 1e-12  # of a scale: far below any activation, far above where float32 loses digits


def full_range(values: Floats, levels: int = 256) -> Grid:
    """The finest grid of `levels` steps that holds all `values` and zero."""
    return _grid(min(float(values.min()), 0.0), max(float(values.max()), 0.0), levels)


def least_squares_range(values: Floats) -> Grid:
    """The grid, of all that clip both ends of the full range alike, with the least squared error on `values`."""
    flat = values.ravel()[:: max(1, values.size // _SEARCH_VALUES)]
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(grid: Grid) -> float:
        steps = np.clip(np.rint(flat / np.float32(grid.scale)) + grid.zero_point, 0, 255) - grid.zero_point
        return float(((steps * grid.scale - flat) ** 2).sum())

    return min((_grid(low * clip, high * clip, 256) for clip in _CLIPS), key=error)


def weight_scales(weight: Doubles, top: int) -> Doubles:
    """Per row of [out, in] the bfloat16 scale of least squared error for integers −top to top; 0 for a row of zeros."""
    largest = np.abs(weight).max(1)
    best, least = np.zeros(len(weight)), np.full(len(weight), np.inf)
    for clip in _CLIPS:
        scales = bfloat16_above(largest * clip / top)
        safe = np.where(scales > 0, scales, 1.0)[:, None]
        error = ((np.clip(np.rint(weight / safe), -top, top) * safe - weight) ** 2).sum(1)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return best


def sign_scales(weight: Doubles) -> Doubles:
    """Per row of [out, in] the bfloat16 scale of least squared error for integers −1 and 1: the mean of |w|.

    Source: Rastegari et al. 2016, XNOR-Net, arXiv:1603.05279, section 3.1.
    """
    return bfloat16_nearest(np.abs(weight).mean(1))


def bfloat16_nearest(values: Doubles) -> Doubles:
    """The nearest bfloat16, of two as near the even one."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return nearest.astype(np.uint32).view(np.float32).astype(np.float64)


def bfloat16_above(values: Doubles) -> Doubles:
    """The nearest bfloat16 that is not below each value of at least 0."""
    single = values.astype(np.float32)
    single = np.where(single < values, np.nextafter(single, np.float32(np.inf)), single)
    upper = (single.view(np.uint32).astype(np.uint64) + 0xFFFF) & 0xFFFF0000
    return upper.astype(np.uint32).view(np.float32).astype(np.float64)


def _grid(low: float, high: float, levels: int) -> Grid:
    scale = float(np.float32(max((high - low) / (levels - 1), _SMALLEST)))
    return Grid(scale, int(np.clip(np.rint(-low / scale), 0, levels - 1)))
