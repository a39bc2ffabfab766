"""What an update codec is, and the registry of codecs.

To add a codec: one file with a `make`, registered at import, named in `codec/__init__.py`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import dense
from fedtailor.strategies.merge.sparse import Sparse
from fedtailor.strategies.named import Named, made


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
    decode_sparse: the same, of a codec that sends few coordinates; None where it sends all.
    limits: the number of scales, and the least and most payload bytes, that a schema allows; checked before decoding.
    """

    encode: Callable[[Sequence[Floats], Context, np.random.Generator], Encoded]
    decode: Callable[[Encoded, Context], list[Floats]]
    limits: Callable[[Schema], tuple[int, int, int]]
    decode_sparse: Callable[[Encoded, Context], Sparse] | None = None


def sparse_coder(
    *,
    encode: Callable[[Sequence[Floats], Context, np.random.Generator], Encoded],
    decode_sparse: Callable[[Encoded, Context], Sparse],
    limits: Callable[[Schema], tuple[int, int, int]],
) -> Coder:
    """A coder of few coordinates: what it decodes densely follows from what it decodes."""

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        return dense(decode_sparse(encoded, context), context.schema)

    return Coder(encode=encode, decode=decode, limits=limits, decode_sparse=decode_sparse)


Codec = Named[Coder]

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
    return made("codec", spec, CODECS)


def read_within(coder: Coder, encoded: Encoded, context: Context) -> Sparse | list[Floats]:
    """What bytes from elsewhere say, checked against the coder's limits before memory is taken for it.

    Raises:
        DecodeError: the limits do not allow it, its bytes are damaged, or a value is NaN or infinite.
    """
    _check_limits(encoded, coder, context.schema)
    with np.errstate(over="ignore", invalid="ignore"):  # of large scales; what comes of it is checked below
        delta = (coder.decode_sparse or coder.decode)(encoded, context)
    _check_finite(delta, context.schema)
    return delta


def decode_within(coder: Coder, encoded: Encoded, context: Context) -> list[Floats]:
    """The same as tensors in the order of the context's schema."""
    delta = read_within(coder, encoded, context)
    return dense(delta, context.schema) if isinstance(delta, Sparse) else delta


def _check_finite(delta: Sparse | list[Floats], schema: Schema) -> None:
    if isinstance(delta, Sparse):
        bad = delta.positions[~np.isfinite(delta.values)]
        layers = np.searchsorted(np.cumsum(schema.sizes), bad, side="right").tolist()
    else:
        layers = [at for at, tensor in enumerate(delta) if not np.isfinite(tensor).all()]
    if layers:
        raise DecodeError(f"layer {schema.names[layers[0]]!r} holds NaN or infinity")


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
