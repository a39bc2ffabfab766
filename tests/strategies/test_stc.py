import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten

SCHEMA = Schema(("w", "b"), ((60, 50), (60,)))
UPDATE = [np.random.default_rng(0).standard_t(3, shape).astype(np.float32) for shape in SCHEMA.shapes]


def test_the_largest_share_comes_back_as_its_mean_magnitude_with_its_signs():
    context, spec, x = context_of(SCHEMA), spec_of("stc", share=0.02), flatten(UPDATE)
    y = flatten(coder_of(spec).decode(encoded_by(spec, UPDATE, context), context))
    kept = np.argsort(-np.abs(x))[:61]
    want = np.zeros_like(x)
    want[kept] = np.sign(x[kept]) * np.abs(x[kept]).mean(dtype=np.float64)
    assert y == pytest.approx(want, rel=1e-6)


def test_positions_take_about_what_the_entropy_of_their_share_says():
    share = 0.01
    encoded = encoded_by(spec_of("stc", share=share), UPDATE, blank(SCHEMA))
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) * SCHEMA.size
    assert len(encoded.payload) * 8 <= (entropy + 0.01 * SCHEMA.size) * 1.1 + 16


def test_a_share_out_of_range_names_the_limits():
    with pytest.raises(PlanError, match="codec stc 1: share must be above 0 and at most 1, got 0"):
        coder_of(spec_of("stc", share=0.0))
