"""Numbers of a payload: small integers through the entropy coder, bits that no model helps as they are.

The bits lie in front, in the order of writing; the coded stream lies behind and is read from its end.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.payload.integer_model import SIDES, Activity, Int64s, IntegerModel, blocks, reach
from fedtailor.strategies.payload.rans import Decoder, encode

MOST_TOP = 255
MOST_NUMBERS = 1 << 24  # in one payload; more than 16 million parameters is not for an edge device
_FIELDS_AT_ONCE = 1 << 14  # a multiple of 8, so that fields of one width need no padding in between


class _Models:
    """One model for each alphabet, kept from array to array."""

    def __init__(self) -> None:
        self._models: dict[tuple[int, int], IntegerModel] = {}

    def at(self, top: int, usual: int) -> IntegerModel:
        if (top, usual) not in self._models:
            self._models[top, usual] = IntegerModel(top, usual)
        self._models[top, usual].start_array()
        return self._models[top, usual]


class NumberWriter:
    """Collects the numbers of a payload."""

    def __init__(self) -> None:
        self._models = _Models()
        self._bits = bytearray()
        self._runs: list[Int64s] = []

    def integers(self, values: Int64s, top: int, usual: int | None = None) -> None:
        """Integers −top to top of any shape; `usual` as in `IntegerModel`."""
        if top == 0:
            return
        model = self._models.at(top, usual or top)
        activity, before = Activity(values.shape), reach(values.shape)
        symbols = model.symbols(values.ravel())
        sides = (symbols > 0).astype(np.int64) + (symbols > top)
        neighbours = _neighbours(np.concatenate((np.zeros(before, np.int64), sides)), before)
        for begin, end in blocks(len(symbols), top):
            block, channels = symbols[begin:end], activity.channels(begin, end)
            contexts = activity.levels(channels) * SIDES + neighbours[begin:end]
            tables = model.tables()
            self._runs.append(np.stack((tables[contexts, block], tables[contexts, block + 1])))
            model.learn(block, contexts)
            activity.learn(channels, block)

    def fields(self, values: Int64s, widths: Int64s) -> None:
        """The low `widths` bits of each value."""
        for at in range(0, len(values), _FIELDS_AT_ONCE):
            value, width = values[at : at + _FIELDS_AT_ONCE, None], widths[at : at + _FIELDS_AT_ONCE, None]
            places = np.arange(width.max(), dtype=np.int64)
            bits = (value >> places & 1)[places < width]
            self._bits += np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()

    def finish(self) -> bytes:
        return bytes(self._bits) + encode(self._runs)


class NumberReader:
    """Gives the numbers back in the order in which they were written; checks what is left before it allocates.

    Every method raises DecodeError where the bytes cannot be what a writer wrote.
    """

    def __init__(self, data: bytes) -> None:
        self._models = _Models()
        self._data = data
        self._at = 0
        self._coded = Decoder(data)
        self._numbers_left = MOST_NUMBERS

    def integers(self, shape: tuple[int, ...], top: int, usual: int | None = None) -> Int64s:
        count = prod(shape)
        if count > self._numbers_left:
            raise DecodeError(f"payload may hold {MOST_NUMBERS} numbers, an array of shape {list(shape)} is too many")
        self._numbers_left -= count
        values = np.zeros(count, np.int64)
        if top == 0 or count == 0:
            return values.reshape(shape)
        model = self._models.at(top, usual or top)
        activity, before = Activity(shape), reach(shape)
        sides = [0] * before
        for begin, end in blocks(count, top):
            channels = activity.channels(begin, end)
            contexts = activity.levels(channels) * SIDES
            sides = sides[-before:]
            block = np.array(self._coded.take(model.tables().tolist(), contexts.tolist(), sides, before), np.int64)
            values[begin:end] = model.integers(block)
            model.learn(block, contexts + _neighbours(np.array(sides, np.int64), before))
            activity.learn(channels, block)
        return values.reshape(shape)

    def fields(self, widths: Int64s) -> Int64s:
        """Values of 0 to 62 bits."""
        parts = [np.zeros(0, np.int64)]
        for at in range(0, len(widths), _FIELDS_AT_ONCE):
            width = widths[at : at + _FIELDS_AT_ONCE, None]
            count = int(width.sum())
            places = np.arange(width.max(), dtype=np.int64)
            held = places < width
            bits = np.zeros(held.shape, np.int64)
            bits[held] = np.unpackbits(self._take(-(-count // 8)), count=count, bitorder="little")
            parts.append((bits << places).sum(1))
        return np.concatenate(parts)

    def finish(self) -> None:
        """Make sure that nothing is left."""
        left = len(self._data) - self._at - self._coded.used_bytes
        if left or not self._coded.finished:
            raise DecodeError(f"payload must end with its last number, {left} bytes are left over")

    def _take(self, count: int) -> NDArray[np.uint8]:
        self._at += count
        if self._at > len(self._data):
            raise DecodeError(f"payload ends early: {self._at - len(self._data)} more bytes expected")
        return np.frombuffer(self._data, np.uint8, count, self._at - count)


def _neighbours(sides: Int64s, before: int) -> Int64s:
    """The part of a context that two symbols before make, for all but the first `before` of `sides`."""
    return 3 * sides[before - 1 : -1] + sides[:-before]
