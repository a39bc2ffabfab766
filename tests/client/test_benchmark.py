import time
from dataclasses import asdict

import pytest

from fedtailor.client.benchmark import _conv, _gemm, _gemm_int8, benchmark, median_seconds
from fedtailor.client.runtime import optimised_operators


@pytest.fixture(scope="module")
def measured():
    return benchmark()


def test_every_figure_is_a_positive_rate(measured):
    assert all(value > 0 for value in asdict(measured).values())


def test_the_time_it_took_is_told_and_under_its_budget(measured):
    assert 0 < measured.cpu_s < 2


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        (_gemm(1, 8), "MatMul"),
        (_gemm_int8(1, 8), "QLinearMatMul"),
        (_conv(kernel=3, groups=64), "Conv"),
        (_conv(kernel=1, groups=1), "Conv"),
    ],
)
def test_the_operator_that_is_timed_is_the_one_that_is_named(model, operator):
    assert {name.removeprefix("Fused") for name in optimised_operators(model)} - {"ReorderInput", "ReorderOutput"} == {
        operator
    }


def test_a_slow_action_runs_three_times_after_its_warm_up():
    calls = []
    median_seconds(lambda: calls.append(time.sleep(0.002)), budget_s=0.0)
    assert len(calls) == 4


def test_a_fast_action_stops_at_two_hundred_runs():
    calls = []
    median_seconds(lambda: calls.append(None), budget_s=60.0)
    assert len(calls) == 201
