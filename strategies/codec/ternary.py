"""Each value as −m, 0 or m, where m is the largest of its tensor: what is small waits in the error feedback.

Source: the ternary values of Sattler et al. 2019, arXiv:1903.02891, algorithm 1, with a threshold for each tensor in
place of one top-k for all.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register, sparse_coder
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.positions import most_position_bits, read_positions, write_positions
from fedtailor.strategies.merge.sparse import Sparse, in_order

_SCALE_BYTES = 2
_LEAST, _LARGEST = 2.0**-24, 65504.0  # above 0 in fp16


def ternary(args: Mapping[str, float]) -> Coder:
    """q = sign(x) where |x| > tau·m, else 0, and x̂ = m·q, with m = max|x| of its tensor, rounded to fp16.

    Payload: m of each tensor, 0 where no value passes; the positions of all that pass; their signs.

    Raises:
        ValueError: `tau` is not from 0 to below 1.
    """
    tau = args["tau"]
    if not 0 <= tau < 1:
        raise ValueError(f"tau must be at least 0 and below 1, got {tau:g}")

    def encode(tensors: Sequence[Floats], context: Context, _: np.random.Generator) -> Encoded:
        vector = flatten(tensors)
        scales, positions = _pass(unflatten(vector, context.schema), tau)
        writer = BitWriter()
        coded = write_positions(writer, positions, context)
        writer.write_bits((vector[coded] < 0).astype(np.int64), 1)
        return Encoded(scales=(), payload=scales.astype("<f2").tobytes() + writer.to_bytes())

    def decode_sparse(encoded: Encoded, context: Context) -> Sparse:
        schema = context.schema
        head = _SCALE_BYTES * len(schema.names)
        scales = _read_scales(encoded.payload[:head], schema)
        reader = BitReader(encoded.payload[head:])
        positions = read_positions(reader, context, schema.size)
        negative = reader.read_bits(positions.size, 1) > 0
        reader.close()
        tensor_of = np.searchsorted(np.cumsum(schema.sizes), positions, side="right")
        _check_used(scales, np.bincount(tensor_of, minlength=scales.size), schema)
        return in_order(positions, np.where(negative, np.float32(-1), np.float32(1)) * scales[tensor_of])

    def limits(schema: Schema) -> tuple[int, int, int]:
        scales = _SCALE_BYTES * len(schema.names)
        return 0, scales, scales + (most_position_bits(schema) + schema.size + 7) // 8

    return sparse_coder(encode=encode, decode_sparse=decode_sparse, limits=limits)


def _pass(tensors: Sequence[Floats], tau: float) -> tuple[Floats, Integers]:
    """The scale of each tensor, 0 where no value passes its threshold, and the coordinates that do."""
    scales, positions, begin = np.zeros(len(tensors), np.float32), [np.zeros(0, np.int64)], 0
    for at, tensor in enumerate(tensors):
        magnitudes = np.abs(tensor.ravel())
        scale = np.float32(np.float16(np.clip(magnitudes.max(initial=0.0), _LEAST, _LARGEST)))
        passed = np.flatnonzero(magnitudes > np.float32(tau) * scale)
        scales[at] = scale if passed.size else 0.0
        positions.append(passed + begin)
        begin += tensor.size
    return scales, np.concatenate(positions)


def _read_scales(data: bytes, schema: Schema) -> Floats:
    scales = np.frombuffer(data, "<f2").astype(np.float32)
    for name, scale in zip(schema.names, scales, strict=True):
        if not np.isfinite(scale) or np.signbit(scale):
            raise DecodeError(f"layer {name!r} has scale {scale}, expected a finite number of at least 0")
    return scales


def _check_used(scales: Floats, counts: Integers, schema: Schema) -> None:
    for name, scale, count in zip(schema.names, scales, counts, strict=True):
        if (scale > 0) != (count > 0):
            raise DecodeError(f"layer {name!r} has scale {scale:g} and {count} values, expected both above 0 or both 0")


TERNARY = register(Codec(name="ternary", version=1, defaults={"tau": 0.65}, make=ternary))
