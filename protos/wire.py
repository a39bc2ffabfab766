"""One converter between the nouns of this folder and their protobuf messages, by reflection.

A noun and its message share name and field names; None is an absent `optional` field, a tuple is `repeated`.
"""

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from fedtailor.protos import fedtailor_pb2
from fedtailor.protos.errors import DecodeError

Noun = TypeVar("Noun")

MAX_MESSAGE_BYTES = 512 * 2**20
VERSION_FIELDS = ("format_version", "version")


def to_bytes(noun: Any) -> bytes:
    """The protobuf bytes of a noun; equal nouns give equal bytes on one protobuf version."""
    return to_message(noun).SerializeToString(deterministic=True)


def from_bytes(cls: type[Noun], data: bytes, *, sender: str) -> Noun:
    """The noun in `data`, which came from `sender`.

    Raises:
        DecodeError: too long, not a message of this kind, a part missing, a version unknown, or a value out of range.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"{sender}: a {cls.__name__} of {len(data)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    message = _message_class(cls)()
    try:
        message.ParseFromString(data)
    except (ProtobufDecodeError, RecursionError) as error:
        raise DecodeError(
            f"{sender}: {len(data)} bytes are not a {cls.__name__}; the sender may run another version of fedtailor"
        ) from error
    return from_message(cls, message, sender=sender)


def to_message(noun: Any) -> Message:
    """The protobuf message of a noun."""
    message = _message_class(type(noun))()
    for field in fields(noun):
        _write(message, field.name, getattr(noun, field.name))
    return message


def from_message(cls: type[Noun], message: Message, *, sender: str) -> Noun:
    """The noun of a protobuf message.

    Raises:
        DecodeError: a part is missing, a version unknown, or a value out of range.
    """
    _check_version(cls, message, sender)
    values = {name: _read(message, name, hint, f"{sender}: {cls.__name__}") for name, hint in _hints(cls).items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise DecodeError(f"{sender}: {error}") from error


def _message_class(cls: type) -> type[Message]:
    found: type[Message] = getattr(fedtailor_pb2, cls.__name__)
    return found


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def supported_version(cls: type) -> tuple[str, int] | None:
    """The version field of a noun of this folder and the one version this side knows, which is the field's default.

    None where it has no such default: then it is of no version of its own, or names that of something else.
    """
    for field in fields(cls):
        if field.name in VERSION_FIELDS and field.default is not MISSING:
            return field.name, field.default
    return None


def _check_version(cls: type, message: Message, sender: str) -> None:
    versioned = supported_version(cls)
    if versioned is None:
        return
    name, want = versioned
    got = getattr(message, name)
    if got != want:
        raise DecodeError(f"{sender}: {cls.__name__} has {name} {got}, this side knows {want}; update the older side")


def _write(message: Message, name: str, value: Any) -> None:
    if value is None:
        return
    if is_dataclass(value):
        getattr(message, name).CopyFrom(to_message(value))
    elif isinstance(value, tuple):
        items = [to_message(item) if is_dataclass(item) else item for item in value]
        getattr(message, name).extend(items)
    elif isinstance(value, dict):
        getattr(message, name).update(value)
    else:
        setattr(message, name, value)


def _read(message: Message, name: str, hint: Any, where: str) -> Any:
    value = getattr(message, name)
    if isinstance(hint, types.UnionType):
        if not message.HasField(name):
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    origin = typing.get_origin(hint)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_read_noun(item, part, where) for part in value) if is_dataclass(item) else tuple(value)
    if origin is dict:
        return dict(value)
    if is_dataclass(hint):
        if not message.HasField(name):
            raise DecodeError(f"{where}.{name} is missing; the sender may run another version of fedtailor")
        return _read_noun(hint, value, where)
    return value


def _read_noun(cls: Any, message: Message, where: str) -> Any:
    return from_message(cls, message, sender=where)
