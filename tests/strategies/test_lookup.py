import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import builds, floats, integers, sampled_from

from fedtailor.protos.quantised_net import Grid
from fedtailor.strategies.graph.compute import FUNCTIONS
from fedtailor.strategies.integer.lookup import is_steady, lookup, steady_grid

GRIDS = builds(lambda scale, zero: Grid(float(np.float32(scale)), zero), floats(1e-3, 0.3), integers(0, 255))
FUNCTION = sampled_from(sorted(FUNCTIONS))


def reals(grid):
    return (np.arange(256) - grid.zero_point) * grid.scale


@given(function=FUNCTION, given_=GRIDS, output=GRIDS)
def test_every_answer_is_the_nearest_on_the_output_grid(function, given_, output):
    answers = FUNCTIONS[function](torch.from_numpy(reals(given_))).numpy()
    nearest = np.abs(answers[:, None] - reals(output)).min(axis=1)
    steps = lookup(function, given_, output).astype(np.int64)
    np.testing.assert_allclose(np.abs(answers - reals(output)[steps]), nearest, atol=1e-9 * output.scale)


@given(function=FUNCTION, given_=GRIDS, output=GRIDS)
def test_steady_answers_are_the_same_in_float32(function, given_, output):
    grid = steady_grid(function, given_, output)
    if is_steady(function, given_, grid):
        steps = FUNCTIONS[function](torch.from_numpy(reals(given_)).float()) / grid.scale
        rounded = (steps.round() + grid.zero_point).clamp(0, 255).numpy()
        assert np.array_equal(rounded, lookup(function, given_, grid))


@given(function=FUNCTION, given_=GRIDS, output=GRIDS)
def test_a_steady_grid_is_at_most_a_tenth_wider(function, given_, output):
    grid = steady_grid(function, given_, output)
    assert grid.zero_point == output.zero_point
    assert 1 <= grid.scale / output.scale <= 1.1


def test_answers_in_the_middle_of_two_steps_are_not_steady():
    grid = Grid(0.5, 0)
    assert not is_steady("relu", grid, Grid(1.0, 0))
    assert is_steady("relu", grid, grid)
    assert is_steady("relu", grid, steady_grid("relu", grid, Grid(1.0, 0)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_usual_range_has_a_steady_grid_near(function):
    given_ = Grid(float(np.float32(0.03)), 128)
    assert is_steady(function, given_, steady_grid(function, given_, Grid(float(np.float32(0.02)), 60)))
