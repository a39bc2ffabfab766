"""Some of many, spread evenly: calibration sees few rows, and few places of each."""

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = 0.6180339887498949  # its multiples lie evenly, whatever the width of a picture


def spread_rows(rows: NDArray[np.generic], most: int) -> NDArray[np.generic]:
    """At most so many of the rows, from the first to the last."""
    count = min(len(rows), most)
    return np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])


def spread_places(shape: tuple[int, ...], most: int) -> tuple[Tensor, ...]:
    """An index of at most so many places of an array of this shape."""
    size = prod(shape)
    if size <= most:
        return torch.unravel_index(torch.arange(size), shape)
    return torch.unravel_index((torch.arange(most, dtype=torch.float64) * _GOLDEN % 1 * size).long(), shape)
