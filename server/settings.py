"""Settings read from a TOML table into dataclasses: types from the fields, limits from the table below."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from math import isfinite
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fedtailor.protos.errors import ConfigError

Noun = TypeVar("Noun")


@dataclass(frozen=True, slots=True)
class Limits:
    """Inclusive; `above` excludes the lower end."""

    low: float = 0
    high: float = float("inf")
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return isfinite(value) and (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return low if self.high == float("inf") else f"{low} and at most {self.high:g}"


POSITIVE = Limits(above=True)
FRACTION = Limits(0, 1, above=True)
LIMITS = {
    "job.rounds": Limits(1, 100_000),
    "job.buffer": Limits(0),
    "job.concurrency": Limits(0),
    "job.staleness": Limits(0, 10_000),
    "job.fraction": FRACTION,
    "job.choice.version": Limits(1),
    "job.over_selection": Limits(0, 10),
    "job.minimum_fraction": Limits(0, 1),
    "job.minimum_devices": Limits(1),
    "job.join_s": Limits(0),
    "job.deadline_s": POSITIVE,
    "job.seed": Limits(0, 2**31 - 1),
    "job.reprofile_every": Limits(0, 100_000),
    "job.aggregate.version": Limits(1),
    "job.optimizer.version": Limits(1),
    "job.cooldown": Limits(0, 1),
    "job.kappa": Limits(0),
    "job.update_norm": Limits(0),
    "job.ensemble.steps": Limits(0, 1_000_000),
    "job.ensemble.learning_rate": POSITIVE,
    "job.codec.version": Limits(1),
    "job.downlink.version": Limits(1),
    "job.step_ahead": Limits(0, 1),
    "job.train.epochs": Limits(1, 10_000),
    "job.train.batch_size": Limits(1),
    "job.train.learning_rate": POSITIVE,
    "job.train.momentum": Limits(0, 0.9999),
    "job.train.weight_decay": Limits(0),
    "job.train.clip_norm": Limits(0),
    "job.personal.epochs": Limits(0, 10_000),
    "job.personal.batch_size": Limits(1),
    "job.personal.learning_rate": POSITIVE,
    "job.personal.proximal": Limits(0),
    "job.recipes.shrink": Limits(1, 10_000),
    "job.recipes.speed": Limits(1, 10_000),
    "job.recipes.student": Limits(0.0001, 1),
    "job.recipes.distil_steps": Limits(0, 1_000_000),
    "job.gate.margin": FRACTION,
    "job.gate.loss_margin": Limits(0),
    "job.gate.confidence": Limits(0.5, 0.9999),
}
CHOICES = {
    "job.mode": ("rounds", "buffered"),
    "job.personal.method": ("auto", "shared", "prior", "finetune", "ditto", "head"),
    "job.recipes.precision": ("fastest", "int8", "fp32"),
    "job.weak": ("depth", "width", "leave-out"),
}


def read_settings(defaults: Noun, table: Mapping[str, object], where: str) -> Noun:
    """`defaults` with what `table` names; nested dataclasses are tables, tuples of them lists of tables.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range; one line with the key's full name.
    """
    values = _read_fields(type(defaults), table, where, defaults)
    return replace(defaults, **values)  # type: ignore[type-var]


def _read_fields(noun: type, table: object, where: str, defaults: object = None) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table, got {_shown(table)}")
    types = get_type_hints(noun)
    for key in table:
        if key not in types:
            near = difflib.get_close_matches(str(key), types, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(types)}"
            raise ConfigError(f"{where}.{key}: unknown key; {hint}")
    return {
        key: _read(types[key], value, f"{where}.{key}", getattr(defaults, key, None)) for key, value in table.items()
    }


def _read(kind: Any, value: object, where: str, default: object) -> Any:
    origin = get_origin(kind)
    if origin is UnionType:  # `X | None`: a key that is present is an X
        return _read(get_args(kind)[0], value, where, default)
    if isinstance(kind, type) and is_dataclass(kind):
        values = _read_fields(kind, value, where, default)
        return replace(default, **values) if default is not None else _new(kind, values, where)  # type: ignore[type-var]
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {_shown(value)}")
        return tuple(_read(get_args(kind)[0], item, where, None) for item in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table of numbers, got {_shown(value)}")
        return {str(key): _read_value(float, item, f"{where}.{key}") for key, item in value.items()}
    return _read_value(kind, value, where)


def _new(kind: Any, values: dict[str, Any], where: str) -> Any:
    missing = [
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING and f.name not in values
    ]
    if missing:
        raise ConfigError(f"{where}.{missing[0]}: missing; every entry of {where} needs it")
    return kind(**values)


def _read_value(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        raise ConfigError(f"{where}: expected {names[kind]}, got {_shown(value)}")
    if where in CHOICES and value not in CHOICES[where]:
        raise ConfigError(f"{where}: expected one of {', '.join(CHOICES[where])}, got {value!r}")
    limits = LIMITS.get(where, Limits(float("-inf")))
    if isinstance(value, int | float) and value not in limits:
        raise ConfigError(f"{where}: expected {limits}, got {value!r}")
    return value


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:80]
