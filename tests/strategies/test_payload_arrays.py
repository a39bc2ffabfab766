from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from hypothesis.strategies import binary, integers, sampled_from

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.payload.number_code import NumberReader, NumberWriter
from fedtailor.strategies.payload.payload_arrays import (
    read_floats,
    read_integers,
    read_wide,
    write_floats,
    write_integers,
    write_wide,
)
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter

SHAPES = array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)


def written(write, values):
    facts, numbers = FactWriter(), NumberWriter()
    write(facts, numbers, values)
    return bytes(facts.body), numbers.finish()


def again(write, read, values):
    facts, numbers = written(write, values)
    reader = NumberReader(numbers)
    back = read(FactReader(facts), reader, values.shape)
    reader.finish()
    return back


def float_bytes(values):
    return sum(map(len, written(write_floats, values)))


@given(bits=arrays(np.uint32, SHAPES))
def test_any_float32_comes_back_bit_for_bit(bits):
    assert again(write_floats, read_floats, bits.view(np.float32)).tobytes() == bits.tobytes()


@given(bits=arrays(np.uint32, SHAPES), spare=integers(0, 31))
def test_floats_with_few_digits_come_back_bit_for_bit(bits, spare):
    short = bits >> np.uint32(spare) << np.uint32(spare)
    assert again(write_floats, read_floats, short.view(np.float32)).tobytes() == short.tobytes()


@given(values=arrays(np.int32, SHAPES), shift=integers(0, 31))
def test_any_int32_comes_back(values, shift):
    for each in (values, values >> shift, values >> shift << shift):
        assert np.array_equal(again(write_wide, read_wide, each), each)


@given(shape=SHAPES, dtype=sampled_from([np.int8, np.uint8]), seed=integers(0, 2**32 - 1))
def test_any_small_integers_come_back(shape, dtype, seed):
    limits = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)
    assert np.array_equal(again(write_integers, read_integers, values), values)


def test_a_float32_takes_its_mantissa_its_sign_and_what_its_exponent_tells():
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    assert float_bytes(values) < 5000 * (24 + 2.7) / 8


def test_a_scale_in_bfloat16_takes_nine_bits():
    scales = 0.01 * np.exp(np.random.default_rng(0).normal(size=400) * 0.3)
    short = (scales.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert float_bytes(short) < 400 * 9 / 8 + 8


def test_a_bias_takes_the_bits_that_it_has():
    rng = np.random.default_rng(0)
    biases = np.rint(rng.normal(size=400) * 2**15).astype(np.int32)
    lengths = np.floor(np.log2(np.maximum(np.abs(biases), 1))) + 1
    assert len(written(write_wide, biases)[1]) < (lengths.sum() + 400 * 2.7) / 8 + 5
    assert len(written(write_wide, biases << 8)[1]) == len(written(write_wide, biases)[1])


def test_integers_too_far_from_zero_are_refused():
    with pytest.raises(ValueError, match="255 at most, got 256"):
        written(write_integers, np.array([256]))


@given(facts=binary(min_size=2, max_size=4), numbers=binary(min_size=5, max_size=40), shape=SHAPES)
def test_any_bytes_are_an_array_or_a_decode_error(facts, numbers, shape):
    for read in (read_floats, read_wide, read_integers):
        with suppress(DecodeError):
            assert read(FactReader(facts), NumberReader(numbers), shape).shape == shape
