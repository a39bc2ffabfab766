"""Tail probabilities against tables and against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.strategies.chance import f_level, welch_level


@pytest.mark.parametrize(
    ("degrees", "error_degrees", "critical", "level"),
    [  # from printed tables
        (1, 10, 4.965, 0.05),
        (1, 10, 10.044, 0.01),
        (1, 20, 14.819, 0.001),
        (3, 12, 3.490, 0.05),
        (5, 30, 3.699, 0.01),
        (10, 40, 2.077, 0.05),
    ],
)
def test_f_agrees_with_printed_tables(degrees, error_degrees, critical, level):
    assert f_level(critical, degrees, error_degrees) == pytest.approx(level, rel=2e-3)


@given(
    ratio=st.floats(0, 1e6),
    more=st.floats(1.001, 10),
    degrees=st.integers(1, 70),
    error_degrees=st.floats(2, 1e6),
)
def test_f_is_a_probability_that_falls(ratio, more, degrees, error_degrees):
    level = f_level(ratio, degrees, error_degrees)
    assert 0 <= f_level(ratio * more, degrees, error_degrees) <= level + 1e-12
    assert level <= 1


def test_no_difference_is_no_evidence_and_a_vast_one_is_certain():
    assert f_level(0.0, 3, 8) == 1.0
    assert f_level(1e300, 3, 8) == 0.0
    assert welch_level(0.0, (1.0, 1.0), (5, 5)) == welch_level(-3.0, (1.0, 1.0), (5, 5)) == 1.0


def test_welch_is_students_t_where_both_are_alike():
    assert welch_level(2.086 * 2**0.5, (1.0, 1.0), (11, 11)) == pytest.approx(0.025, rel=2e-3)  # t of 20 degrees


def test_welch_holds_its_level_where_spreads_differ():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(4000, 6)), 5 * rng.normal(size=(4000, 10))
    errors = [values.std(1, ddof=1) / values.shape[1] ** 0.5 for values in (one, other)]
    apart = other.mean(1) - one.mean(1)
    pairs = zip(apart, zip(*errors, strict=True), strict=True)
    false_alarms = np.mean([welch_level(gap, pair, (6, 10)) <= 0.05 for gap, pair in pairs])
    assert 0.03 < false_alarms < 0.06
