"""What layers take in the runtime, measured for a few sizes and interpolated in between."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.graph.groups import Indices

Sizes = Indices | int


@dataclass(frozen=True, eq=False)
class LatencyGrid:
    """Microseconds [rows, columns] of one layer with all that follows it alone (activation, pool).

    Kernels compute whole blocks of output channels, and in float32 whole blocks of input channels where there is more
    than one: 20 channels take what 32 do. In float32 an answer that is not whole blocks is also laid out anew for the
    next layer. Sizes are rounded up before they are interpolated.

    rows, columns: the sizes measured, ascending: output channels, input channels. kernel: columns of the flattened
    weight for each input channel. block: in channels. uneven_us: of laying out one output channel anew.
    """

    rows: Doubles
    columns: Doubles
    kernel: int
    block: int
    float_us: Doubles
    integer_us: Doubles
    uneven_us: float

    def latency_us(self, rows: Sizes, columns: Sizes, *, integer: bool) -> Doubles:
        """Of a weight flattened to so many rows and columns; beyond the sizes measured those at the end hold."""
        inputs = np.asarray(columns) / self.kernel
        whole = _whole(rows, self.block)
        if integer:
            return self._between(self.integer_us, whole, inputs)
        uneven_us = np.where(whole > rows, self.uneven_us * np.asarray(rows), 0.0)
        return (
            self._between(self.float_us, whole, np.where(inputs > self.block, _whole(inputs, self.block), inputs))
            + uneven_us
        )

    def _between(self, us: Doubles, rows: Doubles, columns: Doubles) -> Doubles:
        """Bilinear."""
        low, high, share = _neighbours(self.rows, rows)
        left, right, part = _neighbours(self.columns, columns)
        upper = us[low, left] * (1 - part) + us[low, right] * part
        lower = us[high, left] * (1 - part) + us[high, right] * part
        return np.asarray(upper * (1 - share) + lower * share)


@dataclass(frozen=True, eq=False)
class Latencies:
    """One device's figures for one net.

    layers: by convolution or linear layer. rest_us: what the whole dense net takes beyond its layers, in float32 and
    in int8; infinite where it cannot compute so.
    """

    layers: Mapping[str, LatencyGrid]
    rest_us: tuple[float, float]


def _whole(size: Sizes | Doubles, block: int) -> Doubles:
    """Rounded up to whole blocks."""
    return np.asarray(np.ceil(np.asarray(size) / block) * block)


def _neighbours(grid: Doubles, at: Doubles) -> tuple[Indices, Indices, Doubles]:
    """The places before and after, and how far it is from one to the other, 0 to 1."""
    high: Indices = np.clip(np.searchsorted(grid, at), min(1, len(grid) - 1), len(grid) - 1)
    low = np.maximum(high - 1, 0)
    width = np.where(high > low, grid[high] - grid[low], 1.0)
    return low, high, np.clip((at - grid[low]) / width, 0.0, 1.0)
