"""Arrays of a net as facts and numbers, exactly.

Small integers are coded as they are. A float32 is its exponent, coded as its distance from the array's median, and as
many leading bits of its mantissa as any value of the array needs: 7 where all are bfloat16 values. An int32 is the
number of its bits, coded likewise, and those bits.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.shapes import Shape
from fedtailor.strategies.payload.integer_model import Int64s
from fedtailor.strategies.payload.number_code import MOST_TOP, NumberReader, NumberWriter
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter

_MANTISSA_BITS = 23
_MOST_BITS = 32
_SIGNED, _FAR = 0x40, 0x80  # flags beside the number of bits that are left out
_NEAREST = 15  # distance from the median that most arrays stay within
_USUAL_DISTANCE = 3


def write_integers(facts: FactWriter, numbers: NumberWriter, values: NDArray[np.integer]) -> None:
    """Integers of which none is further than 255 from 0, or, if unsigned, from their median.

    Raises:
        ValueError: one is.
    """
    wide = values.astype(np.int64)
    centre = _median(wide) if values.dtype.kind == "u" else 0
    top = int(np.abs(wide - centre).max(initial=0))
    if top > MOST_TOP:
        raise ValueError(f"pack: integers may be {MOST_TOP} at most, got {top}")
    facts.byte(centre)
    facts.byte(top)
    numbers.integers(wide - centre, top)


def read_integers(facts: FactReader, numbers: NumberReader, shape: Shape) -> Int64s:
    centre, top = facts.take(2)
    return numbers.integers(shape, top) + centre


def write_floats(facts: FactWriter, numbers: NumberWriter, values: Floats) -> None:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64).ravel()
    mantissas = bits & (1 << _MANTISSA_BITS) - 1
    spare = min(_spare_bits(mantissas), _MANTISSA_BITS)
    signed = bool((bits >> 31).any())
    _write_distances(facts, numbers, bits >> _MANTISSA_BITS & 0xFF, spare | _SIGNED * signed)
    kept = _MANTISSA_BITS - spare
    numbers.fields(bits >> 31 << kept | mantissas >> spare, np.full(len(bits), kept + signed, np.int64))


def read_floats(facts: FactReader, numbers: NumberReader, shape: Shape) -> Floats:
    exponents, flags = _read_distances(facts, numbers, shape, 0xFF)
    spare, signed = flags & _SIGNED - 1, flags // _SIGNED
    if spare > _MANTISSA_BITS:
        raise DecodeError(f"payload: a float leaves out {_MANTISSA_BITS} bits at most, got {spare}")
    kept = _MANTISSA_BITS - spare
    fields = numbers.fields(np.full(len(exponents), kept + signed, np.int64))
    bits = (fields >> kept) << 31 | exponents << _MANTISSA_BITS | (fields & (1 << kept) - 1) << spare
    return bits.astype(np.uint32).view(np.float32).reshape(shape)


def write_wide(facts: FactWriter, numbers: NumberWriter, values: NDArray[np.int32]) -> None:
    """Integers of 32 bits."""
    wide = values.astype(np.int64).ravel()
    spare = min(_spare_bits(np.abs(wide)), _MOST_BITS)
    sizes = np.abs(wide) >> spare
    lengths = _lengths(sizes)
    _write_distances(facts, numbers, lengths, spare)
    leading = 1 << np.maximum(lengths - 1, 0)
    numbers.fields(np.where(wide < 0, sizes, sizes ^ leading), lengths)


def read_wide(facts: FactReader, numbers: NumberReader, shape: Shape) -> Int64s:
    """Values that may lie outside int32 where the bytes are no payload."""
    lengths, spare = _read_distances(facts, numbers, shape, _MOST_BITS)
    if spare > _MOST_BITS:
        raise DecodeError(f"payload: an integer leaves out {_MOST_BITS} bits at most, got {spare}")
    fields = numbers.fields(lengths)
    leading = 1 << np.maximum(lengths - 1, 0)
    sizes = np.where(lengths > 0, fields | leading, 0) << spare
    return np.where(fields & leading != 0, -sizes, sizes).reshape(shape)


def _write_distances(facts: FactWriter, numbers: NumberWriter, values: Int64s, flags: int) -> None:
    """Values of 0 to 255 that lie close together, and flags below 128."""
    centre = _median(values)
    far = bool((np.abs(values - centre) > _NEAREST).any())
    facts.byte(flags | _FAR * far)
    facts.byte(centre)
    numbers.integers(values - centre, MOST_TOP if far else _NEAREST, _USUAL_DISTANCE)


def _read_distances(facts: FactReader, numbers: NumberReader, shape: Shape, most: int) -> tuple[Int64s, int]:
    flags, centre = facts.take(2)
    top = MOST_TOP if flags & _FAR else _NEAREST
    values = numbers.integers((prod(shape),), top, _USUAL_DISTANCE) + centre
    if values.size and not (values.min() >= 0 and values.max() <= most):
        raise DecodeError(f"payload: exponents and lengths lie from 0 to {most}, got {values.min()} to {values.max()}")
    return values, flags & _FAR - 1


def _median(values: Int64s) -> int:
    return int(np.partition(values, values.size // 2, axis=None)[values.size // 2]) if values.size else 0


def _spare_bits(values: Int64s) -> int:
    """How many low bits are zero in all values; many where all are zero."""
    joined: Any = np.bitwise_or.reduce(values, axis=None)
    return (int(joined) & -int(joined)).bit_length() - 1 if joined else _MOST_BITS


def _lengths(values: Int64s) -> Int64s:
    """Number of bits of each value of 0 to 2^32."""
    return np.searchsorted(1 << np.arange(_MOST_BITS + 1, dtype=np.int64), values, side="right").astype(np.int64)
