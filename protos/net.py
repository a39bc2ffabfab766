"""A model as a chain of layers with their numbers: what tailoring works on and what an artefact is built from.

Activations are [N, *sample] as stored in a fleet file (channels last) until `ChannelsFirst`. Arrays are float32.
"""

from dataclasses import dataclass

from fedtailor.protos.schema import Floats


@dataclass(frozen=True, eq=False)
class Affine:
    """x · scale + shift along the last axis; both [C] or [1]."""

    name: str
    scale: Floats
    shift: Floats


@dataclass(frozen=True)
class ChannelsFirst:
    """[N, *spatial, C] to [N, C, *spatial]."""

    name: str


@dataclass(frozen=True)
class ChannelsLast:
    """[N, C, *spatial] to [N, *spatial, C]."""

    name: str


@dataclass(frozen=True, eq=False)
class Conv:
    """weight [out, in / groups, *kernel], bias [out]; `padding` is (before, after) per spatial axis."""

    name: str
    weight: Floats
    bias: Floats
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False)
class Linear:
    """weight [out, in], bias [out], applied along the last axis."""

    name: str
    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Relu:
    name: str


@dataclass(frozen=True)
class MaxPool:
    """No padding; the last incomplete window is dropped."""

    name: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class GlobalAveragePool:
    """[N, C, *spatial] to [N, C]."""

    name: str


@dataclass(frozen=True)
class Flatten:
    """[N, ...] to [N, F]."""

    name: str


@dataclass(frozen=True, eq=False)
class Embedding:
    """Integer tokens [N, T] to [N, T, width]; table [symbols, width]."""

    name: str
    table: Floats


Layer = Affine | ChannelsFirst | ChannelsLast | Conv | Linear | Relu | MaxPool | GlobalAveragePool | Flatten | Embedding


@dataclass(frozen=True)
class Net:
    """`input_shape` is one sample without the batch axis; `tokens` says that it holds integers (int64)."""

    input_shape: tuple[int, ...]
    tokens: bool
    layers: tuple[Layer, ...]
