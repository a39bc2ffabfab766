"""Small integers, bucket by bucket, as planes of flags: which are above 0, which of those above 1, and so on.

The flags of a plane and a bucket are written in the shorter of two ways: one bit each, or the gaps between those of the
rarer kind in Golomb's code, which is within a few hundredths of the entropy at any density. A field says which: 0 for
bits, else the bit length of the count of the rarer kind, plus 1. What reaches the last plane goes on in Elias' gamma.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.golomb import read_golomb, write_golomb
from fedtailor.strategies.codec.rice import bit_length, read_gamma, write_gamma

PLANES = 15
Small = NDArray[np.uint8]
Flags = NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)


def write_planes(writer: BitWriter, values: Small, sizes: Integers) -> None:
    """Integers 0 to 255 [sizes.sum()], in buckets of so many."""
    for _ in range(PLANES):
        if not values.size:
            return
        above = values > 0
        counts = _counts(above, sizes)
        _write_flags(writer, above, sizes, counts)
        values, sizes = np.compress(above, values) - np.uint8(1), counts[counts > 0]
    write_gamma(writer, values)


def read_planes(reader: BitReader, sizes: Integers) -> Small:
    """The inverse.

    Raises:
        DecodeError: the bits end early, or no `write_planes` wrote them.
    """
    planes: list[Flags] = []
    while sizes.size and len(planes) < PLANES:
        above = _read_flags(reader, sizes)
        planes.append(above)
        counts = _counts(above, sizes)
        sizes = counts[counts > 0]
    values = _read_rest(reader, int(sizes.sum()))
    for above in reversed(planes):
        wider = np.zeros(above.size, np.uint8)
        wider[np.flatnonzero(above)] = values + np.uint8(1)  # a mask as index is slower by far
        values = wider
    return values


def by_bucket(values: NDArray[_T], sizes: Integers) -> list[NDArray[_T]]:
    """Views of `values` [sizes.sum()], one for each bucket."""
    ends = np.cumsum(sizes).tolist()
    return [values[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]


def most_plane_bits(count: int, buckets: int) -> int:
    """As many bits as so many values can take: at most 9 bits for 8 flags of a plane, 15 for what goes beyond."""
    return count * (PLANES * 9 // 8 + 1 + 15) + PLANES * buckets * 40


def _read_rest(reader: BitReader, count: int) -> Small:
    rest = read_gamma(reader, count)
    largest = int(rest.max(initial=0)) + PLANES
    if largest > 255:
        raise DecodeError(f"payload: a number of {largest} came, at most 255 is allowed")
    return rest.astype(np.uint8)


def _counts(flags: Flags, sizes: Integers) -> Integers:
    return np.array([np.count_nonzero(part) for part in by_bucket(flags, sizes)], np.int64)


def _write_flags(writer: BitWriter, flags: Flags, sizes: Integers, counts: Integers) -> None:
    rarer = np.minimum(counts, sizes - counts)
    as_bits = _divisors(sizes, rarer) < 2
    widths = bit_length(rarer)
    writer.write_bits(np.where(as_bits, 0, widths + 1), _field_widths(sizes))
    sparse = np.flatnonzero(~as_bits)
    inverted = counts[sparse] > rarer[sparse]
    writer.write_bits(inverted, 1)
    writer.write_bits(rarer[sparse], np.maximum(widths[sparse] - 1, 0))
    parts = by_bucket(flags, sizes)
    writer.write_flags(_joined([parts[at] for at in np.flatnonzero(as_bits)]))
    rare = _joined([parts[at] ^ odd for at, odd in zip(sparse, inverted, strict=True)])
    _write_gaps(writer, np.flatnonzero(rare), sizes[sparse], rarer[sparse])


def _read_flags(reader: BitReader, sizes: Integers) -> Flags:
    fields = reader.read_bits(sizes.size, _field_widths(sizes))
    as_bits = fields == 0
    sparse = np.flatnonzero(~as_bits)
    inverted = reader.read_bits(sparse.size, 1)
    widths = np.maximum(fields[sparse] - 2, 0)
    if int(widths.max(initial=0)) >= 32:
        raise DecodeError("payload: a count of more than 32 bits came")
    rarer = reader.read_bits(sparse.size, widths) | (fields[sparse] > 1) << widths
    if (2 * rarer > sizes[sparse]).any():
        raise DecodeError("payload: more of the rarer flags came than of the others")
    bits = reader.read_flags(int(sizes[as_bits].sum()))
    if not sparse.size:
        return bits
    rare = np.zeros(int(sizes[sparse].sum()), np.bool_)
    rare[_read_gaps(reader, sizes[sparse], rarer)] = True
    found = dict(zip(np.flatnonzero(as_bits).tolist(), by_bucket(bits, sizes[as_bits]), strict=True))
    for at, part, odd in zip(sparse.tolist(), by_bucket(rare, sizes[sparse]), inverted.tolist(), strict=True):
        found[at] = part ^ bool(odd)
    return _joined([found[at] for at in range(sizes.size)])


def _field_widths(sizes: Integers) -> Integers:
    return bit_length(bit_length(sizes // 2) + 1)


def _divisors(sizes: Integers, counts: Integers) -> Integers:
    """The best for Golomb's code, above a density of 0.38 less than 2; near that `golomb.divisors_for` is too small."""
    divisors: Integers = (18 * sizes + 5 * counts) // (26 * np.maximum(counts, 1))
    return divisors


def _joined(parts: list[Flags]) -> Flags:
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.zeros(0, np.bool_)


def _write_gaps(writer: BitWriter, places: Integers, sizes: Integers, counts: Integers) -> None:
    befores = np.maximum(np.append(-1, places)[:-1], np.repeat(np.cumsum(sizes) - sizes, counts) - 1)
    write_golomb(writer, places - befores - 1, np.repeat(_divisors(sizes, counts), counts))


def _read_gaps(reader: BitReader, sizes: Integers, counts: Integers) -> Integers:
    gaps = read_golomb(reader, np.repeat(_divisors(sizes, counts), counts))
    walked = np.append(0, np.cumsum(gaps + 1))
    ends = np.cumsum(sizes)
    starts = ends - sizes - 1 - walked[np.cumsum(counts) - counts]
    places: Integers = walked[1:] + np.repeat(starts, counts)
    if (places >= np.repeat(ends, counts)).any():
        raise DecodeError("payload: a place lies outside its bucket")
    return places
