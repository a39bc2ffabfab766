"""Take values out of a TOML table, each with the kind and range it must have, and a line for whoever wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf

from fedtailor.protos.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TableReader:
    """A table and its name in messages; every reading method raises ConfigError, and defaults are for absent keys."""

    source: str
    table: Mapping[str, object]

    def known(self, *keys: str) -> None:
        """No key but these may be there."""
        for key in self.table:
            if key not in keys:
                close = get_close_matches(key, keys, n=1)
                meant = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(keys)}"
                raise ConfigError(f"{self.source}: unknown key {key!r}; {meant}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.problem(key, "text", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; none if absent."""
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.problem(key, "a list of texts", value)
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.problem(key, "true or false", value)
        return value

    def integer(self, key: str, default: int, *, least: int, most: float = inf) -> int:
        value = self.table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.problem(key, f"a whole number {_range(least, most)}", value)
        return value

    def number(self, key: str, default: float, *, least: float, most: float = inf) -> float:
        value = self.table.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most or value == inf:
            raise self.problem(key, f"a number {_range(least, most)}", value)
        return float(value)

    def inner(self, key: str) -> "TableReader":
        """The table under this key; an empty one if absent."""
        return self._reader(key, self.table.get(key, {}))

    def rows(self, key: str) -> tuple["TableReader", ...]:
        """The list of tables under this key; none if absent."""
        value = self.table.get(key, [])
        if not isinstance(value, list):
            raise self.problem(key, f"tables, each under a line [[{key}]]", value)
        return tuple(self._reader(f"{key} {number}", entry) for number, entry in enumerate(value, 1))

    def problem(self, key: str, expected: str, got: object) -> ConfigError:
        return ConfigError(f"{self.source}: {key}: expected {expected}, got {'nothing' if got is None else repr(got)}")

    def _reader(self, key: str, value: object) -> "TableReader":
        if not isinstance(value, dict):
            raise self.problem(key, "a table", value)
        return TableReader(f"{self.source}: {key}", value)


def _range(least: float, most: float) -> str:
    return f"of at least {least}" if most == inf else f"from {least} to {most}"
