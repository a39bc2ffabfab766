from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.strategies.choice.weight import weight_of

PAIRS = st.tuples(st.integers(1, 10_000), st.floats(0.001, 1))


def test_an_update_counts_for_all_the_devices_that_could_have_been_asked_in_its_place():
    assert weight_of(30, 0.25) == 120.0
    assert weight_of(7, 1.0) == 7.0


@given(pair=PAIRS)
def test_it_is_n_over_p_and_at_least_1(pair):
    assert weight_of(*pair) == pytest.approx(pair[0] / pair[1], abs=1e-6)
    assert weight_of(*pair) >= 1


@given(pairs=st.lists(PAIRS, max_size=20), data=st.data())
def test_sums_are_the_same_in_any_order(pairs, data):
    weights = [weight_of(*pair) for pair in pairs]
    assert sum(data.draw(st.permutations(weights))) == sum(weights) == sum(map(Fraction, weights))
