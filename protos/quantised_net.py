"""A model in integers as a chain of layers: what an int8 artefact is built from.

Values run through the chain as tokens, float32 or u8. A u8 value q stands for scale · (q − zero_point) on the grid of
the layer that made it; layers that only move or compare values keep the grid they find. A ReLU after a convolution is
the lower end of its output grid. What is not quantised (the input's `Affine`, all that follows the last `Linear`) is
the layer of `protos/net.py` itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.net import Affine, ChannelsFirst, ChannelsLast, Flatten, MaxPool, Relu
from fedtailor.protos.schema import Floats

Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]
UInt8s = NDArray[np.uint8]


@dataclass(frozen=True)
class Grid:
    """The reals that u8 values stand for; `scale` is a float32 above 0, `zero_point` 0 to 255."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not (0 < self.scale < float("inf") and self.scale == float(np.float32(self.scale))):
            raise ValueError(f"Grid.scale must be a finite float32 above 0, got {self.scale!r}")
        if not 0 <= self.zero_point <= 255:
            raise ValueError(f"Grid.zero_point must be 0 to 255, got {self.zero_point!r}")


@dataclass(frozen=True)
class Quantise:
    """float32 to u8: round half to even, saturate."""

    name: str
    output: Grid


@dataclass(frozen=True, eq=False)
class QuantisedConv:
    """weight int8 [out, in / groups, *kernel] with one scale per output channel; bias int32 on input scale · scale.

    `scales` [out] are bfloat16 values (float32 with 16 trailing zero bits): half the bytes, and the weights are rounded
    on them, so nothing is lost.
    """

    name: str
    weight: Int8s
    scales: Floats
    bias: Int32s
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    output: Grid


@dataclass(frozen=True, eq=False)
class QuantisedLinear:
    """As `QuantisedConv`, weight [out, in]; without an output grid it answers in float32."""

    name: str
    weight: Int8s
    scales: Floats
    bias: Int32s
    output: Grid | None


@dataclass(frozen=True)
class QuantisedAverage:
    """Global average of u8 [N, C, *spatial] to [N, C], on a grid of its own."""

    name: str
    output: Grid


@dataclass(frozen=True, eq=False)
class QuantisedEmbedding:
    """Integer tokens [N, T] to u8 [N, T, width]; table [symbols, width]."""

    name: str
    table: UInt8s
    output: Grid


QuantisedLayer = (
    Affine
    | ChannelsFirst
    | ChannelsLast
    | Relu
    | MaxPool
    | Flatten
    | Quantise
    | QuantisedConv
    | QuantisedLinear
    | QuantisedAverage
    | QuantisedEmbedding
)


@dataclass(frozen=True)
class QuantisedNet:
    """As `Net`: `input_shape` is one sample, `tokens` says that it holds integers (int64)."""

    input_shape: tuple[int, ...]
    tokens: bool
    layers: tuple[QuantisedLayer, ...]
