"""The update as it is, in little-endian floating point: what other codecs are measured against."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import DTypeLike

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten


def raw(kind: DTypeLike, _: Mapping[str, float]) -> Coder:
    """Store each value in the floating point `kind`; larger ones than it holds become its largest, ±65504 in fp16."""
    stored = np.dtype(kind)
    largest = float(np.finfo(stored).max)

    def encode(tensors: Sequence[Floats], _: Context, __: np.random.Generator) -> Encoded:
        return Encoded(scales=(), payload=np.clip(flatten(tensors), -largest, largest).astype(stored).tobytes())

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        vector = np.frombuffer(encoded.payload, stored).astype(np.float32)
        if not np.isfinite(vector).all():
            at = int(np.flatnonzero(~np.isfinite(vector))[0])
            raise DecodeError(f"value {at} of {vector.size} is {vector[at]}, expected a finite number")
        return unflatten(vector, context.schema)

    def limits(schema: Schema) -> tuple[int, int, int]:
        return 0, stored.itemsize * schema.size, stored.itemsize * schema.size

    return Coder(encode=encode, decode=decode, limits=limits)


FP32 = register(Codec(name="fp32", version=1, defaults={}, make=partial(raw, "<f4")))
FP16 = register(Codec(name="fp16", version=1, defaults={}, make=partial(raw, "<f2")))
