"""The difference of two public bases, exactly: gaps between what changed, then how far it went, in Rice code.

Each tensor has parameters of its own. Steps of one update have few distinct sizes, often one: they are divided by their
greatest common divisor, and numbers that are 0 for a whole tensor are not written.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.rice import MAX_PARAMETER, read_gamma, read_rice, write_gamma, write_rice

MOST = 2**32 - 1  # how far apart two points of int32 can lie
_PARAMETER_BITS = 5
_ALL_ZERO = 31  # in place of a Rice parameter


def write_exact(difference: Integers, schema: Schema) -> bytes:
    """Integers [schema.size] from -(2**32 - 1) to 2**32 - 1."""
    ends = np.cumsum(schema.sizes, dtype=np.int64)
    positions = np.flatnonzero(difference)
    counts = np.bincount(np.searchsorted(ends, positions, side="right"), minlength=ends.size)
    used = np.flatnonzero(counts)
    counted, firsts = counts[used], np.cumsum(counts[used]) - counts[used]
    before = np.roll(positions, 1)
    before[firsts] = (ends - schema.sizes)[used] - 1
    sizes = np.abs(difference[positions])
    units = np.gcd.reduceat(sizes, firsts) if used.size else counted
    writer = BitWriter()
    write_gamma(writer, counts)
    write_gamma(writer, units - 1)
    _write_rice(writer, positions - before - 1, counted)
    _write_rice(writer, sizes // np.repeat(units, counted) - 1, counted)
    writer.write_bits((difference[positions] < 0).astype(np.int64), 1)
    return writer.to_bytes()


def read_exact(payload: bytes, schema: Schema) -> Integers:
    """The inverse.

    Raises:
        DecodeError: these bytes cannot be such a difference.
    """
    ends = np.cumsum(schema.sizes, dtype=np.int64)
    reader = BitReader(payload)
    counts = read_gamma(reader, ends.size)
    _refuse(counts > schema.sizes, np.arange(ends.size), schema, "more changes came than it has values")
    used = np.flatnonzero(counts)
    counted = counts[used]
    units = read_gamma(reader, used.size) + 1
    steps = np.cumsum(_read_rice(reader, counted) + 1)
    before = np.concatenate((np.zeros(1, np.int64), steps))[np.cumsum(counted) - counted]
    places = steps - np.repeat(before, counted) - 1
    tensors = np.repeat(used, counted)
    _refuse(places >= np.array(schema.sizes, np.int64)[tensors], tensors, schema, "a change came beyond its end")
    sizes, unit = _read_rice(reader, counted) + 1, np.repeat(units, counted)
    _refuse(sizes > MOST // unit, tensors, schema, f"a change of more than {MOST} steps came")
    difference = np.zeros(schema.size, np.int64)
    difference[places + (ends - schema.sizes)[tensors]] = sizes * unit * (1 - 2 * reader.read_bits(sizes.size, 1))
    reader.close()
    return difference


def _write_rice(writer: BitWriter, values: Integers, counts: Integers) -> None:
    """`counts` values for each tensor in turn, and a Rice parameter for each."""
    parts = np.split(values, np.cumsum(counts)[:-1]) if counts.size else []
    parameters = np.array([_parameter(part) for part in parts], np.int64)
    each = np.repeat(parameters, counts)
    writer.write_bits(parameters, _PARAMETER_BITS)
    write_rice(writer, values[each < _ALL_ZERO], each[each < _ALL_ZERO])


def _read_rice(reader: BitReader, counts: Integers) -> Integers:
    parameters = reader.read_bits(counts.size, _PARAMETER_BITS)
    if ((parameters > MAX_PARAMETER) & (parameters < _ALL_ZERO)).any():
        raise DecodeError(f"payload: a Rice parameter of more than {MAX_PARAMETER} came")
    each = np.repeat(parameters, counts)
    values = np.zeros(each.size, np.int64)
    coded = np.flatnonzero(each < _ALL_ZERO)
    values[coded] = read_rice(reader, coded.size, each[coded])
    return values


def _parameter(values: Integers) -> int:
    """The Rice parameter that takes the fewest bits."""
    if not values.any():
        return _ALL_ZERO
    middle = min(int(values.mean()).bit_length(), MAX_PARAMETER)
    near = range(max(middle - 2, 0), min(middle + 1, MAX_PARAMETER) + 1)
    return min(near, key=lambda parameter: int((values >> parameter).sum()) + parameter * values.size)


def _refuse(wrong: NDArray[np.bool_], tensors: Integers, schema: Schema, what: str) -> None:
    """Where `wrong` is true of a number of one of the `tensors`, name the first."""
    if wrong.any():
        raise DecodeError(f"layer {schema.names[int(tensors[wrong.argmax()])]!r}: {what}")
