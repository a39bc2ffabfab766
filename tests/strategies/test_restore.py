import numpy as np
import torch
from hypothesis import given
from hypothesis.strategies import integers

from fedtailor.strategies.compression.restore import Moments, mean_moments, moments, restored


def halves_of(inputs, answers):
    return tuple(
        moments(torch.from_numpy(x), torch.from_numpy(y))
        for x, y in zip(np.split(inputs, 2), np.split(answers, 2), strict=True)
    )


@given(seed=integers(0, 1000))
def test_moments_are_covariances(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(1, 2, (30, 4)), rng.normal(3, 1, (30, 2))
    seen = moments(torch.from_numpy(x), torch.from_numpy(y))
    both = np.cov(x.T, y.T, bias=True)
    np.testing.assert_allclose(seen.inputs, both[:4, :4], atol=1e-12)
    np.testing.assert_allclose(seen.answers, both[4:, :4], atol=1e-12)
    mean = mean_moments(seen, Moments(3 * seen.inputs, -seen.answers))
    np.testing.assert_allclose(mean.inputs, 2 * seen.inputs)
    np.testing.assert_allclose(mean.answers, 0 * seen.answers, atol=1e-12)


@given(seed=integers(0, 1000))
def test_weights_answer_as_before_through_inputs_that_were_mixed(seed):
    """What a least-squares fit finds, and far nearer than the old weights."""
    rng = np.random.default_rng(seed)
    weight, x = rng.normal(size=(3, 6)), rng.normal(size=(2000, 6))
    wanted, changed = x @ weight.T, x @ (np.eye(6) + 0.3 * rng.normal(size=(6, 6))) + 0.1 * rng.normal(size=(2000, 6))
    fresh = np.linalg.lstsq(changed, wanted, rcond=None)[0].T

    def error(rows):
        return ((changed @ rows.T - wanted) ** 2).mean()

    assert error(restored(weight, halves_of(changed, wanted))) <= error(weight)
    assert error(restored(weight, halves_of(changed, wanted))) <= 0.1 * error(weight) + 1.5 * error(fresh)


@given(seed=integers(0, 1000))
def test_inputs_that_did_not_change_leave_the_answers(seed):
    rng = np.random.default_rng(seed)
    weight, x = rng.normal(size=(3, 6)), rng.normal(size=(40, 6))
    np.testing.assert_allclose(restored(weight, halves_of(x, x @ weight.T)), weight, atol=1e-6)


def test_noise_in_fewer_rows_than_inputs_is_not_learnt():
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(3, 50)), rng.normal(size=(20, 50))
    wanted = x @ weight.T + rng.normal(size=(20, 3))
    assert np.abs(restored(weight, halves_of(x, wanted)) - weight).max() < 0.1


def test_inputs_that_are_always_zero_are_survived():
    weight = np.ones((2, 3))
    assert np.array_equal(restored(weight, halves_of(np.zeros((8, 3)), np.zeros((8, 2)))), weight)
