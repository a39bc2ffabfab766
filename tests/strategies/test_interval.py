import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.strategies.interval import score_interval
from fedtailor.strategies.task import TASKS


def rows(kind, count, seed=0):
    rng = np.random.default_rng(seed)
    if kind == REGRESSION:
        return rng.normal(size=(count, 1)).astype(np.float32), rng.normal(size=count).astype(np.float32)
    shape = (count,) if kind == CLASSIFICATION else (count, 6)
    return rng.normal(size=(*shape, 4)).astype(np.float32), rng.integers(0, 4, shape)


@given(kind=st.sampled_from(sorted(TASKS)), count=st.integers(2, 60), seed=st.integers(0, 999))
def test_the_score_lies_in_its_interval(kind, count, seed):
    outputs, y = rows(kind, count, seed)
    low, high = score_interval(outputs, y, kind)
    assert low <= TASKS[kind].score(outputs, y) <= high


def test_wilsons_interval_is_the_published_one():
    outputs = np.eye(2, dtype=np.float32)[np.array([0] * 8 + [1] * 2)]
    low, high = score_interval(outputs, np.zeros(10, np.int64), CLASSIFICATION)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@pytest.mark.parametrize("kind", [CLASSIFICATION, REGRESSION, NEXT_TOKEN])
def test_it_holds_the_truth_as_often_as_it_says(kind):
    truth = score(kind, rows(kind, 40_000, seed=99))
    hits = [low <= truth <= high for low, high in (score_interval(*rows(kind, 80, seed), kind) for seed in range(400))]
    assert 0.91 <= np.mean(hits) <= 0.99


def score(kind, pair):
    return TASKS[kind].score(*pair)


def test_one_row_shows_nothing():
    assert score_interval(*rows(REGRESSION, 1), REGRESSION) is None
