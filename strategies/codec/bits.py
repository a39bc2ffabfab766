"""A string of bits, written and read many numbers at a time; the same bytes on every platform.

The first bit is the lowest of the first byte. Numbers of several bits lie plane by plane: the lowest bit of every
number, then the next bit of every number that is wide enough to have one, and so on.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError

Integers = NDArray[np.int64]
Bits = NDArray[np.uint8]  # one bit an element, 0 or 1
MAX_WIDTH = 32


class BitWriter:
    """Collects numbers; `to_bytes` pads with zeros to whole bytes."""

    def __init__(self) -> None:
        self._parts: list[Bits] = []

    def write_bits(self, values: NDArray[np.integer], width: int | Integers) -> None:
        """Integers [count] of at least 0 and below 2**width; one width (0 to 32) for all, or one for each."""
        values = np.asarray(values, np.int64)
        widths = np.broadcast_to(np.asarray(width, np.int64), values.shape)
        for plane in range(int(widths.max(initial=0))):
            self._parts.append((values[widths > plane] >> plane & 1).astype(np.uint8))

    def write_flags(self, flags: NDArray[np.bool_]) -> None:
        """A bit for each [count]."""
        self._parts.append(flags.view(np.uint8))

    def write_unary(self, values: NDArray[np.integer]) -> None:
        """Integers [count] of at least 0: as many zeros, then a one."""
        ends = np.cumsum(np.asarray(values, np.int64) + 1)
        bits = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
        bits[ends - 1] = 1
        self._parts.append(bits)

    def to_bytes(self) -> bytes:
        """All that was written."""
        return np.packbits(np.concatenate([np.zeros(0, np.uint8), *self._parts]), bitorder="little").tobytes()


class BitReader:
    """A cursor over bits; every read checks what is left before it takes memory for it, and raises DecodeError."""

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        self._at = 0

    @property
    def left(self) -> int:
        """Bits that were not read yet, padding among them."""
        return self._bits.size - self._at

    def read_bits(self, count: int, width: int | Integers) -> Integers:
        """The inverse of `write_bits`: `count` integers, of one width or of one [count] each.

        The caller bounds `count` where the width is 0.

        Raises:
            DecodeError: fewer bits are left.
        """
        self._demand(count * width if isinstance(width, int) else int(width.sum()))
        widths = np.broadcast_to(np.asarray(width, np.int64), (count,))
        values = np.zeros(count, np.int64)
        for plane in range(int(widths.max(initial=0))):
            wide = np.flatnonzero(widths > plane)
            values[wide] |= self._take(wide.size).astype(np.int64) << plane
        return values

    def read_flags(self, count: int) -> NDArray[np.bool_]:
        """The inverse of `write_flags`.

        Raises:
            DecodeError: fewer bits are left.
        """
        self._demand(count)
        return self._take(count).view(np.bool_)

    def read_unary(self, count: int) -> Integers:
        """The inverse of `write_unary`.

        Raises:
            DecodeError: fewer numbers are left.
        """
        self._demand(count)
        within = 2 * count + 64  # bits to look at: most often enough, all that are left only if not
        ends = np.flatnonzero(self._bits[self._at : self._at + within])[:count]
        while ends.size < count and within < self.left:
            within *= 2
            ends = np.flatnonzero(self._bits[self._at : self._at + within])[:count]
        if ends.size < count:
            raise DecodeError(f"payload ends early: {count} numbers in unary expected, {ends.size} left")
        self._at += int(ends[-1]) + 1 if count else 0
        return np.diff(ends, prepend=-1) - 1

    def close(self) -> None:
        """End reading.

        Raises:
            DecodeError: a whole byte or more is left, or the padding is not zero.
        """
        if self.left >= 8:
            raise DecodeError(f"payload has {self.left // 8} bytes more than its numbers take")
        if self._bits[self._at :].any():
            raise DecodeError("payload: the padding after its last number must be zero")

    def _take(self, count: int) -> Bits:
        self._at += count
        return self._bits[self._at - count : self._at]

    def _demand(self, bits: int) -> None:
        if bits > self.left:
            raise DecodeError(f"payload ends early: {bits} more bits expected, {self.left} left")
