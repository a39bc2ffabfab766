"""Runs of consecutive rows, and the standard errors that come from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.strategies.runs import mean_error, run_rows, runs_of


@given(rows=st.integers(0, 5000))
def test_runs_cover_every_row_once_in_order_and_are_long_enough(rows):
    runs = run_rows(rows)
    assert len(runs) == runs_of(rows)
    if runs:
        assert np.array_equal(np.concatenate(runs), np.arange(rows))
        assert min(map(len, runs)) >= 8
    else:
        assert rows < 24


def errors_of(draw, count=300):
    """The mean of the estimated standard errors, over the true one."""
    samples = [draw() for _ in range(count)]
    return np.mean([mean_error(sample) for sample in samples]) / np.std([sample.mean() for sample in samples])


def test_the_error_of_independent_rows_is_that_of_their_mean():
    rng = np.random.default_rng(0)
    assert errors_of(lambda: rng.normal(size=200)) == pytest.approx(1, abs=0.15)


def test_the_error_of_rows_like_their_neighbours_is_that_of_their_mean_too():
    rng = np.random.default_rng(1)
    assert errors_of(lambda: np.repeat(rng.normal(size=100), 4)) == pytest.approx(1, abs=0.15)


def test_too_few_rows_have_no_error():
    assert mean_error(np.arange(23.0)) == 0.0
