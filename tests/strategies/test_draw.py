"""Drawing with unequal probabilities: the stated probability is the true one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.strategies.choice.choice import Candidate
from fedtailor.strategies.choice.draw import draw, inclusions, systematic


@st.composite
def probabilities(draw_):
    shares = draw_(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12))
    return inclusions(np.array(shares), draw_(st.integers(1, len(shares))))


def exact(line):
    """The probability that each position is picked, over a uniform start: picks change only at the ends' fractions."""
    ends = np.unique(np.concatenate([[0.0, 1.0], np.cumsum(np.where(line == 1, 0.0, line)) % 1.0]))
    found = np.zeros(len(line))
    for low, high in pairwise(ends):
        found[systematic(line, (low + high) / 2)] += high - low
    return found


@given(line=probabilities())
def test_over_all_starts_each_is_picked_with_its_own_probability(line):
    assert np.allclose(exact(line), line, atol=1e-9)


@given(line=probabilities(), start=st.floats(0, 1, exclude_max=True))
def test_every_start_picks_as_many_as_the_probabilities_sum_to(line, start):
    picked = systematic(line, start)
    assert len(picked) == round(line.sum())
    assert len(set(picked)) == len(picked)
    assert set(np.flatnonzero(line == 1)) <= set(picked)


@given(shares=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), data=st.data())
def test_probabilities_sum_to_the_count_and_rise_with_the_share(shares, data):
    count = data.draw(st.integers(1, len(shares)))
    found = inclusions(np.array(shares), count)
    assert found.sum() == pytest.approx(count)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(shares)]) >= -1e-9).all()


def test_below_1_they_are_proportional_and_a_share_too_large_for_that_is_certain():
    assert inclusions(np.array([1.0, 1.0, 2.0]), 1) == pytest.approx([0.25, 0.25, 0.5])
    assert inclusions(np.array([1.0, 1.0, 8.0]), 2) == pytest.approx([0.5, 0.5, 1.0])
    assert inclusions(np.array([1.0, 3.0, 3.0, 90.0]), 3) == pytest.approx([2 / 7, 6 / 7, 6 / 7, 1.0])


def test_every_pair_of_equals_is_drawn_together():
    fleet, rng = [Candidate(device_id=name, rows=1) for name in "abcd"], np.random.default_rng(0)
    pairs = {tuple(each.device_id for each in draw(fleet, np.ones(4), 2, rng)) for _ in range(200)}
    assert len(pairs) == 6
