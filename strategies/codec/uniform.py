"""Uniform symmetric quantisation of an update, one scale per tensor; its levels in as few bits as they take.

Rounding at random keeps the mean of many devices unbiased (QSGD, Alistarh et al. 2017, arXiv:1610.02132, section 3);
rounding to nearest has the smaller error and is unbiased over rounds with error feedback (Karimireddy et al. 2019,
arXiv:1901.09847).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.protos.schema import Doubles, Floats, Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.buckets import most_buckets
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import unflatten
from fedtailor.strategies.codec.levels import Levels, most_level_bits, read_levels, write_levels

_LARGEST = float(np.finfo(np.float32).max)


def uniform(args: Mapping[str, float]) -> Coder:
    """Round each value to a multiple of its tensor's scale, max|x| / (2^(bits−1) − 1).

    bits: 2 to 8. stochastic: 1 rounds up or down at random, to be right on average, and is within one scale; 0 rounds
    to the nearest, within half a scale. A tensor of zeros comes back exactly. Levels are written in the order of the
    context's buckets: coordinates that change alike lie together.

    Raises:
        ValueError: a parameter is out of range.
    """
    bits, stochastic = args["bits"], args["stochastic"]
    if bits not in range(2, 9):
        raise ValueError(f"bits must be a whole number from 2 to 8, got {bits:g}")
    if stochastic not in {0, 1}:
        raise ValueError(f"stochastic must be 0 or 1, got {stochastic:g}")
    top = (1 << int(bits) - 1) - 1
    rounding = _at_random if stochastic else _to_nearest

    def encode(tensors: Sequence[Floats], context: Context, rng: np.random.Generator) -> Encoded:
        scales = [_scale(tensor, top) for tensor in tensors]
        levels = [np.zeros(0, np.int8)]
        for tensor, scale in zip(tensors, scales, strict=True):
            levels.append(np.clip(rounding(tensor.ravel(), scale, rng), -top, top).astype(np.int8))
        writer = BitWriter()
        write_levels(writer, np.concatenate(levels)[context.buckets.order], context.buckets.sizes)
        return Encoded(scales=tuple(scales), payload=writer.to_bytes())

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        reader = BitReader(encoded.payload)
        levels = read_levels(reader, context.buckets.sizes, top)[context.buckets.place]
        reader.close()
        vector, begin = np.empty(levels.size, np.float32), 0
        for size, scale in zip(context.schema.sizes, encoded.scales, strict=True):
            vector[begin : begin + size] = _values(levels[begin : begin + size], scale, top)
            begin += size
        return unflatten(vector, context.schema)

    def limits(schema: Schema) -> tuple[int, int, int]:
        return len(schema.names), 0, -(-most_level_bits(schema.size, most_buckets(schema)) // 8)

    return Coder(encode=encode, decode=decode, limits=limits)


def _scale(tensor: Floats, top: int) -> float:
    return float(np.float32(max(tensor.max(initial=0.0), -tensor.min(initial=0.0)) / np.float64(top))) or 1.0


def _values(levels: Levels, scale: float, top: int) -> Floats:
    """levels · scale, no further from 0 than a float32 can be."""
    if scale * top > _LARGEST:
        return np.clip(levels * np.float64(scale), -_LARGEST, _LARGEST).astype(np.float32)
    values: Floats = levels * np.float32(scale)
    return values


def _at_random(values: Floats, scale: float, rng: np.random.Generator) -> Doubles:
    return np.floor(values / np.float64(scale) + rng.random(values.shape))


def _to_nearest(values: Floats, scale: float, _: np.random.Generator) -> Floats:
    rounded: Floats = np.rint(values / np.float32(scale))
    return rounded


UNIFORM = register(Codec(name="uniform", version=1, defaults={"bits": 4, "stochastic": 0}, make=uniform))
