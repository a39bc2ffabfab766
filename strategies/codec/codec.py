"""What an update codec is, and the registry of codecs.

To add a codec: one file with a `make`, registered at import, named in `codec/__init__.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Scales, each finite and above 0 (as many as the codec's limits say), and all other bits."""

    scales: tuple[float, ...]
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """A pair of pure functions over the tensors of one model, and what bounds their bytes.

    encode: float32 tensors in the order of the context's schema -> Encoded; `rng` is for stochastic rounding only.
    decode: the inverse, up to the codec's own rounding; `Encoded` has passed `limits`. Anything that `encode` could not
        have written is a DecodeError, before memory is taken for it.
    limits: the number of scales, and the least and most payload bytes, that a schema allows; checked before decoding.
    """

    encode: Callable[[Sequence[Floats], Context, np.random.Generator], Encoded]
    decode: Callable[[Encoded, Context], list[Floats]]
    limits: Callable[[Schema], tuple[int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A family of coders: `make` gets a value for each of the `defaults`, or raises ValueError with one clear line."""

    name: str
    version: int
    defaults: Mapping[str, float]
    make: Callable[[Mapping[str, float]], Coder]


CODECS: dict[str, Codec] = {}


def register(codec: Codec) -> Codec:
    """Make a codec known by its name."""
    CODECS[codec.name] = codec
    return codec


def coder_of(spec: CodecSpec) -> Coder:
    """The coder that a plan asks for.

    Raises:
        PlanError: an unknown name, version or parameter, or a parameter out of range; the line names what is known.
    """
    codec = CODECS.get(spec.name)
    if codec is None or codec.version != spec.version:
        known = ", ".join(f"{each.name} {each.version}" for each in CODECS.values())
        raise PlanError(f"codec {spec.name} {spec.version} is not known here; known: {known}; update the older side")
    unknown = sorted(set(spec.args) - set(codec.defaults))
    if unknown:
        takes = ", ".join(codec.defaults) or "none"
        raise PlanError(f"codec {spec.name} {spec.version}: unknown parameter {', '.join(unknown)}; it takes {takes}")
    try:
        return codec.make({**codec.defaults, **spec.args})
    except ValueError as error:
        raise PlanError(f"codec {spec.name} {spec.version}: {error}") from error
