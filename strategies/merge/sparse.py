"""A delta of which few coordinates were sent; all others are 0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Floats

Kept = NDArray[np.bool_]
Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Sparse:
    """positions [k]: coordinates of the flattened model, ascending and distinct. values [k]: float32."""

    positions: Positions
    values: Floats


def in_order(positions: Positions, values: Floats) -> Sparse:
    """The same of distinct positions in any order."""
    order = np.argsort(positions)
    return Sparse(positions[order], values[order])
