"""Small integers of either sign, bucket by bucket, in about as few bits as their magnitudes leave open.

A bucket says how many low bits of its magnitudes are written as they are (Rice and Plaunt 1971, IEEE Transactions on
Communication Technology 19(6), section III); what lies above goes in planes. Then the signs of those that are not zero.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.planes import Small, by_bucket, most_plane_bits, read_planes, write_planes

_SHIFT_BITS = 3
Levels = NDArray[np.int8]


def write_levels(writer: BitWriter, levels: Levels, sizes: Integers) -> None:
    """Integers −127 to 127 [sizes.sum()], in buckets of so many (at least 1)."""
    magnitudes = np.abs(levels).view(np.uint8)
    parts = by_bucket(magnitudes, sizes)
    shifts = [_shift(part) for part in parts]
    writer.write_bits(np.array(shifts, np.int64), _SHIFT_BITS)
    for shift, part in zip(shifts, parts, strict=True):
        for plane in range(shift):
            writer.write_flags((part >> np.uint8(plane) & np.uint8(1)).view(np.bool_))
    if any(shifts):
        magnitudes = np.concatenate([part >> np.uint8(shift) for shift, part in zip(shifts, parts, strict=True)])
    write_planes(writer, magnitudes, sizes)
    writer.write_flags(np.compress(levels != 0, levels) < 0)


def read_levels(reader: BitReader, sizes: Integers, top: int) -> Levels:
    """The inverse, where no magnitude is above `top` (at most 127).

    Raises:
        DecodeError: the bits end early, or a magnitude is above `top`.
    """
    shifts = reader.read_bits(sizes.size, _SHIFT_BITS).tolist()
    low = [_read_low(reader, size, shift) for size, shift in zip(sizes.tolist(), shifts, strict=True)]
    high = by_bucket(read_planes(reader, sizes), sizes)
    for shift, part, above in zip(shifts, low, high, strict=True):
        if int(above.max()) > top >> shift:
            raise DecodeError(f"a level of magnitude {int(above.max()) << shift} came, at most {top} is allowed")
        np.bitwise_or(part, above << np.uint8(shift), out=part)
    levels = np.concatenate([np.zeros(0, np.uint8), *low])
    if int(levels.max(initial=0)) > top:
        raise DecodeError(f"a level of magnitude {int(levels.max())} came, at most {top} is allowed")
    signs = np.zeros(levels.size, np.int8)
    others = np.flatnonzero(levels)
    signs[others] = reader.read_flags(others.size)
    return (levels.view(np.int8) ^ -signs) + signs


def most_level_bits(count: int, buckets: int) -> int:
    """As many bits as so many levels can take."""
    return most_plane_bits(count, buckets) + 8 * count + _SHIFT_BITS * buckets


def _shift(part: Small) -> int:
    """How many low bits to write as they are: about the logarithm of the mean."""
    total, count, shift = int(part.sum(dtype=np.int64)), 3 * part.size // 2, 0
    while total >= count << shift + 1 and shift < 6:
        shift += 1
    return shift


def _read_low(reader: BitReader, size: int, shift: int) -> Small:
    part = np.zeros(size, np.uint8)
    for plane in range(shift):
        part |= reader.read_flags(size).view(np.uint8) << np.uint8(plane)
    return part
