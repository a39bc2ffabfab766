"""The noise of a device's figures, as its rows lie."""

import numpy as np
import pytest

from fedtailor.client.profile_data import profile_data
from fedtailor.client.record_data import record_data
from fedtailor.protos.model_spec import CLASSIFICATION, REGRESSION
from fedtailor.protos.samples import DeviceData, Samples


def data(x, y, kind=CLASSIFICATION, outputs=6):
    nothing = Samples(x[:0], y[:0])
    return DeviceData("d", kind, outputs, Samples(x, y), nothing, nothing)


def rows(count=600, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 5, 2)).astype(np.float32), rng.integers(0, 6, count)


def test_the_profile_is_as_it_always_was():
    mine = data(*rows())
    record = record_data(mine, 4)
    assert record.profile == profile_data(mine, 4)
    assert (record.profile.round, record.runs, record.loss, record.judge) == (4, 10, None, None)


def test_independent_rows_have_the_errors_of_their_moments_and_count_in_full():
    x, y = rows(6000)
    record = record_data(data(x, y), 0)
    assert record.feature_mean_errors == pytest.approx(2 * [(6000 * 5) ** -0.5], rel=0.6)
    assert record.feature_variance_errors == pytest.approx(2 * [(2 / (6000 * 5)) ** 0.5], rel=0.6)
    assert 1 <= record.label_effect < 2


def test_rows_that_come_in_bouts_are_worth_fewer():
    x, y = rows(100)
    repeated = record_data(data(np.repeat(x, 6, 0), np.repeat(y, 6)), 0)
    single = record_data(data(*rows(600)), 0)
    assert repeated.label_effect > 2.5
    assert min(repeated.feature_mean_errors) > 1.5 * max(single.feature_mean_errors)


def test_a_file_sorted_by_class_tells_nothing_of_time():
    x, y = rows(600)
    order = np.argsort(y, kind="stable")
    sorted_, falling = record_data(data(x[order], y[order]), 0), record_data(data(x[order], 5 - y[order]), 0)
    assert sorted_.label_effect < 2
    assert falling.label_effect > 10  # not a sorted file: what came, came in bouts


def test_a_target_has_errors_and_no_classes():
    x, _ = rows(400)
    y = np.random.default_rng(1).normal(3, 2, 400).astype(np.float32)
    record = record_data(data(x, y, REGRESSION, 1), 0)
    assert record.target_mean_error == pytest.approx(2 / 400**0.5, rel=0.6)
    assert record.target_variance_error == pytest.approx(4 * (2 / 400) ** 0.5, rel=0.6)
    assert record.label_effect == 1.0


@pytest.mark.parametrize("count", [0, 23])
def test_few_rows_have_no_errors(count):
    x, y = rows(30)
    record = record_data(data(x[:count], y[:count]), 0)
    assert (record.runs, record.feature_mean_errors, record.profile.train_samples) == (0, (), count)
