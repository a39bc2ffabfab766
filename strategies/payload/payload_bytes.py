"""The small facts of a payload as bytes: counts, texts, choices."""

from collections.abc import Sequence

from fedtailor.protos.errors import DecodeError

_MOST_COUNTS = 1 << 10  # of one list: axes of an array, values that a layer reads
_MOST_BITS = 35


class FactWriter:
    """Collects facts."""

    def __init__(self) -> None:
        self.body = bytearray()

    def byte(self, value: int) -> None:
        self.body.append(value)

    def count(self, value: int) -> None:
        """An integer of at least 0, seven bits a byte."""
        while value > 0x7F:
            self.body.append(value & 0x7F | 0x80)
            value >>= 7
        self.body.append(value)

    def counts(self, values: Sequence[int]) -> None:
        if len(values) > _MOST_COUNTS:
            raise ValueError(f"pack: a list may have {_MOST_COUNTS} entries, got {len(values)}")
        self.count(len(values))
        for value in values:
            self.count(value)

    def texts(self, values: Sequence[str]) -> None:
        encoded = [value.encode() for value in values]
        for text in encoded:
            self.count(len(text))
        self.body += b"".join(encoded)


class FactReader:
    """A cursor over facts; every read checks what is left before it allocates, and raises DecodeError."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise DecodeError(f"payload ends early: {count} more bytes expected, {self.left} left")
        self._at += count
        return self._body[self._at - count : self._at]

    def byte(self, limit: int, what: str) -> int:
        value = self.take(1)[0]
        if value > limit:
            raise DecodeError(f"payload: {what} must be at most {limit}, got {value}")
        return value

    def count(self) -> int:
        value = 0
        for shift in range(0, _MOST_BITS, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise DecodeError(f"payload holds an integer of more than {_MOST_BITS} bits")

    def counts(self) -> tuple[int, ...]:
        number = self.count()
        if number > _MOST_COUNTS:
            raise DecodeError(f"payload: a list may have {_MOST_COUNTS} entries, got {number}")
        return tuple(self.count() for _ in range(number))

    def texts(self, number: int) -> list[str]:
        sizes = [self.count() for _ in range(number)]
        try:
            return [self.take(size).decode() for size in sizes]
        except UnicodeDecodeError as error:
            raise DecodeError(f"payload holds a name that is no text: {error}") from None
