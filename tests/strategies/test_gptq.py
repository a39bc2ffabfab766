import numpy as np
import pytest

from fedtailor.strategies.gptq import round_compensated
from fedtailor.strategies.grids import weight_scales


@pytest.mark.parametrize("top", [1, 7])
def test_compensation_at_least_halves_the_error_on_correlated_inputs(top):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 32)) + 0.1 * rng.normal(size=(500, 32))
    weight = rng.normal(size=(16, 32))
    scales = weight_scales(weight, top)
    nearest = np.clip(np.rint(weight / scales[:, None]), -top, top)
    compensated = round_compensated(weight, scales, top, x.T @ x / len(x))

    def error(rounded):
        return ((x @ (rounded * scales[:, None] - weight).T) ** 2).mean()

    assert np.abs(compensated).max() <= top
    assert np.array_equal(compensated, np.rint(compensated))
    assert error(compensated) < 0.5 * error(nearest)


def test_uncorrelated_inputs_are_rounded_to_nearest():
    weight = np.random.default_rng(0).normal(size=(5, 8))
    scales = np.full(5, 0.25)
    want = np.clip(np.rint(weight / 0.25), -7, 7)
    assert np.array_equal(round_compensated(weight, scales, 7, np.eye(8)), want)


def test_inputs_that_are_always_zero_do_no_harm():
    weight = np.random.default_rng(0).normal(size=(5, 8))
    assert np.isfinite(round_compensated(weight, np.full(5, 0.25), 7, np.zeros((8, 8)))).all()
