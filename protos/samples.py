"""One device's rows, split; what a fleet file holds for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """x [N, *sample] float32 (tokens: int64), y [N] int64, [N] float32 or [N, T] int64."""

    x: NDArray[np.generic]
    y: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class DeviceData:
    """One device's three splits. `outputs` is the number of classes or symbols of the fleet; 1 for regression."""

    device_id: str
    kind: str
    outputs: int
    train: Samples
    validation: Samples
    test: Samples

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])
