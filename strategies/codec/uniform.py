"""Uniform symmetric quantisation of an update, one scale per tensor; its levels in as few bits as they take.

Rounding at random keeps the mean of many devices unbiased (QSGD, Alistarh et al. 2017, arXiv:1610.02132, section 3);
rounding to nearest has the smaller error and is unbiased over rounds with error feedback (Karimireddy et al. 2019,
arXiv:1901.09847).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.protos.schema import Doubles, Floats, Schema
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.levels import FORM_BITS, pack_levels, unpack_levels

_LARGEST = float(np.finfo(np.float32).max)


def uniform(args: Mapping[str, float]) -> Coder:
    """Round each value to a multiple of its tensor's scale, max|x| / (2^(bits−1) − 1).

    bits: 2 to 8. stochastic: 1 rounds up or down at random, to be right on average, and is within one scale; 0 rounds
    to the nearest, within half a scale. A tensor of zeros comes back exactly.

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
        steps = flatten(tensors) / np.repeat(np.array(scales), context.schema.sizes)
        levels = np.clip(rounding(steps, rng), -top, top).astype(np.int64)
        return Encoded(scales=tuple(scales), payload=pack_levels(levels, top, context))

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        levels = unpack_levels(encoded.payload, top, context)
        scales = np.repeat(np.array(encoded.scales), context.schema.sizes)
        return unflatten(np.clip(levels * scales, -_LARGEST, _LARGEST).astype(np.float32), context.schema)

    def limits(schema: Schema) -> tuple[int, int, int]:
        return len(schema.names), 1, -(-(FORM_BITS + schema.size * int(bits)) // 8)

    return Coder(encode=encode, decode=decode, limits=limits)


def _scale(tensor: Floats, top: int) -> float:
    return float(np.float32(np.abs(tensor).max(initial=0.0) / np.float64(top))) or 1.0


def _at_random(steps: Doubles, rng: np.random.Generator) -> Doubles:
    return np.floor(steps + rng.random(steps.shape))


def _to_nearest(steps: Doubles, _: np.random.Generator) -> Doubles:
    return np.rint(steps)


UNIFORM = register(Codec(name="uniform", version=1, defaults={"bits": 4, "stochastic": 0}, make=uniform))
