"""A share of the coordinates, those of the largest magnitude, each rounded to one of a few levels.

The share is of all tensors together: of each tensor by itself it scored lower after as many rounds, on both seeds.

Top-k: Aji and Heafield 2017, arXiv:1704.05021. The magnitudes kept span more than a decade, so the edges
between levels are spaced evenly in their logarithm; a level is the mean of the magnitudes that it stands for. On
updates of a small CNN this left at most a hundredth more squared error than the best possible levels (Lloyd's).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles, Floats, Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register, sparse_coder
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.largest import count_of, largest
from fedtailor.strategies.codec.positions import most_position_bits, read_positions, write_positions
from fedtailor.strategies.codec.subset import read_subset, write_subset
from fedtailor.strategies.merge.sparse import Sparse, in_order

LEVELS = (1, 2, 4, 8, 16)


def topk(args: Mapping[str, float]) -> Coder:
    """Keep a `share` (above 0, at most 1) of all coordinates, over all tensors together, in 1, 2, 4, 8 or 16 `levels`.

    The scales are the levels; an element that is kept comes back with its sign and within a factor of (largest kept /
    smallest kept)^(1 / levels), any other as zero. Payload: the positions; then, in their order, signs and levels.

    Raises:
        ValueError: a parameter is out of range.
    """
    share, levels = args["share"], args["levels"]
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    if levels not in LEVELS:
        raise ValueError(f"levels must be one of {', '.join(map(str, LEVELS))}, got {levels:g}")
    count = int(levels)

    def encode(tensors: Sequence[Floats], context: Context, _: np.random.Generator) -> Encoded:
        vector = flatten(tensors)
        kept = largest(np.abs(vector), count_of(share, vector.size))
        kept = kept[vector[kept] != 0]
        writer = BitWriter()
        values = vector[write_positions(writer, kept, context)].astype(np.float64)
        scales, chosen = _levels(np.abs(values), count)
        writer.write_bits((values < 0).astype(np.int64), 1)
        _write_levels(writer, chosen, count)
        return Encoded(scales=tuple(scales.tolist()), payload=writer.to_bytes())

    def decode_sparse(encoded: Encoded, context: Context) -> Sparse:
        reader = BitReader(encoded.payload)
        positions = read_positions(reader, context, count_of(share, context.schema.size))
        signs = 1 - 2 * reader.read_bits(positions.size, 1)
        chosen = _read_levels(reader, positions.size, count)
        reader.close()
        return in_order(positions, (np.array(encoded.scales, np.float32)[chosen] * signs).astype(np.float32))

    def limits(schema: Schema) -> tuple[int, int, int]:
        bits = most_position_bits(schema) + count_of(share, schema.size) * (1 + 2 * count) + 64 * count
        return count, 0, -(-bits // 8)

    return sparse_coder(encode=encode, decode_sparse=decode_sparse, limits=limits)


def _levels(magnitudes: Doubles, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """The levels, float32 above 0, and which one stands for each of `magnitudes` (above 0)."""
    if not magnitudes.size:
        return np.ones(count, np.float32), np.zeros(0, np.int64)
    edges = np.array((magnitudes.min(), magnitudes.max()))
    while edges.size <= count:
        between = np.sqrt(edges[1:] * edges[:-1])  # a root is rounded alike on every platform, a logarithm is not
        edges = np.insert(edges, np.arange(1, edges.size), between)
    chosen = np.searchsorted(edges[1:-1], magnitudes, side="right")
    held = np.bincount(chosen, minlength=count)
    means = np.bincount(chosen, magnitudes, minlength=count) / np.maximum(held, 1)
    return np.where(held > 0, means, edges[1:]).astype(np.float32), chosen


def _write_levels(writer: BitWriter, chosen: Integers, count: int) -> None:
    """Which ones are above the lowest level, which of those above the next: few each time."""
    for level in range(count - 1):
        chosen = chosen[chosen >= level]
        write_subset(writer, np.flatnonzero(chosen > level), chosen.size)


def _read_levels(reader: BitReader, size: int, count: int) -> Integers:
    chosen, reached = np.zeros(size, np.int64), np.arange(size)
    for _ in range(count - 1):
        reached = reached[read_subset(reader, reached.size)]
        chosen[reached] += 1
    return chosen


TOPK = register(Codec(name="topk", version=1, defaults={"share": 0.05, "levels": 4}, make=topk))
