"""The wire form of the vocabulary."""

import contextlib
import dataclasses
import importlib
import types
import typing

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos import fedtailor_pb2
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import EvaluateReply, Instruction, TailorReply, TrainReply, Update
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.wire import from_bytes, supported_version, to_bytes

MODULES = (
    "budget",
    "checkpoint",
    "data_profile",
    "data_record",
    "device_profile",
    "efficiency",
    "mask",
    "model_spec",
    "plan",
    "variant",
    "verdict",
)


def nouns() -> list[type]:
    modules = [importlib.import_module(f"fedtailor.protos.{name}") for name in (*MODULES, "messages")]
    found = {value for module in modules for value in vars(module).values() if dataclasses.is_dataclass(value)}
    return sorted((typing.cast(type, noun) for noun in found), key=lambda noun: noun.__name__)


def test_every_message_is_a_noun_and_every_noun_a_message():
    assert {noun.__name__ for noun in nouns()} == set(fedtailor_pb2.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("noun", nouns(), ids=lambda noun: noun.__name__)
def test_noun_and_message_have_the_same_fields(noun):
    message = fedtailor_pb2.DESCRIPTOR.message_types_by_name[noun.__name__]
    assert {field.name for field in dataclasses.fields(noun)} == set(message.fields_by_name)


@pytest.mark.parametrize("noun", nouns(), ids=lambda noun: noun.__name__)
def test_none_is_allowed_exactly_where_the_message_can_be_silent(noun):
    message = fedtailor_pb2.DESCRIPTOR.message_types_by_name[noun.__name__]
    optional = {name for name, hint in typing.get_type_hints(noun).items() if isinstance(hint, types.UnionType)}
    silent = {
        field.name
        for field in message.fields
        if field.containing_oneof is not None and field.type != FieldDescriptor.TYPE_GROUP
    }
    assert optional == silent


def values(hint: object) -> st.SearchStrategy:
    plain = {
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, width=32),
        str: st.text(max_size=8),
        bytes: st.binary(max_size=8),
        bool: st.booleans(),
    }
    if hint in plain:
        return plain[hint]
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return st.none() | values(arguments[0])
    if typing.get_origin(hint) is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(st.text(max_size=8), values(float), max_size=3)
    return built(typing.cast(type, hint))


def built(noun: type) -> st.SearchStrategy:
    special = {"kind": st.just("regression"), "crc32": st.integers(0, 2**32 - 1)}
    if versioned := supported_version(noun):
        special[versioned[0]] = st.just(versioned[1])
    positive = st.integers(1, 2**40)
    hints = typing.get_type_hints(noun)
    if noun is Budget:
        return st.builds(noun, **{name: positive for name in hints if name.endswith("bytes")})
    return st.builds(noun, **{name: special[name] if name in special else values(hint) for name, hint in hints.items()})


@pytest.mark.parametrize("noun", nouns(), ids=lambda noun: noun.__name__)
@given(data=st.data())
def test_round_trip(noun, data):
    value = data.draw(built(noun))
    assert from_bytes(noun, to_bytes(value), sender="device a") == value


VERSIONED = {noun.__name__: versioned for noun in nouns() if (versioned := supported_version(noun))}


@pytest.mark.parametrize("name", VERSIONED)
def test_an_unknown_version_is_refused_with_both_versions(name):
    field, known = VERSIONED[name]
    other = getattr(fedtailor_pb2, name)(**{field: known + 1}).SerializeToString()
    line = f"device a: {name} has {field} {known + 1}, this side knows {known}; update the older side"
    with pytest.raises(DecodeError, match=line):
        from_bytes({noun.__name__: noun for noun in nouns()}[name], other, sender="device a")


def test_the_versions_of_what_crosses_the_wire_are_these():
    assert VERSIONED["Plan"] == ("version", 2)
    assert VERSIONED["Update"] == ("format_version", 2)
    assert "CodecSpec" not in VERSIONED  # it names the version of a codec, which the codec judges


def test_a_missing_part_is_named():
    with pytest.raises(DecodeError, match=r"device a: TrainReply.update is missing"):
        from_bytes(TrainReply, b"", sender="device a")


def test_a_value_out_of_range_is_named():
    message = fedtailor_pb2.Budget(accuracy_margin=-1.0)
    with pytest.raises(DecodeError, match=r"device a: Budget.accuracy_margin must be above 0, got -1.0"):
        from_bytes(Budget, message.SerializeToString(), sender="device a")


@given(
    data=st.binary(max_size=200), noun=st.sampled_from([Instruction, TrainReply, TailorReply, EvaluateReply, Update])
)
def test_hostile_bytes_raise_one_exception_type(data, noun):
    with contextlib.suppress(DecodeError):
        from_bytes(noun, data, sender="device a")


@given(st.data())
def test_flipped_bytes_of_a_message_raise_one_exception_type(data):
    raw = bytearray(to_bytes(data.draw(built(Update))))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DecodeError):
        from_bytes(Update, bytes(raw), sender="device a")


def test_the_codec_of_an_update_keeps_its_arguments():
    spec = CodecSpec(name="int4", version=1, args={"levels": 7.0})
    assert from_bytes(CodecSpec, to_bytes(spec), sender="x") == spec
