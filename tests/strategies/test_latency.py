import numpy as np
import pytest

from fedtailor.strategies.planning.latency import LatencyGrid

US = np.array([[10.0, 20.0], [30.0, 60.0]])


def grid(**changed):
    facts = {"kernel": 9, "block": 16, "float_us": US, "integer_us": US / 10, "uneven_us": 0.0}
    return LatencyGrid(np.array([16.0, 64.0]), np.array([8.0, 32.0]), **(facts | changed))


@pytest.mark.parametrize(("rows", "channels", "us"), [(16, 8, 10), (16, 32, 20), (64, 8, 30), (64, 32, 60)])
def test_the_sizes_measured_come_back(rows, channels, us):
    assert grid().latency_us(rows, 9 * channels, integer=False) == pytest.approx(us)
    assert grid().latency_us(rows, 9 * channels, integer=True) == pytest.approx(us / 10)


def test_output_channels_cost_whole_blocks():
    costs = grid().latency_us(np.arange(17, 33), 72, integer=False)
    assert (costs == costs[-1]).all()
    assert costs[-1] == pytest.approx(10 + 20 / 3)


def test_input_channels_cost_whole_blocks_in_float32_beyond_the_first():
    few, many = grid().latency_us(16, 9 * np.arange(9, 17), integer=False), grid().latency_us(16, 9 * 17, integer=False)
    assert (np.diff(few) > 0).all()
    assert many == grid().latency_us(16, 9 * 32, integer=False)
    assert grid().latency_us(16, 9 * 17, integer=True) < grid().latency_us(16, 9 * 18, integer=True)


def test_an_answer_that_is_not_whole_blocks_is_laid_out_anew_in_float32():
    plain, uneven = grid(), grid(uneven_us=0.5)
    assert uneven.latency_us(20, 72, integer=False) == plain.latency_us(20, 72, integer=False) + 10
    assert uneven.latency_us(32, 72, integer=False) == plain.latency_us(32, 72, integer=False)
    assert uneven.latency_us(20, 72, integer=True) == plain.latency_us(20, 72, integer=True)


def test_a_layer_of_one_size_has_one_latency():
    single = LatencyGrid(np.array([10.0]), np.array([1.0]), 9, 16, np.array([[4.0]]), np.array([[5.0]]), 0.0)
    assert single.latency_us(10, 9, integer=False) == 4
    assert single.latency_us(10, 9, integer=True) == 5
