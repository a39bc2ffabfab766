import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists

from fedtailor.strategies.payload.number_code import NumberWriter
from fedtailor.strategies.payload.packed_bits import packed_bits


def coded_bits(values):
    writer = NumberWriter()
    writer.integers(values, int(np.abs(values).max()))
    return 8 * (len(writer.finish()) - 5)


def weights(shape, top, density, seed=0):
    """Rounded weights, pruned more on every third input."""
    rng = np.random.default_rng(seed)
    chance = np.where(np.arange(shape[1]) % 3, density, density / 3).reshape(-1, *[1] * (len(shape) - 2))
    values = np.clip(np.rint(rng.normal(size=shape) * 3 * (top + 1) / 8), -top, top).astype(np.int64)
    return values if density == 1 else values * (rng.random(shape) < chance)


@pytest.mark.parametrize("shape", [(32, 24, 3, 3), (48, 32, 5), (64, 100)])
@pytest.mark.parametrize(("top", "density"), [(127, 1.0), (7, 1.0), (3, 1.0), (1, 1.0), (7, 0.4), (1, 0.4)])
def test_bits_are_what_the_payload_takes_within_four_percent(shape, top, density):
    values = weights(shape, top, density)
    assert packed_bits(values) == pytest.approx(coded_bits(values), rel=0.04)


def test_every_integer_type_gives_the_same_bits():
    values = weights((16, 8, 3, 3), 7, 0.5)
    assert packed_bits(values.astype(np.int8)) == packed_bits(values.astype(np.float64)) == packed_bits(values)


def test_zeros_and_nothing_take_no_bits():
    assert packed_bits(np.zeros((4, 3), np.int8)) == packed_bits(np.zeros((0, 3), np.int8)) == 0.0


@given(shape=lists(integers(1, 6), min_size=1, max_size=4), top=integers(1, 255), seed=integers(0, 2**32 - 1))
def test_any_array_takes_a_finite_number_of_bits(shape, top, seed):
    values = np.random.default_rng(seed).integers(-top, top + 1, shape)
    assert 0 <= packed_bits(values) <= values.size * 17
