import lzma
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import composite, data, integers, lists

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.payload.number_code import MOST_NUMBERS, NumberReader, NumberWriter


@composite
def integer_arrays(draw):
    """An array and a top that none of it exceeds."""
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    shape = tuple(draw(lists(integers(0, 7), min_size=1, max_size=4)))
    top = draw(integers(0, 255))
    spread = draw(integers(0, top)) / 2
    return np.clip(np.rint(rng.normal(size=shape) * spread), -top, top).astype(np.int64), top


@given(arrays=lists(integer_arrays(), max_size=5))
def test_integers_come_back_in_their_order(arrays):
    writer = NumberWriter()
    for values, top in arrays:
        writer.integers(values, top)
    reader = NumberReader(writer.finish())
    for values, top in arrays:
        assert np.array_equal(reader.integers(values.shape, top), values)
    reader.finish()


@given(drawn=data(), widths=lists(integers(0, 40), max_size=50), arrays=lists(integer_arrays(), max_size=2))
def test_bits_and_integers_lie_side_by_side(drawn, widths, arrays):
    wide = np.array(widths, np.int64)
    values = np.array([drawn.draw(integers(0, 2**width - 1)) for width in widths], np.int64)
    writer = NumberWriter()
    for array, top in arrays:
        writer.fields(values, wide)
        writer.integers(array, top)
    reader = NumberReader(writer.finish())
    for array, top in arrays:
        assert np.array_equal(reader.fields(wide), values)
        assert np.array_equal(reader.integers(array.shape, top), array)
    reader.finish()


def test_fields_of_many_values_take_their_bits():
    widths = np.full(40000, 7, np.int64)
    values = np.random.default_rng(0).integers(0, 128, 40000)
    writer = NumberWriter()
    writer.fields(values, widths)
    data = writer.finish()
    assert len(data) == 40000 * 7 // 8 + 5
    assert np.array_equal(NumberReader(data).fields(widths), values)


def coded_bytes(values, top):
    writer = NumberWriter()
    writer.integers(values, top)
    return len(writer.finish())


def entropy_bytes(values):
    shares = np.unique(values, return_counts=True)[1] / values.size
    return -values.size * (shares * np.log2(shares)).sum() / 8


def rounded(rng, shape, top):
    return np.clip(np.rint(rng.normal(size=shape) * 3 * (top + 1) / 8), -top, top).astype(np.int64)


@pytest.mark.parametrize("top", [1, 3, 7, 15, 127])
def test_weights_without_a_pattern_take_their_entropy_and_half_a_percent(top):
    values = rounded(np.random.default_rng(top), (64, 64, 3, 3), top)
    assert coded_bytes(values, top) < 1.005 * entropy_bytes(values)


def test_a_small_array_needs_no_table():
    values = rounded(np.random.default_rng(0), (10, 32), 7)
    assert coded_bytes(values, 7) < 1.02 * entropy_bytes(values) + 6


def test_inputs_that_pruning_has_thinned_out_take_less_than_the_entropy():
    rng = np.random.default_rng(0)
    kept = rng.random((64, 48, 1, 1)) < np.where(np.arange(48) % 3, 0.08, 0.7)[:, None, None]
    values = rounded(rng, (64, 48, 3, 3), 3) * kept
    assert coded_bytes(values, 3) < 0.9 * entropy_bytes(values)


def test_kernels_whose_neighbours_agree_take_less_than_the_entropy():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(48, 48, 1, 1))
    values = np.where(centre + rng.normal(size=(48, 48, 3, 3)) * 0.6 > 0, 1, -1).astype(np.int64)
    assert coded_bytes(values, 1) < 0.85 * entropy_bytes(values)


@pytest.mark.parametrize(("top", "density"), [(127, 1.0), (7, 1.0), (3, 1.0), (1, 1.0), (7, 0.3), (1, 0.3)])
def test_weights_take_less_than_in_lzma(top, density):
    rng = np.random.default_rng(0)
    values = rounded(rng, (64, 32, 3, 3), top) * (rng.random((64, 32, 3, 3)) < density)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]
    assert coded_bytes(values, top) < len(
        lzma.compress(values.astype(np.int8).tobytes(), lzma.FORMAT_RAW, filters=filters)
    )


def test_zeros_alone_take_nothing():
    assert coded_bytes(np.zeros((512, 512), np.int64), 0) == coded_bytes(np.zeros((0, 3), np.int64), 5) == 5


@pytest.mark.parametrize("shape", [(MOST_NUMBERS + 1,), (1 << 35, 1 << 35), (1 << 20, 17)])
def test_too_many_numbers_are_refused_before_memory_is_taken(shape):
    assert prod(shape) > MOST_NUMBERS
    with pytest.raises(DecodeError, match="too many"):
        NumberReader(bytes(9)).integers(shape, 0)


def test_many_arrays_together_are_too_many_too():
    reader = NumberReader(bytes(9))
    reader.integers((MOST_NUMBERS // 2 + 1,), 0)
    with pytest.raises(DecodeError, match="too many"):
        reader.integers((MOST_NUMBERS // 2,), 0)


def test_bits_that_are_not_there_are_a_decode_error():
    with pytest.raises(DecodeError, match="3 more bytes"):
        NumberReader(bytes(9)).fields(np.full(12, 8, np.int64))


@pytest.mark.parametrize("extra", [b"\0", b"\0\0"])
def test_bytes_left_over_are_a_decode_error(extra):
    writer = NumberWriter()
    writer.integers(np.arange(-3, 4), 3)
    reader = NumberReader(extra + writer.finish())
    reader.integers((7,), 3)
    with pytest.raises(DecodeError, match=f"{len(extra)} bytes are left over"):
        reader.finish()
