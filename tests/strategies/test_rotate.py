import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as hadamard_matrix

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import Encoded, coder_of
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.rotate import LONGEST, hadamard, lengths_of

SCHEMA = Schema(("w", "b"), ((60, 50), (60,)))
CONTEXT = context_of(SCHEMA)
SPEC = spec_of("rotate")
UPDATE = [np.random.default_rng(0).standard_t(5, shape).astype(np.float32) for shape in SCHEMA.shapes]


def through(update=UPDATE, seed=0):
    return flatten(coder_of(SPEC).decode(encoded_by(SPEC, update, CONTEXT, seed), CONTEXT)).astype(np.float64)


def with_payload(change):
    payload = bytearray(encoded_by(SPEC, UPDATE, CONTEXT).payload)
    change(payload)
    return Encoded(scales=(), payload=bytes(payload))


@pytest.mark.parametrize("length", [1, 2, 8, 64, 512])
def test_the_transform_is_hadamards(length):
    x = np.random.default_rng(0).integers(-9, 9, length).astype(np.int16)
    assert (hadamard(x) == hadamard_matrix(length) @ x).all()


@given(size=st.integers(0, 200_000))
def test_pieces_cover_all_coordinates_and_waste_less_than_a_scale(size):
    lengths = lengths_of(size)
    assert 0 <= sum(lengths) - size <= 32
    assert all(length & length - 1 == 0 and length <= LONGEST for length in lengths)
    assert len(lengths) <= size // LONGEST + 14


def test_a_coordinate_takes_one_bit():
    schema = Schema(("w",), ((1 << 18,),))
    payload = encoded_by(SPEC, [np.ones(1 << 18, np.float32)], blank(schema)).payload
    assert len(payload) == (1 << 15) + 4 * 16 + 4


def test_the_projection_on_the_update_is_exact():
    x = flatten(UPDATE).astype(np.float64)
    assert through() @ x == pytest.approx(x @ x, rel=1e-5)


def test_one_device_errs_by_what_theory_says():
    x = flatten(UPDATE).astype(np.float64)
    assert np.square(through() - x).sum() / (x @ x) == pytest.approx(np.pi / 2 - 1, rel=0.1)


def test_the_mean_over_rotations_closes_in_on_the_update():
    x, times = flatten(UPDATE).astype(np.float64), 64
    mean = np.mean([through(seed=seed) for seed in range(times)], axis=0)
    assert np.square(mean - x).sum() / (x @ x) < 1.5 * (np.pi / 2 - 1) / times


def test_each_device_rotates_by_its_own_seed():
    first, second = (encoded_by(SPEC, UPDATE, CONTEXT, seed).payload for seed in (1, 2))
    assert first[:4] != second[:4]
    assert first[-300:] != second[-300:]


def test_a_single_value_comes_back_exactly():
    update = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    update[0][3, 4] = -2.5
    assert (through(update) == flatten(update)).all()


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, -0.0])
def test_a_scale_that_is_none_is_refused(scale):
    broken = with_payload(lambda payload: payload.__setitem__(slice(4, 8), np.array(scale, "<f4").tobytes()))
    with pytest.raises(DecodeError, match=r"the scale of piece 0 is .*, expected 0 or above"):
        coder_of(SPEC).decode(broken, CONTEXT)


def test_signs_of_a_piece_without_scale_are_refused():
    broken = with_payload(lambda payload: payload.__setitem__(slice(4, 8), b"\x00" * 4))
    with pytest.raises(DecodeError, match="has scale 0, so its signs must be zero"):
        coder_of(SPEC).decode(broken, CONTEXT)


def test_padding_that_is_not_zero_is_refused():
    schema = Schema(("w",), ((3,),))
    encoded = encoded_by(SPEC, [np.ones(3, np.float32)], blank(schema))
    broken = Encoded(scales=(), payload=encoded.payload[:-1] + bytes([encoded.payload[-1] | 0x80]))
    with pytest.raises(DecodeError, match="the padding after the last of 4 signs must be zero"):
        coder_of(SPEC).decode(broken, blank(schema))
