"""Every registered codec keeps one contract; the envelope refuses what it did not expect."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fedtailor.strategies.codec as _codecs  # noqa: F401 - registers them
from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Update
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Schema
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.codec.codec import CODECS, codec_named
from fedtailor.strategies.codec.envelope import Address, checksum, decode_update, encode_update

SCHEMA = Schema(("conv.weight", "conv.bias", "head.weight"), ((3, 2, 5), (3,), (4, 3)))
STEPS = {"fp32": 0.0, "int8": 1 / 127, "int4": 0.5 / 7}


def finite(limit: float) -> st.SearchStrategy:
    return st.floats(-limit, limit, width=32, allow_subnormal=False)


def tensors() -> st.SearchStrategy:
    return st.tuples(*(hnp.arrays(np.float32, shape, elements=finite(2.0**20)) for shape in SCHEMA.shapes))


def address(name: str) -> Address:
    return Address(
        device_id="till-1", round=4, base_version=3, codec=CodecSpec(name=name, version=CODECS[name].version)
    )


def update(name: str = "int4", seed: int = 0) -> Update:
    rng = np.random.default_rng(seed)
    delta = [rng.normal(size=shape).astype(np.float32) for shape in SCHEMA.shapes]
    return encode_update(delta, SCHEMA, address(name), num_examples=12, rng=rng)


def sealed(broken: Update) -> Update:
    return replace(broken, crc32=checksum(broken))


def test_every_codec_states_its_error():
    assert set(STEPS) == set(CODECS)


@pytest.mark.parametrize("name", CODECS)
@given(delta=tensors(), seed=st.integers(0, 99))
def test_round_trip_is_within_the_stated_error(name, delta, seed):
    sent = encode_update(delta, SCHEMA, address(name), num_examples=1, rng=np.random.default_rng(seed))
    received = from_bytes(Update, to_bytes(sent), sender="till-1")
    for was, came in zip(delta, decode_update(received, SCHEMA, expected=address(name)), strict=True):
        assert came.shape == was.shape
        assert came.dtype == np.float32
        assert np.abs(came - was).max() <= np.abs(was).max() * STEPS[name] * (1 + 1e-5) + 1e-37


@pytest.mark.parametrize("name", CODECS)
def test_zeros_come_back_exactly(name):
    zeros = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    sent = encode_update(zeros, SCHEMA, address(name), num_examples=1, rng=np.random.default_rng(0))
    assert all(not came.any() for came in decode_update(sent, SCHEMA, expected=address(name)))


@pytest.mark.parametrize("name", CODECS)
def test_an_empty_model_has_an_empty_payload(name):
    empty = Schema((), ())
    sent = encode_update([], empty, address(name), num_examples=1, rng=np.random.default_rng(0))
    assert sent.payload == b""


@pytest.mark.parametrize(("name", "want"), [("fp32", 4 * 45), ("int8", 45), ("int4", 23)])
def test_payload_bytes(name, want):
    assert len(update(name).payload) == want


def test_stochastic_rounding_is_unbiased():
    codec, schema = CODECS["int8"], Schema(("w",), ((2,),))
    x = [np.array([1.0, 0.3141], np.float32)]
    rng = np.random.default_rng(0)
    mean = np.mean([codec.decode(codec.encode(x, rng), schema)[0] for _ in range(4000)], axis=0)
    assert abs(mean[1] - 0.3141) < 4 * (1 / 127) / np.sqrt(12 * 4000) * np.sqrt(3)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_diverged_update_is_not_sent(name, value):
    delta = [np.full(shape, value, np.float32) for shape in SCHEMA.shapes]
    with pytest.raises(PlanError, match=r"device till-1, round 4: layer 'conv.weight' holds NaN or infinity"):
        encode_update(delta, SCHEMA, address(name), num_examples=1, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"device_id": "till-2"}, "has device 'till-2', expected 'till-1'"),
        ({"round": 5}, "has round 5, expected 4"),
        ({"base_version": 2}, "has base version 2, expected 3"),
        ({"schema_hash": b"12345678"}, "has schema hash '3132333435363738'"),
        ({"codec": CodecSpec(name="int8", version=1)}, "has codec"),
        ({"mask_hash": b"12"}, "has mask hash '3132'"),
        ({"num_examples": 0}, "counts 0 examples"),
        ({"num_examples": -5}, "counts -5 examples"),
        ({"scales": (1.0,)}, "1 scales came, int4 has 3"),
        ({"scales": (1.0, -1.0, 1.0)}, "a scale is not finite"),
        ({"scales": (1.0, float("nan"), 1.0)}, "a scale is not finite"),
        ({"payload": b"123"}, "the payload has 3 bytes, int4 takes 23 to 23"),
        ({"payload": b"\x00" * 22 + b"\x10"}, "the padding after value 45 must be zero"),
        ({"payload": b"\x08" + b"\x00" * 22}, "a level of -8 came"),
        ({"scales": (3e38, 3e38, 3e38), "payload": b"\x07" * 23}, "holds NaN or infinity"),
    ],
)
def test_each_lie_is_named(change, line):
    broken = sealed(replace(update(), **change))
    with pytest.raises(DecodeError, match=rf"device till-1, round 4: .*{line}"), np.errstate(over="ignore"):
        decode_update(broken, SCHEMA, expected=address("int4"))


def test_a_wrong_checksum_is_refused():
    with pytest.raises(DecodeError, match="checksum"):
        decode_update(replace(update(), payload=b"\x11" * 22 + b"\x01"), SCHEMA, expected=address("int4"))


def test_an_unknown_codec_names_both_sides():
    with pytest.raises(PlanError, match=r"codec ternary 2 is not known here; known: .*int4 1"):
        codec_named(CodecSpec(name="ternary", version=2))
    with pytest.raises(PlanError, match="takes no parameters, got bits"):
        codec_named(CodecSpec(name="int4", version=1, args={"bits": 3.0}))


@pytest.mark.parametrize("name", CODECS)
def test_mutated_envelopes_raise_one_exception_type(name):
    raw, rng, refused = to_bytes(update(name)), np.random.default_rng(0), 0
    for _ in range(3400):
        broken = bytearray(raw)
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(len(raw))] = rng.integers(256)
        try:
            decode_update(from_bytes(Update, bytes(broken), sender="till-1"), SCHEMA, expected=address(name))
        except DecodeError:
            refused += 1
        else:
            assert bytes(broken) == raw
    assert refused > 3000


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=30)
@given(cut=st.integers(0, 60))
def test_truncated_envelopes_raise_one_exception_type(name, cut):
    raw = to_bytes(update(name))[: -cut - 1]
    with pytest.raises(DecodeError):
        decode_update(from_bytes(Update, raw, sender="till-1"), SCHEMA, expected=address(name))
