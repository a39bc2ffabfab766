"""An entropy coder in integers alone: the same bytes, and the same symbols, on every platform.

Source: Duda 2013, arXiv:1311.2540, section 3 (range variant, rANS): a symbol that takes `width` of 2^16 slots costs
16 − log2(width) bits. One state, renormalised by 16-bit words: a stream takes 5 bytes more than that, and a thousandth.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError

SLOTS_BITS = 16
SLOTS = 1 << SLOTS_BITS
_WORD_BITS = 16
_FLOOR_BITS = 24  # the state lies from here to 2^40: 256 times the slots, so that rounding costs next to nothing
_FLOOR = 1 << _FLOOR_BITS
_LIMIT_BITS = _FLOOR_BITS + _WORD_BITS - SLOTS_BITS
_STATE_BYTES = 5

Slots = NDArray[np.int64]


def encode(runs: Sequence[Slots]) -> bytes:
    """The symbols of all runs, in order, for a `Decoder`.

    A run is [2, symbols]: the first slot of each symbol and, beyond its last one, the next; within 0 to 2^16.
    """
    state, words = _FLOOR, array("H")
    for run in reversed(runs):
        for start, end in run.T[::-1].tolist():
            width = end - start
            if state >= width << _LIMIT_BITS:
                words.append(state & 0xFFFF)
                state >>= _WORD_BITS
            state = (state // width << SLOTS_BITS) + state % width + start
    return np.array(words, "<u2").tobytes() + state.to_bytes(_STATE_BYTES, "little")


class Decoder:
    """Reads a stream from its end; what lies in front of the stream stays untouched."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _STATE_BYTES:
            raise DecodeError(f"a coded stream has {_STATE_BYTES} bytes or more, got {len(data)}")
        words = data[len(data) - _STATE_BYTES & 1 : -_STATE_BYTES]
        self._words = array("H", np.frombuffer(words, "<u2").astype(np.uint16).tobytes())
        self._state = int.from_bytes(data[-_STATE_BYTES:], "little")
        self._words_at_start = len(self._words)

    @property
    def used_bytes(self) -> int:
        """Bytes of the stream read so far, from its end."""
        return _STATE_BYTES + 2 * (self._words_at_start - len(self._words))

    @property
    def finished(self) -> bool:
        """Every symbol that was encoded has been taken."""
        return self._state == _FLOOR

    def take(self, tables: Sequence[list[int]], contexts: list[int], sides: list[int], reach: int) -> list[int]:
        """One symbol for each of `contexts`.

        tables: for each context the slot where each symbol begins, ascending, 2^16 at the end. A symbol's table is
            `tables[context + 3 · side of the symbol before + side of the symbol `reach` before]`.
        sides: of the symbols before, at least `reach`; those of the new ones are appended: 0 for symbol 0, 1 for the
            first half of the others, 2 for the second.

        Raises:
            DecodeError: the stream ends early.
        """
        state, words, symbols = self._state, self._words, []
        middle = len(tables[0]) // 2
        try:
            for context in contexts:
                table = tables[context + 3 * sides[-1] + sides[-reach]]
                slot = state & 0xFFFF
                symbol = bisect_right(table, slot)
                start = table[symbol - 1]
                state = (table[symbol] - start) * (state >> SLOTS_BITS) + slot - start
                if state < _FLOOR:
                    state = state << _WORD_BITS | words.pop()
                symbols.append(symbol - 1)
                sides.append(0 if symbol == 1 else 1 if symbol <= middle else 2)
        except IndexError:
            raise DecodeError("payload ends early: its coded numbers need more bytes") from None
        self._state = state
        return symbols
