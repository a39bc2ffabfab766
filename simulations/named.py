"""What a command names of the many things that it could do."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from fedtailor.protos.errors import ConfigError

Thing = TypeVar("Thing")


def named(option: str, names: Iterable[str], known: Mapping[str, Thing]) -> tuple[Thing, ...]:
    """Those of these names, each one name or several with commas, in the order of `known`; all where there are none.

    Raises:
        ConfigError: nobody knows one of them.
    """
    asked = [name.strip() for several in names for name in several.split(",") if name.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ConfigError(f"{option}: expected some of {', '.join(known)}, got {unknown[0]!r}")
    return tuple(thing for name, thing in known.items() if not asked or name in asked)
