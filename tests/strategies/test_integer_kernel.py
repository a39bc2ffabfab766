import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from fedtailor.protos.net import Activation, AveragePool, Embedding, Flatten, GlobalAveragePool, Linear
from fedtailor.protos.quantised_net import Grid
from fedtailor.strategies.integer.integer_kernel import integer_kernel

FINE, COARSE = Grid(0.001953125, 0), Grid(0.5, 3)


def linear(weight, bias, scales):
    return Linear("l", np.array(weight, np.float32), np.array(bias, np.float32), np.array(scales, np.float32))


@given(value=integers(-127, 127), scale=integers(-10, 10), bias=floats(-1e3, 1e3, width=32), step=integers(-10, 5))
def test_a_bias_is_the_nearest_whole_number_of_steps(value, scale, bias, step):
    layer = linear([[value * 2.0**scale]], [bias], [2.0**scale])
    made = integer_kernel(layer, [Grid(2.0**step, 0)], None, size=1)
    assert abs(made.bias[0] * made.scales[0] * 2.0**step - np.float32(bias)) <= made.scales[0] * 2.0**step / 2
    if value:
        assert made.weight[0, 0] == value
        assert made.scales[0] == 2.0**scale


def test_averages_are_on_no_finer_grid_than_they_can_show():
    assert integer_kernel(GlobalAveragePool("g"), [COARSE], FINE, size=10).output.scale == pytest.approx(0.05)
    assert integer_kernel(AveragePool("a", (2, 5), (1, 1)), [COARSE], FINE, size=1).output.scale == pytest.approx(0.05)
    assert integer_kernel(GlobalAveragePool("g"), [FINE], COARSE, size=10).output == COARSE


def test_what_only_moves_or_compares_is_itself():
    for layer in (Flatten("f"), Activation("r", "relu")):
        assert integer_kernel(layer, [FINE], None, size=1) is layer


@given(seed=integers(0, 99))
def test_a_table_is_within_half_a_step(seed):
    table = np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)
    made = integer_kernel(Embedding("e", table), [], None, size=1)
    reals = (made.table.astype(np.float64) - made.output.zero_point) * made.output.scale
    assert np.abs(reals - table).max() <= made.output.scale * 1.01


def test_weights_that_are_not_coded_are_refused():
    with pytest.raises(ValueError, match="'l' has no scales"):
        integer_kernel(Linear("l", np.ones((1, 1), "f4"), np.ones(1, "f4")), [FINE], None, size=1)
