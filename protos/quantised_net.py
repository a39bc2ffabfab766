"""A model in integers as a graph of layers: what an int8 artefact is built from.

Values are tokens, float32 or u8. A u8 value q stands for scale · (q − zero_point) on the grid of the layer that made
it; layers that only move or compare values (`ChannelsFirst`, `ChannelsLast`, `MaxPool`, `Flatten`, and `Activation`
with "relu") keep the grid they find. A ReLU or ReLU6 after a convolution is the ends of its output grid. What computes
in float32 (the input's `Affine`, attention, layers that measure faster so, all that follows the last linear layer) is
the layer of `protos/net.py` itself, between `Dequantise` and `Quantise`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.net import Function, Layer, Wires, checked_wires
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


@dataclass(frozen=True)
class Dequantise:
    """u8 to float32."""

    name: str


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


@dataclass(frozen=True)
class QuantisedAdd:
    """The sum of two u8 values, each on its own grid."""

    name: str
    output: Grid


@dataclass(frozen=True)
class QuantisedConcat:
    """As `Concat`; each u8 value is brought from its own grid onto the output's."""

    name: str
    axis: int
    output: Grid


@dataclass(frozen=True)
class QuantisedActivation:
    """A function of u8, u8 again: 256 answers, looked up."""

    name: str
    function: Function
    output: Grid


@dataclass(frozen=True)
class QuantisedAveragePool:
    """As `AveragePool` on u8, on a grid of its own."""

    name: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    output: Grid


@dataclass(frozen=True, eq=False)
class BlockLinear:
    """A linear layer with 4-bit weights that reads and answers float32.

    weight int8 [out, in], −8 to 7; scales [out, ⌈in / block⌉], one for each run of `block` inputs (a power of two, at
    least 16); bias float32 [out].
    """

    name: str
    weight: Int8s
    scales: Floats
    bias: Floats
    block: int


QuantisedLayer = (
    Layer
    | Quantise
    | Dequantise
    | QuantisedConv
    | QuantisedLinear
    | QuantisedAverage
    | QuantisedEmbedding
    | QuantisedAdd
    | QuantisedConcat
    | QuantisedActivation
    | QuantisedAveragePool
    | BlockLinear
)


@dataclass(frozen=True)
class QuantisedNet:
    """As `Net`: `input_shape` is one sample, `tokens` says that it holds integers (int64), `wires` who reads whom."""

    input_shape: tuple[int, ...]
    tokens: bool
    layers: tuple[QuantisedLayer, ...]
    wires: Wires = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "wires", checked_wires(self.wires, len(self.layers)))
