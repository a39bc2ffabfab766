import numpy as np
import pytest
import torch
from small_nets import SPECS
from torch import nn

from fedtailor.protos.samples import Samples
from fedtailor.strategies.answers import answers, mean_loss


def rows(count):
    rng = np.random.default_rng(0)
    return Samples(rng.normal(size=(count, 11)).astype(np.float32), rng.integers(0, 4, count))


def module():
    return nn.Sequential(nn.Linear(11, 4), nn.Dropout(0.5))


@pytest.mark.parametrize("count", [1, 256, 300])
def test_batches_answer_as_all_rows_at_once_and_nothing_is_dropped_out(count):
    made, samples = module(), rows(count)
    with torch.no_grad():
        torch.testing.assert_close(answers(made, samples), made[0](torch.from_numpy(samples.x)))


def test_the_loss_is_that_of_the_task():
    made, samples = module(), rows(300)
    want = nn.functional.cross_entropy(answers(made, samples), torch.from_numpy(samples.y))
    assert mean_loss(made, samples, SPECS["mlp"]) == pytest.approx(float(want))


def test_without_rows_there_is_no_loss():
    assert mean_loss(module(), rows(0), SPECS["mlp"]) == 0.0
