import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of, update_of
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitWriter
from fedtailor.strategies.codec.codec import Encoded, coder_of
from fedtailor.strategies.codec.flat import flatten, unflatten

SCHEMA = Schema(("w", "b"), ((60, 50, 3), (60,)))
CONTEXT = context_of(SCHEMA)


def heavy_tailed(seed=0, rows=1.0):
    """Rows whose scales differ by a factor of about `rows`."""
    rng = np.random.default_rng(seed)
    scales = [np.exp(rng.normal(0, np.log(rows), (shape[0], *[1] * (len(shape) - 1)))) for shape in SCHEMA.shapes]
    values = [rng.standard_t(3, shape) for shape in SCHEMA.shapes]
    return [(each * scale).astype(np.float32) for each, scale in zip(values, scales, strict=True)]


def coded(update, **args):
    spec = spec_of("deadzone", **args)
    encoded = encoded_by(spec, update, CONTEXT)
    return encoded, flatten(coder_of(spec).decode(encoded, CONTEXT))


@given(step=st.sampled_from([0.125, 0.3, 1, 3]), seed=st.integers(0, 9))
def test_each_element_comes_back_within_a_step_and_a_quarter(step, seed):
    update = update_of(SCHEMA, seed)
    vector = flatten(update)
    size = step * np.sqrt(np.square(vector, dtype=np.float64).mean())
    within = np.abs(vector) < 200 * size
    assert np.abs(coded(update, step=step)[1] - vector)[within].max() <= 1.25 * size


def test_what_is_beyond_255_steps_comes_back_as_the_largest_level():
    update = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    update[0][0, 0, 0], update[0][0, 0, 1] = 1.0, -0.5
    came = coded(update, step=1 / 8)[1]
    assert came[0] == -came[1] > 0
    assert not came[2:].any()


def test_a_coarser_step_means_fewer_bytes_and_more_error():
    update = heavy_tailed()
    steps = [2.0**power for power in range(-2, 5)]
    results = [coded(update, step=step) for step in steps]
    sizes = [len(encoded.payload) for encoded, _ in results]
    errors = [np.square(came - flatten(update)).sum() for _, came in results]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def test_rows_of_unlike_activity_take_fewer_bytes_than_the_same_values_shuffled():
    update = heavy_tailed(rows=3.0)
    shuffled = unflatten(np.random.default_rng(1).permutation(flatten(update)), SCHEMA)
    assert len(coded(update, step=0.5)[0].payload) < 0.9 * len(coded(shuffled, step=0.5)[0].payload)


def test_a_lone_value_needs_to_be_larger_to_be_said_than_one_of_a_busy_row():
    update = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    update[0][:10] = np.random.default_rng(0).normal(size=(10, 50, 3))
    step = float(np.sqrt(np.square(flatten(update)).mean()))
    update[0][5, 0], update[0][30, 0, 0] = 0.7 * step, 0.7 * step
    came = unflatten(coded(update, step=1.0)[1], SCHEMA)[0]
    assert (came[5, 0] > 0).all()
    assert came[30, 0, 0] == 0


def test_classes_that_no_encoder_writes_are_refused():
    writer = BitWriter()
    writer.write_flags(np.ones(4000, np.bool_))
    with pytest.raises(DecodeError):
        coder_of(spec_of("deadzone")).decode(Encoded(scales=(1.0, 1.0), payload=writer.to_bytes()), CONTEXT)


@pytest.mark.parametrize("step", [0.0, 0.1, 65.0])
def test_a_step_out_of_range_names_the_limits(step):
    with pytest.raises(PlanError, match=f"codec deadzone 1: step must be from 1/8 to 64, got {step:g}"):
        coder_of(spec_of("deadzone", step=step))
