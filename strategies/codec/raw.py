"""The update as it is: float32, little endian. The reference that other codecs are measured against."""

from collections.abc import Sequence

import numpy as np

from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.codec import Codec, Encoded, register


def _encode(tensors: Sequence[Floats], _: np.random.Generator) -> Encoded:
    return Encoded(scales=(), payload=b"".join(tensor.astype("<f4").tobytes() for tensor in tensors))


def _decode(encoded: Encoded, schema: Schema) -> list[Floats]:
    flat = np.frombuffer(encoded.payload, "<f4").astype(np.float32)
    parts = np.split(flat, np.cumsum(schema.sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, schema.shapes, strict=True)]


FP32 = register(
    Codec(
        name="fp32",
        version=1,
        encode=_encode,
        decode=_decode,
        limits=lambda schema: (0, 4 * schema.size, 4 * schema.size),
    )
)
