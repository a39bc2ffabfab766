import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.strategies.codec.largest import count_of, largest


@given(values=st.lists(st.integers(-5, 5), max_size=60), data=st.data())
def test_the_largest_are_taken_and_of_equal_ones_the_first(values, data):
    count = data.draw(st.integers(0, len(values)))
    want = sorted(sorted(range(len(values)), key=lambda at: (-values[at], at))[:count])
    assert largest(np.array(values, np.int64), count).tolist() == want


@pytest.mark.parametrize(("share", "size", "want"), [(0.1, 0, 0), (0.1, 3, 1), (0.1, 39, 3), (1.0, 39, 39)])
def test_a_share_is_at_least_one_and_at_most_all(share, size, want):
    assert count_of(share, size) == want
