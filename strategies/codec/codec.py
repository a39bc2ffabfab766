"""What an update codec is, and the registry of codecs.

To add a codec: one file with a `make`, registered at import, named in `codec/__init__.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import DecodeError, PlanError
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

    encode: float32 tensors in the order of the context's schema -> Encoded; `rng` is for stochastic rounding and for a
        rotation's seed, which is sent.
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


def decode_within(coder: Coder, encoded: Encoded, context: Context) -> list[Floats]:
    """What bytes from elsewhere say, checked against the coder's limits before memory is taken for it.

    Raises:
        DecodeError: the limits do not allow it, its bytes are damaged, or a value is NaN or infinite.
    """
    _check_limits(encoded, coder, context.schema)
    with np.errstate(over="ignore", invalid="ignore"):  # of large scales; what comes of it is checked below
        delta = coder.decode(encoded, context)
    for name, tensor in zip(context.schema.names, delta, strict=True):
        if not np.isfinite(tensor).all():
            raise DecodeError(f"layer {name!r} holds NaN or infinity")
    return delta


def _check_limits(encoded: Encoded, coder: Coder, schema: Schema) -> None:
    scales, least, most = coder.limits(schema)
    if len(encoded.scales) != scales:
        raise DecodeError(f"{len(encoded.scales)} scales came, expected {scales}")
    for at, scale in enumerate(encoded.scales):
        if not (math.isfinite(scale) and scale > 0):
            raise DecodeError(f"scale {at} is {scale!r}, expected one that is finite and above 0")
    if not least <= len(encoded.payload) <= most:
        raise DecodeError(
            f"the payload has {len(encoded.payload)} bytes, expected {least} to {most} for {schema.size} parameters"
        )
