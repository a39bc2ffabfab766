"""Uniform symmetric quantisation of an update, one scale per tensor: 8 bits rounded at random, 4 bits to nearest.

Stochastic rounding keeps the mean of many devices unbiased (QSGD, Alistarh et al. 2017, arXiv:1610.02132, section 3);
rounding to nearest has the smaller error and is unbiased over rounds with error feedback (Karimireddy et al. 2019,
arXiv:1901.09847).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.codec import Codec, Encoded, register

Round = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def _stochastic(x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.floor(x + rng.random(x.shape))


def _nearest(x: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
    return np.rint(x)


def uniform(name: str, bits: int, rounding: Round) -> Codec:
    """Store each value in 8 or 4 `bits`, in steps of max|x| / (2^(bits−1) − 1) of its tensor.

    An element comes back within one step (stochastic) or half a step (nearest). A tensor of zeros comes back exactly.
    """
    top = 2 ** (bits - 1) - 1

    def encode(tensors: Sequence[Floats], rng: np.random.Generator) -> Encoded:
        scales, levels = [], []
        for tensor in tensors:
            wide = tensor.astype(np.float64).ravel()
            scale = np.float32(np.abs(wide).max(initial=0.0) / top) or np.float32(1.0)
            scales.append(float(scale))
            levels.append(np.clip(rounding(wide / float(scale), rng), -top, top).astype(np.int8))
        joined = np.concatenate(levels) if levels else np.zeros(0, np.int8)
        return Encoded(scales=tuple(scales), payload=joined.tobytes() if bits == 8 else _pack4(joined))

    def decode(encoded: Encoded, schema: Schema) -> list[Floats]:
        raw = np.frombuffer(encoded.payload, np.uint8)
        levels = raw.view(np.int8) if bits == 8 else _unpack4(raw, schema.size)
        if levels.size and int(levels.min()) < -top:
            raise DecodeError(f"{name}: a level of {int(levels.min())} came, the least is {-top}")
        ends = np.cumsum(schema.sizes)[:-1]
        return [
            (part * np.float32(scale)).astype(np.float32).reshape(shape)
            for part, scale, shape in zip(np.split(levels, ends), encoded.scales, schema.shapes, strict=True)
        ]

    def limits(schema: Schema) -> tuple[int, int, int]:
        size = (schema.size * bits + 7) // 8
        return len(schema.names), size, size

    return Codec(name=name, version=1, encode=encode, decode=decode, limits=limits)


def _pack4(levels: NDArray[np.int8]) -> bytes:
    nibbles = (np.pad(levels, (0, levels.size % 2)) & 15).astype(np.uint8)
    return (nibbles[0::2] | nibbles[1::2] << 4).tobytes()


def _unpack4(raw: NDArray[np.uint8], count: int) -> NDArray[np.int8]:
    nibbles = np.stack([raw & 15, raw >> 4], axis=1).ravel()
    if nibbles[count:].any():
        raise DecodeError(f"int4: the padding after value {count} must be zero")
    return ((nibbles[:count] ^ 8).astype(np.int8) - np.int8(8)).astype(np.int8)


INT8 = register(uniform("int8", 8, _stochastic))
INT4 = register(uniform("int4", 4, _nearest))
