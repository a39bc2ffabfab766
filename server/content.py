"""What the server puts into a message and takes out of a reply: one record, one entry of wire bytes."""

from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TypeVar

from flwr.app import ConfigRecord, RecordDict

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import RECORD
from fedtailor.protos.wire import from_bytes, to_bytes

Noun = TypeVar("Noun")


def content_of(**nouns: object) -> RecordDict:
    """A message's content: each noun's wire bytes under its name; none for a mere question."""
    return RecordDict({RECORD: ConfigRecord({name: to_bytes(noun) for name, noun in nouns.items()})})


def read_reply(content: RecordDict, name: str, cls: type[Noun], *, sender: str) -> Noun:
    """The noun a device answered with.

    Raises:
        DecodeError: record or entry are missing or of another kind, or the bytes are not that noun.
    """
    record = content.get(RECORD)
    value = record.get(name) if isinstance(record, ConfigRecord) else None
    if not isinstance(value, bytes):
        got = "none" if record is None else ", ".join(sorted(record)) or "an empty record"
        raise DecodeError(f"{sender}: expected the entry {name!r} in record {RECORD!r}, got {got}")
    return from_bytes(cls, value, sender=sender)


def check_finite(noun: object, *, sender: str) -> None:
    """
    Raises:
        DecodeError: a number anywhere in the noun is NaN or infinite.
    """
    for where, value in _numbers(noun, type(noun).__name__):
        if not isfinite(value):
            raise DecodeError(f"{sender}: {where} is {value}, expected a finite number")


def _numbers(value: object, where: str) -> list[tuple[str, float]]:
    if isinstance(value, float):
        return [(where, value)]
    if isinstance(value, tuple):
        return [found for item in value for found in _numbers(item, where)]
    if is_dataclass(value):
        return [
            found for entry in fields(value) for found in _numbers(getattr(value, entry.name), f"{where}.{entry.name}")
        ]
    return []
