import numpy as np
from hypothesis import given
from hypothesis.strategies import integers, lists

from fedtailor.strategies.compression.spread import spread_places, spread_rows


@given(count=integers(0, 300), most=integers(1, 40))
def test_rows_are_some_from_the_first_to_the_last_in_order(count, most):
    picked = spread_rows(np.arange(count), most)
    assert len(picked) == min(count, most)
    assert (np.diff(picked) > 0).all()
    if len(picked) > 1:
        assert (picked[0], picked[-1]) == (0, count - 1)


@given(shape=lists(integers(1, 30), min_size=1, max_size=3), most=integers(1, 500))
def test_places_are_all_where_they_may_be_and_else_lie_in_every_part(shape, most):
    size = np.prod(shape)
    flat = np.ravel_multi_index([axis.numpy() for axis in spread_places(tuple(shape), most)], shape)
    assert len(flat) == min(size, most)
    if size <= most:
        assert np.array_equal(np.sort(flat), np.arange(size))
    elif most >= 40:
        assert np.histogram(flat, 10, (0, size))[0].min() >= most // 20
