"""The coordinates of the largest values: the same ones on every platform, ties among them."""

import numpy as np
from numpy.typing import NDArray


def count_of(share: float, size: int) -> int:
    """How many coordinates a `share` (above 0, at most 1) of `size` is: at least one, if there is one."""
    return min(size, max(1, int(share * size)))


def largest(values: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """Positions, ascending, of the `count` largest of `values` [at least `count`]; of equal ones the first."""
    if count == 0:
        return np.zeros(0, np.int64)
    least = np.partition(values, values.size - count)[values.size - count]
    above = np.flatnonzero(values > least)
    equal = np.flatnonzero(values == least)[: count - above.size]
    return np.sort(np.concatenate((above, equal))).astype(np.int64)
