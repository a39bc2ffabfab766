"""Scales and ticks."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.server.report.svg import Frame, linear, linear_ticks, log_padded, log_ticks, logarithmic, padded, x_axis

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)
POSITIVE = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20)


@given(values=VALUES)
def test_a_padded_range_holds_every_value_with_air(values):
    low, high = padded(values)
    assert low < min(values)
    assert high > max(values)


@given(values=VALUES)
def test_linear_ticks_are_few_inside_the_range_and_evenly_apart(values):
    domain = padded(values)
    ticks = linear_ticks(domain)
    step = max(abs(domain[0]), abs(domain[1]), domain[1] - domain[0])
    assert 1 <= len(ticks) <= 7
    assert all(domain[0] - 1e-6 * step <= tick <= domain[1] + 1e-6 * step for tick in ticks)
    gaps = [b - a for a, b in pairwise(ticks)]
    assert all(math.isclose(gap, gaps[0], rel_tol=1e-6, abs_tol=1e-9 * step) for gap in gaps)


@given(values=POSITIVE)
def test_log_ticks_are_inside_the_range_and_at_most_as_many_as_asked(values):
    domain = log_padded(values)
    ticks = log_ticks(domain, most=8)
    assert len(ticks) <= 8
    assert all(domain[0] <= tick <= domain[1] for tick in ticks)


@given(values=POSITIVE)
def test_a_logarithmic_scale_keeps_order_and_stays_inside(values):
    scale = logarithmic(log_padded(values), (10, 110))
    placed = [scale(value) for value in sorted(values)]
    assert placed == sorted(placed)
    assert all(10 <= x <= 110 for x in placed)


def test_a_scale_maps_its_ends_to_the_pixels_ends():
    scale = linear((2, 4), (100, 0))
    assert [scale(2), scale(3), scale(4)] == [100, 50, 0]


def test_an_empty_domain_maps_to_the_middle():
    assert linear((3, 3), (0, 10))(3) == 5


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf]])
def test_nothing_to_show_still_has_a_range(values):
    assert padded(values) == (0.0, 1.0)
    assert log_padded(values)[0] < log_padded(values)[1]


def test_round_ticks_lose_their_decimals():
    frame = Frame(width=100, height=50)
    axis = x_axis(frame, linear((0, 1), frame.x_range), [0, 1], lambda v: f"{30 * v:.1f}\u00a0kB", "payload")
    assert ">30\u00a0kB<" in axis
    assert ">0\u00a0kB<" in axis
