"""Updates, contexts and golden bytes that every registered codec is tried with.

`python tests/support/codec_cases.py` writes the golden files that are missing; one that changes is a new version.
"""

from pathlib import Path

import numpy as np

import fedtailor.strategies.codec as _codecs  # noqa: F401 - registers them
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import CODECS, coder_of
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import unflatten
from fedtailor.strategies.codec.integer_hash import integer_hash

GOLDEN = Path(__file__).parents[1] / "golden"
SCHEMA = Schema(("conv.weight", "conv.bias", "gate", "head.weight"), ((3, 2, 5), (3,), (0,), (4, 3)))


def context_of(schema, seed=0):
    """A base that has moved, by amounts of many sizes."""
    words = integer_hash(seed, 2 * schema.size)
    base, moved = (words >> np.uint64(40)).astype(np.int32).reshape(2, -1) - (1 << 23)
    return Context(schema, base, moved >> (words[: schema.size] % np.uint64(24)).astype(np.int32))


def update_of(schema, seed=0):
    """Tensors whose sums are exact in float64, so that their order does not matter."""
    words = integer_hash(seed + 1, schema.size)
    size = (words >> np.uint64(59)).astype(np.int64) - 16
    return unflatten((size * np.abs(size) / 16 * 2.0**-5).astype(np.float32), schema)


def spec_of(name, **args):
    return CodecSpec(name=name, version=CODECS[name].version, args=args)


def encoded_by(spec, tensors, context, seed=0):
    return coder_of(spec).encode(tensors, context, np.random.default_rng(seed))


def golden_bytes(name):
    """The scales, then the payload, of one update in the codec's defaults."""
    schema = Schema(("conv.weight", "conv.bias", "head.weight"), ((40, 30, 5), (30,), (10, 40)))
    encoded = encoded_by(spec_of(name), update_of(schema), context_of(schema))
    return np.array(encoded.scales, "<f4").tobytes() + encoded.payload


def golden_path(name):
    return GOLDEN / f"{name}_v{CODECS[name].version}.bin"


if __name__ == "__main__":
    for codec in CODECS:
        if not golden_path(codec).exists():
            golden_path(codec).write_bytes(golden_bytes(codec))
