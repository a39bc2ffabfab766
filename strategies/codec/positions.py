"""Which coordinates of a sparse update are not zero: gaps in Golomb's code, bucket by bucket.

Coordinates are laid out in the buckets of the context (`buckets.py`). First all counts in Elias' gamma code, 1 bit for
a bucket that has none; then all gaps. A gap's divisor follows from its bucket's size and count, so none is sent.
"""

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.buckets import Buckets, most_buckets
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.golomb import divisors_for, read_golomb, write_golomb
from fedtailor.strategies.codec.rice import read_gamma, write_gamma


def write_positions(writer: BitWriter, positions: Integers, context: Context) -> Integers:
    """Coordinates (distinct, ascending, 0 to schema.size − 1) -> the same in the order in which they are coded.

    What belongs to a position (sign, level) is written after, in the order that is returned.
    """
    buckets = context.buckets
    places = np.sort(buckets.place[positions])
    counts = np.diff(np.searchsorted(places, buckets.bounds))
    write_gamma(writer, counts)
    befores = np.maximum(np.append(-1, places)[:-1], np.repeat(buckets.bounds[:-1], counts) - 1)
    gaps = places - befores - 1
    write_golomb(writer, gaps, np.repeat(divisors_for(buckets.sizes, counts), counts))
    coded: Integers = buckets.order[places].astype(np.int64)
    return coded


def read_positions(reader: BitReader, context: Context, most: int) -> Integers:
    """The inverse: at most `most` coordinates, in the order in which they are coded.

    Raises:
        DecodeError: more positions than `most`, one outside its bucket, or the bits end early.
    """
    buckets = context.buckets
    counts = read_gamma(reader, buckets.sizes.size)
    _check_counts(counts, buckets, most)
    gaps = read_golomb(reader, np.repeat(divisors_for(buckets.sizes, counts), counts))
    walked = np.append(0, np.cumsum(gaps + 1))
    starts = buckets.bounds[:-1] - 1 - walked[np.cumsum(counts) - counts]
    places = walked[1:] + np.repeat(starts, counts)
    outside = np.flatnonzero(places >= np.repeat(buckets.bounds[1:], counts))
    if outside.size:
        raise DecodeError(f"position {int(outside[0])} of {places.size} lies outside its bucket of coordinates")
    coded: Integers = buckets.order[places].astype(np.int64)
    return coded


def most_position_bits(schema: Schema) -> int:
    """As many bits as positions can take: gaps at most 9 for 8 coordinates, a count at most 63."""
    return 9 * schema.size // 8 + 63 * most_buckets(schema)


def _check_counts(counts: Integers, buckets: Buckets, most: int) -> None:
    over = np.flatnonzero(counts > buckets.sizes)
    if over.size:
        bucket = int(over[0])
        raise DecodeError(
            f"bucket {bucket} has {int(buckets.sizes[bucket])} coordinates, {int(counts[bucket])} positions came"
        )
    if int(counts.sum()) > most:
        raise DecodeError(f"{int(counts.sum())} positions came, at most {most} are expected")
