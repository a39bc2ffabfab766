"""What an update codec is, and the registry of codecs.

To add a codec: one file with a factory, registered at import, named in `codec/__init__.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One scale above 0 per tensor (or none), and the values of all tensors in schema order."""

    scales: tuple[float, ...]
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A named pair of pure functions over the tensors of one model.

    encode: float32 tensors in schema order -> Encoded; `rng` is for stochastic rounding only.
    decode: the inverse, up to the codec's own rounding; `Encoded` has passed `limits`.
    limits: the number of scales, and the least and most payload bytes, that a schema allows; checked before decoding.
    """

    name: str
    version: int
    encode: Callable[[Sequence[Floats], np.random.Generator], Encoded]
    decode: Callable[[Encoded, Schema], list[Floats]]
    limits: Callable[[Schema], tuple[int, int, int]]


CODECS: dict[str, Codec] = {}


def register(codec: Codec) -> Codec:
    """Make a codec known by its name."""
    CODECS[codec.name] = codec
    return codec


def codec_named(spec: CodecSpec) -> Codec:
    """The registered codec.

    Raises:
        PlanError: an unknown name, version or parameter; the line names what is known.
    """
    codec = CODECS.get(spec.name)
    if codec is None or codec.version != spec.version:
        known = ", ".join(f"{each.name} {each.version}" for each in CODECS.values())
        raise PlanError(f"codec {spec.name} {spec.version} is not known here; known: {known}; update the older side")
    if spec.args:
        raise PlanError(f"codec {spec.name} {spec.version} takes no parameters, got {', '.join(sorted(spec.args))}")
    return codec
