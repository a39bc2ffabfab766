import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of, update_of
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten

SCHEMA = Schema(("w", "b"), ((60, 50), (60,)))
CONTEXT = context_of(SCHEMA)


@given(bits=st.integers(2, 8), stochastic=st.integers(0, 1), seed=st.integers(0, 9))
def test_each_element_comes_back_within_one_scale_or_half_a_scale(bits, stochastic, seed):
    spec, update = spec_of("uniform", bits=bits, stochastic=stochastic), update_of(SCHEMA, seed)
    encoded = encoded_by(spec, update, CONTEXT, seed)
    for x, y, scale in zip(update, coder_of(spec).decode(encoded, CONTEXT), encoded.scales, strict=True):
        assert scale == np.float32(np.abs(x).max() / (2 ** (bits - 1) - 1))
        assert np.abs(x.astype(np.float64) - y).max() <= scale * (1 if stochastic else 0.5) * 1.0001


def test_rounding_at_random_is_right_on_average():
    spec, schema = spec_of("uniform", bits=8, stochastic=1), Schema(("w",), ((2,),))
    coder, rng, x = coder_of(spec), np.random.default_rng(0), [np.array([1.0, 0.3141], np.float32)]
    times = 2000
    came = [coder.decode(coder.encode(x, blank(schema), rng), blank(schema))[0] for _ in range(times)]
    assert abs(np.mean(came, axis=0)[1] - 0.3141) < 4 * 0.5 / 127 / np.sqrt(times)


def test_rounding_to_nearest_ignores_the_random_stream():
    update = update_of(SCHEMA)
    assert encoded_by(spec_of("uniform"), update, CONTEXT, 1) == encoded_by(spec_of("uniform"), update, CONTEXT, 2)


def test_an_update_of_few_large_values_takes_less_than_a_bit_each():
    update = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    update[0][7, :9] = 1.0
    assert len(encoded_by(spec_of("uniform"), update, CONTEXT).payload) < 40 < SCHEMA.size / 8


def test_more_bits_mean_more_bytes_and_less_error():
    update = [np.random.default_rng(0).standard_t(3, shape).astype(np.float32) for shape in SCHEMA.shapes]
    sizes, errors = [], []
    for bits in range(2, 9):
        spec = spec_of("uniform", bits=bits)
        encoded = encoded_by(spec, update, CONTEXT)
        sizes.append(len(encoded.payload))
        errors.append(np.square(flatten(coder_of(spec).decode(encoded, CONTEXT)) - flatten(update)).sum())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("args", [{"bits": 1}, {"bits": 9}, {"bits": 4.5}, {"stochastic": 0.5}])
def test_parameters_out_of_range_name_the_limits(args):
    with pytest.raises(
        PlanError, match=r"codec uniform 1: (bits must be a whole number from 2 to 8|stochastic must be)"
    ):
        coder_of(spec_of("uniform", **args))
