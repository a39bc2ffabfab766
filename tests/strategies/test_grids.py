import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers, sampled_from

from fedtailor.strategies.integer.grids import (
    bfloat16_above,
    bfloat16_nearest,
    full_range,
    least_squares_range,
    sign_scales,
    weight_scales,
)


def values(count=50, most=1e6):
    return arrays(np.float32, count, elements=floats(-most, most, width=32))


def on(grid, x):
    steps = np.clip(np.rint(x / np.float32(grid.scale)) + grid.zero_point, 0, 255)
    return (steps - grid.zero_point) * grid.scale


@given(x=values())
def test_full_range_is_within_a_step_and_keeps_zero(x):
    grid = full_range(x)
    assert np.abs(on(grid, x) - x).max() <= grid.scale * 1.01
    assert on(grid, np.zeros(1)) == 0


@given(x=values())
def test_the_searched_range_never_loses_more_than_the_full_one(x):
    full, searched = full_range(x), least_squares_range(x)
    assert ((on(searched, x) - x) ** 2).sum() <= ((on(full, x) - x) ** 2).sum()


def test_one_outlier_in_a_million_is_clipped():
    x = np.random.default_rng(0).uniform(0, 1, 1 << 20).astype(np.float32)
    x[1] = 1.9
    searched = least_squares_range(x)
    assert searched.scale < 0.6 * full_range(x).scale
    assert ((on(searched, x) - x) ** 2).mean() < 0.5 * ((on(full_range(x), x) - x) ** 2).mean()


@given(x=arrays(np.float64, 20, elements=floats(0, 1e30)))
def test_bfloat16_above_is_the_next_one_up(x):
    above = bfloat16_above(x)
    bits = above.astype(np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any()
    assert (above >= x).all()
    below = (np.maximum(bits, 0x10000) - 0x10000).view(np.float32)
    assert ((below < x) | (above == x)).all()


WEIGHTS = floats(-1, 1, width=32, allow_subnormal=False)  # float32 is what a model holds


@given(weight=arrays(np.float64, (3, 16), elements=WEIGHTS), top=sampled_from([1, 7, 127]), dead=integers(0, 2))
def test_weight_scales_lose_no_more_than_the_full_range(weight, top, dead):
    weight[dead] = 0
    scales = weight_scales(weight, top)
    assert scales[dead] == 0

    def error(scale, row):
        return ((np.clip(np.rint(row / scale), -top, top) * scale - row) ** 2).sum()

    for scale, row in zip(scales, weight, strict=True):
        largest = np.abs(row).max()
        if largest > 0:
            assert error(scale, row) <= error(bfloat16_above(np.array([largest / top]))[0], row) * (1 + 1e-12)


@given(x=arrays(np.float64, 20, elements=floats(0, 1e30)))
def test_bfloat16_nearest_is_no_farther_than_its_neighbours(x):
    nearest = bfloat16_nearest(x)
    bits = nearest.astype(np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any()
    for neighbour in (bits + 0x10000, np.maximum(bits, 0x10000) - 0x10000):
        assert (
            np.abs(nearest - x.astype(np.float32)) <= np.abs(neighbour.view(np.float32) - x.astype(np.float32))
        ).all()


@given(weight=arrays(np.float64, (3, 16), elements=WEIGHTS))
def test_sign_scales_lose_least(weight):
    scales = sign_scales(weight)

    def error(each):
        return ((np.where(weight < 0, -1, 1) * each[:, None] - weight) ** 2).sum(1)

    for factor in (0.99, 1.01):
        assert (error(scales) <= error(scales * factor) + 1e-12).all()
