"""Write our own tables as TOML; reading is `tomllib`'s. What is read back equals what was written.

Source: TOML 1.0.0, toml.io/en/v1.0.0. Values: text, integers, floats, truth values, lists of these, tables, lists of
tables; no dates, no lists that mix tables with values.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TypeGuard

Table = Mapping[str, object]


def to_toml(table: Table) -> str:
    """The text of a table whose keys may hold any text.

    Raises:
        TypeError: a value has no form here (None among them).
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


def _lines(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    """Plain values first: after a header, every line belongs to that header's table."""
    for key, value in table.items():
        if not isinstance(value, Mapping) and not _is_tables(value):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, Mapping):
            yield from ("", f"[{name}]", *_lines(value, (*path, key)))
        elif _is_tables(value):
            for entry in value:
                yield from ("", f"[[{name}]]", *_lines(entry, (*path, key)))


def _is_tables(value: object) -> TypeGuard[list[Table]]:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(float(value) if isinstance(value, float) else int(value))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"to_toml: a value must be text, a number, a truth value, a list or a table, got {value!r}")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's but for DEL
