"""Every registered codec keeps one contract: a plug-in is tested by being registered."""

from dataclasses import replace

import numpy as np
import pytest
from codec_cases import SCHEMA, context_of, encoded_by, golden_bytes, golden_path, spec_of, update_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import CODECS, coder_of
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten

LARGEST = float(np.finfo(np.float32).max)
LEAST = 2.0**-120  # scales near the least float32 are coarse


def no_error(x, error):
    return (error == 0).all()


def half_of_the_last_bit(x, error):
    return (error <= np.maximum(np.abs(x) * 2.0**-11 + 2.0**-25, np.abs(x) - 65504)).all()


def half_a_step(x, error):
    return error.max(initial=0) <= np.abs(x).max(initial=0) / 7 * 0.5001 + LEAST


def no_more_than_was_there(x, error):
    return np.square(error).sum() <= np.square(x).sum() * 1.0001 + LEAST


def no_more_than_its_longest_piece_spreads(x, error):
    return np.square(error).sum() <= 64 * np.square(x).sum() * 1.0001 + LEAST


BOUNDS = {
    "fp32": no_error,
    "fp16": half_of_the_last_bit,
    "uniform": half_a_step,
    "topk": no_more_than_was_there,
    "stc": no_more_than_was_there,
    "rotate": no_more_than_its_longest_piece_spreads,
    "deadzone": no_more_than_was_there,
    "linear": no_more_than_was_there,
    "ternary": no_more_than_was_there,
}
PER_TENSOR = {"fp32", "fp16", "uniform"}
every_codec = pytest.mark.parametrize("name", CODECS)


def updates(schema=SCHEMA, elements=None):
    elements = elements or st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(-1, 1, width=32)
    return st.tuples(*(hnp.arrays(np.float32, shape, elements=elements) for shape in schema.shapes))


def decoded(spec, encoded, context):
    """What a receiver gets after the checks that every envelope makes: the same scales in float32, limits kept."""
    coder = coder_of(spec)
    scales, least, most = coder.limits(context.schema)
    assert len(encoded.scales) == scales
    assert all(0 < scale < np.inf and np.float32(scale) == scale for scale in encoded.scales)
    assert least <= len(encoded.payload) <= most
    return coder.decode(encoded, context)


def assert_refused_or_finite(coder, encoded, context):
    try:
        came = coder.decode(encoded, context)
    except DecodeError:
        return
    assert [each.shape for each in came] == list(context.schema.shapes)
    assert all(np.isfinite(each).all() for each in came)


def test_every_codec_states_its_bound():
    assert set(CODECS) <= set(BOUNDS)


@every_codec
@given(update=updates(), seed=st.integers(0, 99))
def test_round_trip_stays_within_the_bound_and_the_limits(name, update, seed):
    context = context_of(SCHEMA, seed)
    came = decoded(spec_of(name), encoded_by(spec_of(name), update, context, seed), context)
    assert [each.shape for each in came] == list(SCHEMA.shapes)
    assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in came)
    pairs = zip(update, came, strict=True) if name in PER_TENSOR else [(flatten(update), flatten(came))]
    for x, y in pairs:
        assert BOUNDS[name](x.astype(np.float64), np.abs(y.astype(np.float64) - x))


@every_codec
def test_equal_input_gives_equal_bytes_and_leaves_it_alone(name):
    update, context = update_of(SCHEMA), context_of(SCHEMA)
    first = encoded_by(spec_of(name), update, context)
    assert encoded_by(spec_of(name), update, context_of(SCHEMA)) == first
    assert all((x == y).all() for x, y in zip(update, update_of(SCHEMA), strict=True))


@every_codec
@pytest.mark.parametrize("value", [0.0, -0.0])
def test_zeros_come_back_exactly(name, value):
    context, zeros = context_of(SCHEMA), [np.full(shape, value, np.float32) for shape in SCHEMA.shapes]
    came = decoded(spec_of(name), encoded_by(spec_of(name), zeros, context), context)
    assert all(not tensor.any() for tensor in came)


@every_codec
@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 1e-45, 1e-38])
def test_extreme_values_stay_finite(name, value):
    context, update = context_of(SCHEMA), [np.full(shape, value, np.float32) for shape in SCHEMA.shapes]
    came = decoded(spec_of(name), encoded_by(spec_of(name), update, context), context)
    assert all(np.isfinite(tensor).all() for tensor in came)


@every_codec
@pytest.mark.parametrize("schema", [Schema((), ()), Schema(("w",), ((0, 3),)), Schema(("w",), ((),))])
def test_models_of_no_parameter_or_one_are_no_exception(name, schema):
    context, update = blank(schema), [np.ones(shape, np.float32) for shape in schema.shapes]
    came = decoded(spec_of(name), encoded_by(spec_of(name), update, context), context)
    assert [each.shape for each in came] == list(schema.shapes)


@every_codec
@settings(max_examples=300)
@given(data=st.data())
def test_mutated_bytes_are_refused_or_decode_to_finite_values(name, data):
    context, coder = context_of(SCHEMA), coder_of(spec_of(name))
    good = encoded_by(spec_of(name), update_of(SCHEMA), context)
    scales, least, most = coder.limits(SCHEMA)
    payload = bytearray(good.payload)
    for at in data.draw(st.lists(st.integers(0, max(len(payload) - 1, 0)), max_size=4)):
        payload[at] ^= data.draw(st.integers(0, 255))
    length = min(max(len(payload) + data.draw(st.integers(-3, 3)), least), most)
    wide = st.floats(2.0**-149, LARGEST, width=32)
    broken = replace(
        good,
        scales=data.draw(st.just(good.scales) | st.tuples(*[wide] * scales)),
        payload=bytes(payload[:length].ljust(length, b"\x00")),
    )
    assert_refused_or_finite(coder, broken, context)


@every_codec
@given(noise=st.binary(max_size=40))
def test_noise_is_refused_or_decodes_to_finite_values(name, noise):
    context, coder = context_of(SCHEMA), coder_of(spec_of(name))
    scales, least, most = coder.limits(SCHEMA)
    payload = noise[:most].ljust(least, b"\xff")
    good = encoded_by(spec_of(name), update_of(SCHEMA), context)
    assert_refused_or_finite(coder, replace(good, scales=(LARGEST,) * scales, payload=payload), context)


@every_codec
def test_golden_bytes_are_written_and_read_as_ever(name):
    assert golden_bytes(name) == golden_path(name).read_bytes()


@every_codec
def test_an_unknown_version_names_both_sides(name):
    with pytest.raises(PlanError, match=rf"codec {name} 99 is not known here; known: .*{name} {CODECS[name].version}"):
        coder_of(CodecSpec(name=name, version=99))


def test_an_unknown_name_names_both_sides():
    with pytest.raises(PlanError, match=r"codec nncodec 2 is not known here; known: .*uniform 1"):
        coder_of(CodecSpec(name="nncodec", version=2))


@every_codec
def test_an_unknown_parameter_is_named_beside_the_known_ones(name):
    takes = ", ".join(CODECS[name].defaults) or "none"
    with pytest.raises(PlanError, match=f"codec {name} .*: unknown parameter width; it takes {takes}"):
        coder_of(spec_of(name, width=3.0))


@every_codec
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e30])
def test_a_parameter_out_of_range_is_refused(name, value):
    for parameter in CODECS[name].defaults:
        with pytest.raises(PlanError, match=f"codec {name} .*{parameter}"):
            coder_of(spec_of(name, **{parameter: value}))
