import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import Encoded, coder_of
from fedtailor.strategies.codec.flat import flatten

SCHEMA = Schema(("w", "b"), ((60, 50), (60,)))
CONTEXT = context_of(SCHEMA)


def heavy_tailed(seed=0):
    return [np.random.default_rng(seed).standard_t(3, shape).astype(np.float32) for shape in SCHEMA.shapes]


def through(update, **args):
    spec = spec_of("topk", **args)
    encoded = encoded_by(spec, update, CONTEXT)
    return flatten(coder_of(spec).decode(encoded, CONTEXT)), encoded


@given(share=st.floats(0.001, 1), levels=st.sampled_from([1, 2, 4, 8, 16]), seed=st.integers(0, 9))
def test_the_largest_share_is_kept_with_its_signs(share, levels, seed):
    x = flatten(heavy_tailed(seed))
    y, encoded = through(heavy_tailed(seed), share=share, levels=levels)
    kept = y != 0
    assert kept.sum() == max(1, int(share * x.size))
    assert np.abs(x[kept]).min() >= np.abs(x[~kept]).max(initial=0)
    assert (np.sign(x[kept]) == np.sign(y[kept])).all()
    assert len(encoded.scales) == levels


@given(levels=st.sampled_from([1, 2, 4, 8, 16]), seed=st.integers(0, 9))
def test_a_kept_value_is_off_by_no_more_than_one_level_spans(levels, seed):
    x = flatten(heavy_tailed(seed))
    y, _ = through(heavy_tailed(seed), levels=levels)
    kept = np.abs(x[y != 0].astype(np.float64))
    factor = np.abs(y[y != 0]) / kept
    span = (kept.max() / kept.min()) ** (1 / levels) * 1.001
    assert factor.max() <= span
    assert factor.min() >= 1 / span


def test_levels_keep_the_sum_of_what_is_kept():
    x, (y, _) = flatten(heavy_tailed()), through(heavy_tailed(), levels=4)
    assert np.abs(y).sum(dtype=np.float64) == pytest.approx(np.abs(x[y != 0]).sum(dtype=np.float64), rel=1e-5)


def test_more_levels_mean_less_error():
    x = flatten(heavy_tailed())
    errors = [np.square(through(heavy_tailed(), levels=levels)[0] - x).sum() for levels in (1, 2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)


def test_zeros_among_the_largest_are_not_sent():
    update = [np.zeros(shape, np.float32) for shape in SCHEMA.shapes]
    update[1][5] = -3.0
    y, encoded = through(update, share=0.5)
    assert y.tolist() == flatten(update).tolist()
    assert len(encoded.payload) < 12


def test_more_positions_than_the_share_are_refused():
    _, encoded = through(heavy_tailed(), share=0.1)
    with pytest.raises(DecodeError, match="positions came, at most 30 are expected"):
        coder_of(spec_of("topk", share=0.01)).decode(encoded, CONTEXT)


def test_bytes_behind_the_last_level_are_refused():
    _, encoded = through(heavy_tailed())
    with pytest.raises(DecodeError, match="payload has 2 bytes more"):
        coder_of(spec_of("topk")).decode(Encoded(scales=encoded.scales, payload=encoded.payload + b"\x00\x00"), CONTEXT)


@pytest.mark.parametrize("args", [{"levels": 3}, {"levels": 0}, {"share": 0}, {"share": 1.01}])
def test_parameters_out_of_range_name_the_limits(args):
    with pytest.raises(PlanError, match=r"codec topk 1: (levels must be one of 1, 2, 4, 8, 16|share must be above 0)"):
        coder_of(spec_of("topk", **args))
