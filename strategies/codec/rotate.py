"""One bit a coordinate: the signs of a randomly rotated update, and one scale for each piece of it.

Source: DRIVE, Vargaftik et al. 2021, arXiv:2105.08339: the randomised Hadamard transform and the scale
‖x‖² / ‖Rx‖₁, which makes the estimate unbiased under a uniformly random rotation R; EDEN (Vargaftik et al.
2022, arXiv:2108.08842) is the same at one bit. With Hadamard's it is nearly so wherever many coordinates count; a piece
with one that dwarfs all others returns that one alone. The squared error is about π/2 − 1 of the squared norm, so the
mean of many devices comes close, and no state is needed.

The update is cut into pieces of a power of two. The payload: a seed (4 bytes), a float32 scale for each piece, the
signs. The device draws the seed, since errors only average out over devices if each rotates by its own. A piece comes
back from its bits through additions of integers and one multiplication, so every platform decodes the same values.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.integer_hash import integer_hash

LONGEST = 1 << 14  # sums of so many signs fit in 16 bits
SCALE_BITS = 32
SEED_BYTES = 4
_LARGEST = float(np.finfo(np.float32).max)
_LARGEST_AS_BITS = 0x7F7FFFFF  # negative numbers, infinity and NaN have larger ones

Signs = NDArray[np.int16]  # +1 or −1
Number = TypeVar("Number", np.float64, np.int16)


def rotate(_: Mapping[str, float]) -> Coder:
    """DRIVE's coder; it has no parameters."""
    return Coder(encode=_encode, decode=_decode, limits=_limits)


@lru_cache(maxsize=8)
def lengths_of(size: int) -> tuple[int, ...]:
    """How `size` coordinates are cut: ever shorter, the last filled up with zeros if that takes less than a scale."""
    lengths = [LONGEST] * (size // LONGEST)
    rest = size % LONGEST
    while rest > 0:
        filled = 1 << (rest - 1).bit_length()
        lengths.append(filled if filled - rest <= SCALE_BITS else filled // 2)
        rest -= lengths[-1]
    return tuple(lengths)


def hadamard(piece: NDArray[Number]) -> NDArray[Number]:
    """Hadamard's transform, not normalised, of a piece [power of two]; sums in a fixed order."""
    side = 1 << (len(piece).bit_length() - 1) // 2
    turned = _butterflies(piece.reshape(-1, side)).T.copy()  # sums of whole rows are fast, of close neighbours are not
    return _butterflies(turned).T.reshape(-1)


def _butterflies(rows: NDArray[Number]) -> NDArray[Number]:
    """Hadamard's transform of each column."""
    half = 1
    while half < len(rows):
        low, high = rows.reshape(-1, 2, half, rows.shape[1]).swapaxes(0, 1)
        rows = np.stack((low + high, low - high), axis=1).reshape(rows.shape)
        half *= 2
    return rows


def _turns(seed: int, length: int) -> Signs:
    """The random half of the rotation: a sign for each coordinate."""
    words = integer_hash(seed, -(-length // 64)).astype("<u8")
    return _signs(np.unpackbits(words.view(np.uint8), count=length, bitorder="little"))


def _signs(bits: NDArray[np.uint8]) -> Signs:
    return (bits.astype(np.int8) * np.int8(2) - np.int8(1)).astype(np.int16)


def _bounds(size: int) -> list[tuple[int, int]]:
    """Where each piece begins and ends; the last may end beyond `size`."""
    ends = np.cumsum(lengths_of(size), dtype=np.int64).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


def _encode(tensors: Sequence[Floats], context: Context, rng: np.random.Generator) -> Encoded:
    bounds = _bounds(context.schema.size)
    length = bounds[-1][1] if bounds else 0
    seed = int(rng.integers(1 << 8 * SEED_BYTES))
    vector = np.zeros(length)
    vector[: context.schema.size] = flatten(tensors)
    turned = vector * _turns(seed, length)
    scales, bits = np.zeros(len(bounds), "<f4"), np.zeros(length, np.uint8)
    for index, (begin, end) in enumerate(bounds):
        rotated = hadamard(turned[begin:end])
        total = np.abs(rotated).sum()
        scales[index] = np.square(turned[begin:end]).sum() / total if total else 0.0
        bits[begin:end] = (rotated >= 0) & (scales[index] > 0)
    packed = np.packbits(bits, bitorder="little").tobytes()
    return Encoded(scales=(), payload=seed.to_bytes(SEED_BYTES, "little") + scales.tobytes() + packed)


def _decode(encoded: Encoded, context: Context) -> list[Floats]:
    bounds = _bounds(context.schema.size)
    length = bounds[-1][1] if bounds else 0
    seed = int.from_bytes(encoded.payload[:SEED_BYTES], "little")
    scales = _read_scales(encoded.payload, len(bounds))
    packed = np.frombuffer(encoded.payload, np.uint8, offset=SEED_BYTES + 4 * len(bounds))
    bits = np.unpackbits(packed, bitorder="little")
    if bits[length:].any():
        raise DecodeError(f"the padding after the last of {length} signs must be zero")
    vector, turns = np.empty(length, np.float32), _turns(seed, length)
    for scale, (begin, end) in zip(scales, bounds, strict=True):
        if scale == 0 and bits[begin:end].any():
            raise DecodeError(f"piece {begin} to {end} has scale 0, so its signs must be zero")
        whole = hadamard(_signs(bits[begin:end])) * turns[begin:end]
        with np.errstate(over="ignore"):  # near the largest float32; clipped
            vector[begin:end] = np.clip(whole * scale, -_LARGEST, _LARGEST)
    return unflatten(vector[: context.schema.size], context.schema)


def _read_scales(payload: bytes, count: int) -> Floats:
    """Scales of at least 0; the bits of any other number are too large."""
    bits = np.frombuffer(payload, "<u4", count, SEED_BYTES)
    if bits.size and int(bits.max()) > _LARGEST_AS_BITS:
        piece = int(bits.argmax())
        raise DecodeError(
            f"the scale of piece {piece} is {bits[piece : piece + 1].view('<f4')[0]}, expected 0 or above"
        )
    return bits.view("<f4").astype(np.float32)


def _limits(schema: Schema) -> tuple[int, int, int]:
    lengths = lengths_of(schema.size)
    size = SEED_BYTES + 4 * len(lengths) + -(-sum(lengths) // 8)
    return 0, size, size


ROTATE = register(Codec(name="rotate", version=1, defaults={}, make=rotate))
