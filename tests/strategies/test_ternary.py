"""Ternary: what passes the threshold comes back as its tensor's largest, the rest as zero."""

import numpy as np
import pytest
from codec_cases import context_of, update_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import Encoded
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.ternary import ternary

SCHEMA = Schema(("conv.weight", "conv.bias", "head.weight"), ((30, 20, 2, 2), (30,), (4, 3)))
CONTEXT = context_of(SCHEMA)
RNG = np.random.default_rng(0)
floats = st.floats(-60000, 60000, width=32)


def round_trip(tensors, context=CONTEXT, tau=0.65):
    coder = ternary({"tau": tau})
    encoded = coder.encode(tensors, context, RNG)
    assert encoded.scales == ()
    return encoded, coder.decode(encoded, context)


def alone(values):
    schema = Schema(("w",), (np.shape(values),))
    return round_trip([np.array(values, np.float32)], blank(schema))[1][0]


@given(
    tensors=st.tuples(*(hnp.arrays(np.float32, shape, elements=floats) for shape in SCHEMA.shapes)),
    tau=st.sampled_from([0.0, 0.3, 0.65, 0.95]),
)
def test_each_value_is_the_scale_of_its_tensor_or_zero(tensors, tau):
    for x, came in zip(tensors, round_trip(tensors, tau=tau)[1], strict=True):
        scale = np.float32(np.float16(max(np.abs(x).max(), 2.0**-24)))
        assert (came == np.where(np.abs(x) > np.float32(tau) * scale, np.sign(x) * scale, 0)).all()


def test_thresholds_are_by_tensor():
    tensors = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    tensors[0].flat[:3], tensors[2].flat[:3] = (100, -70, 60), (0.01, -0.007, 0.006)
    encoded, (large, zeros, small) = round_trip(tensors)
    assert large.flat[:4].tolist() == [100, -100, 0, 0]
    assert not zeros.any()
    assert small.flat[:4].tolist() == [np.float16(0.01), -np.float16(0.01), 0, 0]
    assert len(encoded.payload) < 6 + 12


def test_zeros_take_two_bytes_a_tensor_and_a_bit_a_bucket():
    encoded, came = round_trip([np.zeros(shape, np.float32) for shape in SCHEMA.shapes])
    assert len(encoded.payload) == 6 + -(-CONTEXT.buckets.sizes.size // 8)
    assert not flatten(came).any()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e30, -3e38, 1.0], [65504, -65504, 0]),
        ([65519, 60000], [65504, 65504]),
        ([1e-30, -1e-45], [0, 0]),
        ([2.0**-25, 0], [0, 0]),
        ([1.8 * 2.0**-25, -(2.0**-26)], [2.0**-24, 0]),
    ],
)
def test_scales_beyond_fp16_stay_finite_and_above_zero(values, expected):
    assert alone(values).tolist() == expected


@given(seed=st.integers(0, 99))
def test_what_came_is_coded_as_the_same_bytes(seed):
    encoded, came = round_trip(update_of(SCHEMA, seed))
    assert round_trip(came)[0] == encoded


def test_a_tau_out_of_range_names_the_limits():
    with pytest.raises(ValueError, match="tau must be at least 0 and below 1, got 1"):
        ternary({"tau": 1.0})


def refusal(head, rest):
    payload = np.array(head, "<f2").tobytes() + rest
    with pytest.raises(DecodeError) as refused:
        ternary({"tau": 0.65}).decode(Encoded(scales=(), payload=payload), CONTEXT)
    return str(refused.value)


@pytest.mark.parametrize("scale", [np.inf, np.nan, -1.0, -0.0])
def test_a_scale_that_no_encoder_writes_is_refused(scale):
    _, rest = split(round_trip(update_of(SCHEMA))[0])
    assert f"layer 'conv.bias' has scale {scale}, expected a finite" in refusal([1, scale, 1], rest)


def split(encoded):
    return np.frombuffer(encoded.payload[:6], "<f2"), encoded.payload[6:]


def test_a_scale_without_values_and_values_without_a_scale_are_refused():
    head, rest = split(round_trip(update_of(SCHEMA))[0])
    assert "layer 'conv.weight' has scale 0 and " in refusal([0, head[1], head[2]], rest)
    _, nothing = split(round_trip([np.zeros(shape, np.float32) for shape in SCHEMA.shapes])[0])
    assert "layer 'head.weight' has scale 1 and 0 values" in refusal([0, 0, 1], nothing)


def test_bytes_left_over_are_refused():
    head, rest = split(round_trip(update_of(SCHEMA))[0])
    assert "1 bytes more" in refusal(head, rest + b"\x00")
