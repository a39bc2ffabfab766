"""One step for all tensors, and small values are left out where they would cost more bits than they are worth.

How wide the dead zone around 0 is follows from the trade of squared error for bits: Sullivan 1996, IEEE Transactions on
Information Theory 42(5), section IV. So it differs with what a coordinate's row and column lead one to expect.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.activity import CLASSES, class_count, classes_of, expected
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.planes import Small, most_plane_bits, read_planes, write_planes

_LARGEST = float(np.finfo(np.float32).max)
_FIRST_GUESS = 0.35  # of a step is added before rounding down
_UPPER = 0.4  # the same above the first level
_PRICE = 0.058  # of a bit, in steps: half the slope of squared error over bits of a fine quantiser, ln 2 / 12


def deadzone(args: Mapping[str, float]) -> Coder:
    """Round to multiples, at most 255, of `step` (1/8 to 64) times the root mean square of the update.

    Scales: the step, and the mean magnitude of the first level. Payload: the classes of rows and columns, all levels in
    the order of what those lead one to expect, and the signs of those that are not zero.

    Raises:
        ValueError: `step` is out of range.
    """
    share = args["step"]
    if not 1 / 8 <= share <= 64:
        raise ValueError(f"step must be from 1/8 to 64, got {share:g}")

    def encode(tensors: Sequence[Floats], context: Context, _: np.random.Generator) -> Encoded:
        vector, schema = flatten(tensors), context.schema
        magnitudes = np.abs(vector)
        step = _step(vector, share)
        steps = np.minimum(magnitudes / np.float32(step), np.float32(255))
        classes = classes_of((steps + np.float32(_FIRST_GUESS)).astype(np.uint8), schema)
        octaves = expected(classes, schema)
        levels = _levels(steps, octaves)
        order, sizes = _buckets(octaves)
        writer = BitWriter()
        write_planes(writer, classes, _one_bucket(classes.size))
        write_planes(writer, levels[order], sizes)
        writer.write_flags(np.compress(levels > 0, vector) < 0)
        return Encoded(scales=_scales(magnitudes, levels, step), payload=writer.to_bytes())

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        schema, reader = context.schema, BitReader(encoded.payload)
        classes = read_planes(reader, _one_bucket(class_count(schema)))
        order, sizes = _buckets(expected(classes, schema))
        levels = np.zeros(schema.size, np.uint8)
        levels[order] = read_planes(reader, sizes)
        others = np.flatnonzero(levels)
        negative = reader.read_flags(others.size)
        reader.close()
        vector = _values(encoded.scales)[levels]
        vector[others[negative]] *= np.float32(-1)
        return unflatten(vector, schema)

    def limits(schema: Schema) -> tuple[int, int, int]:
        bits = most_plane_bits(class_count(schema), 1) + most_plane_bits(schema.size, CLASSES) + schema.size
        return 2, 0, -(-bits // 8)

    return Coder(encode=encode, decode=decode, limits=limits)


def _step(vector: Floats, share: float) -> float:
    mean_square = float(np.square(vector, dtype=np.float64).sum()) / max(1, vector.size)
    return float(np.float32(min(share * np.sqrt(mean_square), _LARGEST))) or 1.0


def _levels(steps: Floats, octaves: Small) -> Small:
    """Each level is the one of least squared error plus the price of its bits, by how rare it is among its like."""
    among = np.maximum(np.bincount(octaves, minlength=CLASSES), 1)
    rare = np.clip(np.bincount(np.compress(steps >= 1 - _FIRST_GUESS, octaves), minlength=CLASSES) / among, 1e-4, 0.9)
    edges = (0.5 + _PRICE * (1 + np.log2((1 - rare) / rare))).astype(np.float32)
    levels = np.maximum((steps + np.float32(_UPPER)).astype(np.uint8), 1)
    return levels * (steps >= edges[octaves])


def _scales(magnitudes: Floats, levels: Small, step: float) -> tuple[float, float]:
    """The step that fits best what lies above the first level, and the mean of the first."""
    above = np.flatnonzero(levels > 1)
    wide = levels[above].astype(np.float64)
    fitted = float(magnitudes[above] @ wide) / float(wide @ wide) if above.size else step
    first = magnitudes[levels == 1]
    return _rounded(fitted), _rounded(float(first.mean(dtype=np.float64)) if first.size else step)


def _rounded(scale: float) -> float:
    return float(np.float32(min(scale, _LARGEST))) or 1.0


def _values(scales: Sequence[float]) -> Floats:
    """What each level stands for [256]."""
    values: Floats = np.minimum(np.arange(256) * scales[0], _LARGEST).astype(np.float32)
    values[1] = scales[1]
    return values


def _buckets(octaves: Small) -> tuple[NDArray[np.intp], Integers]:
    """The coordinates by what is expected of them, and how many share it; none of the sizes is 0."""
    sizes = np.bincount(octaves)
    return np.argsort(octaves, kind="stable"), sizes[sizes > 0]


def _one_bucket(size: int) -> Integers:
    return np.full(min(size, 1), size, np.int64)


DEADZONE = register(Codec(name="deadzone", version=1, defaults={"step": 1.0}, make=deadzone))
