"""A model as a graph of layers with their numbers: what tailoring works on and what an artefact is built from.

Activations are [N, *sample] as stored in a fleet file (channels last) until `ChannelsFirst`. Arrays are float32.
Where a layer has `scales` [out], its weight is a whole multiple of its row's scale, and is kept as those integers.
"""

from dataclasses import dataclass
from typing import Literal

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
    scales: Floats | None = None


@dataclass(frozen=True, eq=False)
class Linear:
    """weight [out, in], bias [out], applied along the last axis."""

    name: str
    weight: Floats
    bias: Floats
    scales: Floats | None = None


Function = Literal["relu", "relu6", "hardswish", "gelu", "silu", "sigmoid", "tanh"]


@dataclass(frozen=True)
class Activation:
    """One function of every value; `gelu` is the exact one, by the error function."""

    name: str
    function: Function


@dataclass(frozen=True)
class MaxPool:
    """The last incomplete window is dropped; padding (before, after) per spatial axis never wins."""

    name: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] = ()  # none


@dataclass(frozen=True)
class AveragePool:
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


@dataclass(frozen=True)
class Add:
    """The sum of two values of one shape: a residual connection."""

    name: str


@dataclass(frozen=True)
class Concat:
    """Two or more values side by side along `axis` of the sample: 0 for [C, *spatial], the last one for [T, C]."""

    name: str
    axis: int


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Along the last axis: (x − mean) / √(variance + epsilon) · scale + shift; both [C]."""

    name: str
    scale: Floats
    shift: Floats
    epsilon: float


@dataclass(frozen=True)
class Attention:
    """Queries, keys and values [T, heads · width], projected already, to [T, heads · width]; softmax(q·k / √width) · v.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2. `causal`: a position sees itself and what is before it.
    """

    name: str
    heads: int
    causal: bool


@dataclass(frozen=True, eq=False)
class Positions:
    """Adds a learned table [T, C] to [T, C]."""

    name: str
    table: Floats


Layer = (
    Affine
    | ChannelsFirst
    | ChannelsLast
    | Conv
    | Linear
    | Activation
    | MaxPool
    | AveragePool
    | GlobalAveragePool
    | Flatten
    | Embedding
    | Add
    | Concat
    | LayerNorm
    | Attention
    | Positions
)

Wires = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Net:
    """`input_shape` is one sample without the batch axis; `tokens` says that it holds integers (int64).

    `wires[at]` names the values that layer `at` reads: 0 is the sample, k the answer of layer k − 1. Layers are in an
    order in which they can be computed; the last one answers. Left out, each layer reads the one before it.
    """

    input_shape: tuple[int, ...]
    tokens: bool
    layers: tuple[Layer, ...]
    wires: Wires = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "wires", checked_wires(self.wires, len(self.layers)))


def checked_wires(wires: Wires, layers: int) -> Wires:
    """The wires of so many layers; without any they form a chain.

    Raises:
        ValueError: their number differs, or a layer reads nothing or what is not computed before it.
    """
    if not wires:
        return tuple((at,) for at in range(layers))
    if len(wires) != layers:
        raise ValueError(f"a net of {layers} layers needs wires for each of them, got {len(wires)}")
    for at, read in enumerate(wires):
        if not read or min(read) < 0 or max(read) > at:
            raise ValueError(f"layer {at} of a net may read values 0 to {at}, got {read}")
    return wires
