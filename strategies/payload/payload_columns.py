"""One field of many layers as facts and numbers, by the field's type.

Values of one kind stand side by side, where deflate and the models see what they have in common.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.net import Function
from fedtailor.protos.quantised_net import Grid, Int8s, Int32s, UInt8s
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.shapes import Shape
from fedtailor.strategies.payload.number_code import NumberReader, NumberWriter
from fedtailor.strategies.payload.payload_arrays import (
    read_floats,
    read_integers,
    read_wide,
    write_floats,
    write_integers,
    write_wide,
)
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter

_FUNCTIONS: tuple[str, ...] = get_args(Function)  # the index is on the wire: append only


@dataclass(frozen=True, slots=True)
class Output:
    """Where a net is written."""

    facts: FactWriter
    numbers: NumberWriter


@dataclass(frozen=True, slots=True)
class Input:
    """Where a net is read."""

    facts: FactReader
    numbers: NumberReader


@dataclass(frozen=True, slots=True)
class Column:
    """`write` takes the values of one field, layer by layer; `read` gives so many back, or raises DecodeError."""

    write: Callable[[Output, Sequence[Any]], None]
    read: Callable[[Input, int], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Form:
    """How arrays of these types of number are written."""

    kinds: tuple[type, ...]
    write: Callable[[FactWriter, NumberWriter, Any], None]
    read: Callable[[FactReader, NumberReader, Shape], Any]


_FORMS = (  # the index is on the wire
    _Form((type(None),), lambda *_: None, lambda *_: None),
    _Form((np.float32,), write_floats, read_floats),
    _Form((np.int8, np.uint8, np.int64), write_integers, read_integers),  # int64: the multiples of a coded weight
    _Form((np.int32,), write_wide, read_wide),
)


def _each(write: Callable[[FactWriter, Any], None], read: Callable[[FactReader], Any]) -> Column:
    """A column of facts that are written one after the other."""

    def write_all(output: Output, values: Sequence[Any]) -> None:
        for value in values:
            write(output.facts, value)

    return Column(write_all, lambda source, count: [read(source.facts) for _ in range(count)])


def _write_pairs(facts: FactWriter, pairs: Sequence[tuple[int, int]]) -> None:
    facts.counts([side for pair in pairs for side in pair])


def _read_pairs(facts: FactReader) -> tuple[tuple[int, int], ...]:
    sides = facts.counts()
    if len(sides) % 2:
        raise DecodeError(f"payload: padding has two sides for each axis, got {len(sides)} sides")
    return tuple(zip(sides[::2], sides[1::2], strict=True))


def _write_doubles(output: Output, values: Sequence[float]) -> None:
    output.facts.body += struct.pack(f"<{len(values)}d", *values)


def _read_doubles(source: Input, count: int) -> Sequence[float]:
    return struct.unpack(f"<{count}d", source.facts.take(8 * count))


def _write_grids(output: Output, grids: Sequence[Grid | None]) -> None:
    present = [grid for grid in grids if grid is not None]
    output.facts.body += bytes(grid is not None for grid in grids)
    output.facts.body += bytes(grid.zero_point for grid in present)
    write_floats(output.facts, output.numbers, np.array([grid.scale for grid in present], np.float32))


def _read_grids(source: Input, count: int) -> Sequence[Grid | None]:
    flags = [source.facts.byte(1, "flag of a grid") for _ in range(count)]
    zero_points = source.facts.take(sum(flags))
    scales = read_floats(source.facts, source.numbers, (len(zero_points),))
    present = iter(list(map(Grid, scales.tolist(), zero_points)))
    return [next(present) if flag else None for flag in flags]


def _write_arrays(output: Output, arrays: Sequence[Any]) -> None:
    """First which form each array takes, then shapes: both tend to repeat."""
    kinds = [type(None) if array is None else array.dtype.type for array in arrays]
    forms = [next(at for at, form in enumerate(_FORMS) if kind in form.kinds) for kind in kinds]
    output.facts.body += bytes(forms)
    for array in arrays:
        if array is not None:
            output.facts.counts(array.shape)
    for form, array in zip(forms, arrays, strict=True):
        _FORMS[form].write(output.facts, output.numbers, array)


def _read_arrays(source: Input, count: int) -> Sequence[Any]:
    forms = [source.facts.byte(len(_FORMS) - 1, "form of an array") for _ in range(count)]
    shapes = [source.facts.counts() if form else () for form in forms]
    return [_FORMS[at].read(source.facts, source.numbers, shape) for at, shape in zip(forms, shapes, strict=True)]


def _read_typed(dtype: type[np.integer[Any]], source: Input, count: int) -> Sequence[Any]:
    arrays, limits = _read_arrays(source, count), np.iinfo(dtype)
    for array in arrays:
        if array is None or array.dtype.kind != "i":
            raise DecodeError(f"payload: expected an array of {dtype.__name__}, got no integers")
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise DecodeError(f"payload: an array of {dtype.__name__} reaches from {array.min()} to {array.max()}")
    return [array.astype(dtype) for array in arrays]


COLUMNS: dict[Any, Column] = {
    int: _each(FactWriter.count, FactReader.count),
    bool: _each(FactWriter.byte, lambda facts: bool(facts.byte(1, "flag"))),
    str: Column(
        lambda output, values: output.facts.texts(values),
        lambda source, count: source.facts.texts(count),
    ),
    float: Column(_write_doubles, _read_doubles),
    Function: _each(
        lambda facts, value: facts.byte(_FUNCTIONS.index(value)),
        lambda facts: _FUNCTIONS[facts.byte(len(_FUNCTIONS) - 1, "function")],
    ),
    tuple[int, ...]: _each(FactWriter.counts, FactReader.counts),
    tuple[tuple[int, int], ...]: _each(_write_pairs, _read_pairs),
    Grid: Column(_write_grids, _read_grids),
    Floats: Column(_write_arrays, _read_arrays),
    Int8s: Column(_write_arrays, partial(_read_typed, np.int8)),
    UInt8s: Column(_write_arrays, partial(_read_typed, np.uint8)),
    Int32s: Column(_write_arrays, partial(_read_typed, np.int32)),
}
