"""Drift is noticed where there is some, and hardly ever where there is none; measured on simulated devices."""

from dataclasses import replace

import numpy as np
import pytest

from fedtailor.client.record_data import record_data
from fedtailor.protos.data_profile import Drift, Shift
from fedtailor.protos.data_record import Loss
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.strategies.drift import FALSE_ALARM, drift_between, moved
from fedtailor.strategies.runs import mean_error

CLASSES = 7


def record(x, y, kind=CLASSIFICATION, outputs=CLASSES):
    return record_data(DeviceData("d", kind, outputs, Samples(x, y), Samples(x[:0], y[:0]), Samples(x[:0], y[:0])), 0)


def bouts(rng, rows, length, shares=None):
    """Classes in bouts of `length` rows on average, as a day brings them."""
    lengths = np.maximum(1, rng.exponential(length, rows).astype(int)) if length > 1 else np.ones(rows, int)
    return np.repeat(rng.choice(CLASSES, rows, p=shares), lengths)[:rows]


def device(rng, rows, length=1.0, shares=None, level=0.0, spread=1.0):
    """Windows of 10 steps in three channels: what a class adds, what a bout adds, and noise."""
    y = bouts(rng, rows, length, shares)
    number = np.cumsum(np.append(0, np.diff(y) != 0))
    of_bout = rng.normal(size=(number[-1] + 1, 1, 3))[number] * (length > 1)
    x = level + np.linspace(-1, 1, CLASSES)[y, None, None] + of_bout + spread * rng.normal(size=(rows, 10, 3))
    return record(x.astype(np.float32), y)


@pytest.mark.parametrize(("rows", "length"), [(24, 1), (40, 1), (40, 2), (150, 1), (150, 5), (600, 20)])
def test_false_alarms_are_rare_whatever_the_number_of_rows_and_the_length_of_bouts(rows, length):
    rng = np.random.default_rng(rows)
    alarms = sum(bool(moved(drift_between(device(rng, rows, length), device(rng, rows, length)))) for _ in range(300))
    assert alarms <= 3  # of 300: fewer than 1 %, where 0.1 % is aimed at


def test_levels_of_independent_rows_are_not_lower_than_chance():
    rng = np.random.default_rng(2)
    drifts = [drift_between(device(rng, 80), device(rng, 80)) for _ in range(400)]
    for part in ("label", "feature"):
        levels = np.array([getattr(drift, part).level for drift in drifts])
        assert (levels <= 0.05).mean() <= 0.08
        assert (levels <= 0.01).mean() <= 0.025


SKEWED = np.array([6, 4, 0, 0, 0, 0, 0]) / 10


@pytest.mark.parametrize(("rows", "least"), [(80, 0.9), (150, 1.0)])
def test_a_clear_shift_of_labels_is_noticed(rows, least):
    rng = np.random.default_rng(3)
    found = [moved(drift_between(device(rng, rows), device(rng, rows, shares=SKEWED))) for _ in range(40)]
    assert np.mean(["labels" in parts for parts in found]) >= least


@pytest.mark.parametrize("change", [{"level": 1.0}, {"level": -2.0}, {"spread": 2.0}])
def test_a_clear_shift_of_features_is_noticed_and_is_no_shift_of_labels(change):
    rng = np.random.default_rng(4)
    found = [moved(drift_between(device(rng, 150), device(rng, 150, **change))) for _ in range(40)]
    assert np.mean([parts == ("features",) for parts in found]) >= 0.95


def test_a_certain_but_tiny_shift_does_not_count():
    rng = np.random.default_rng(5)
    drift = drift_between(device(rng, 20_000), device(rng, 20_000, level=0.05))
    assert moved(drift) == ()


def test_sizes_are_distances_and_deviations():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(4000, 2)).astype(np.float32)
    before, now = record(x, np.resize([0, 1], 4000)), record(3 + 2 * x, np.resize([1, 2, 1, 1], 4000))
    drift = drift_between(before, now)
    assert drift.label.size == pytest.approx(0.5)
    assert drift.feature.size == pytest.approx(3, rel=0.05)
    assert moved(drift) == ("labels", "features")


def test_equal_rows_have_not_moved():
    before = device(np.random.default_rng(7), 100)
    drift = drift_between(before, before)
    assert (drift.label, drift.feature) == (Shift(size=0.0, level=1.0), Shift(size=0.0, level=1.0))


def test_a_channel_that_was_constant_has_moved_far_but_not_infinitely():
    y = np.resize([0, 1], 40)
    before, same, other = (record(np.full((40, 1), value, np.float32), y) for value in (5, 5, 6))
    assert moved(drift_between(before, same)) == ()
    assert moved(drift_between(before, other)) == ("features",)
    assert np.isfinite(drift_between(before, other).feature.size)


def test_a_target_moves_as_a_feature_does():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(100, 2)).astype(np.float32)
    y = rng.normal(size=100).astype(np.float32)
    before, after = (record(x, target, REGRESSION, outputs=1) for target in (y, y + 2))
    assert moved(drift_between(before, before)) == ()
    drift = drift_between(before, after)
    assert moved(drift) == ("labels",)
    assert drift.label.size == pytest.approx(2, rel=0.2)


def test_symbols_have_shares_and_no_features():
    rng = np.random.default_rng(9)
    few, many = rng.integers(0, 20, (60, 30)), rng.integers(0, 40, (60, 30))
    drift = drift_between(record(few, few, NEXT_TOKEN, 40), record(many, many, NEXT_TOKEN, 40))
    assert (moved(drift), drift.feature) == (("labels",), None)


@pytest.mark.parametrize("rows", [0, 1, 23])
def test_too_few_rows_are_not_compared(rows):
    rng = np.random.default_rng(10)
    few, many = record(np.zeros((rows, 10, 3), np.float32), np.zeros(rows, np.int64)), device(rng, 100)
    assert drift_between(few, many) == drift_between(many, few) == Drift()


def test_other_classes_or_channels_are_not_compared():
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(40, 2)).astype(np.float32), np.resize([0, 1], 40)
    assert drift_between(record(x, y), record(x, y, outputs=2)).label is None
    assert drift_between(record(x, y), record(x[:, :1], y)).feature is None


def with_loss(losses):
    rng = np.random.default_rng(12)
    values = np.asarray(losses, np.float64)
    return replace(device(rng, 40), loss=Loss(mean=values.mean(), error=mean_error(values), rows=len(values)))


def test_a_loss_that_grows_has_moved_and_one_that_falls_has_not():
    rng = np.random.default_rng(13)
    low, high = rng.exponential(0.3, 60), rng.exponential(2.5, 60)
    drift = drift_between(with_loss(low), with_loss(high))
    assert moved(drift) == ("loss",)
    assert drift.confidence.size == pytest.approx(high.mean() - low.mean())
    assert moved(drift_between(with_loss(high), with_loss(low))) == ()


def test_rare_large_losses_are_no_alarm():
    """A model that is mostly certain has losses of which few rows make up the mean."""
    rng = np.random.default_rng(14)
    draws = [with_loss(np.where(rng.random(50) < 0.04, 6.0, 0.01)) for _ in range(600)]
    alarms = sum(bool(moved(drift_between(one, other))) for one, other in zip(draws[::2], draws[1::2], strict=True))
    assert alarms <= 3


def test_a_loss_that_was_not_measured_or_on_few_rows_is_not_compared():
    none, few, enough = device(np.random.default_rng(12), 40), with_loss(np.ones(20)), with_loss(np.ones(30))
    assert drift_between(none, enough).confidence is None
    assert drift_between(few, enough).confidence is None
    assert drift_between(enough, enough).confidence == Shift(size=0.0, level=1.0)


def test_what_moved_is_named_by_its_level_alone():
    sure, unsure = Shift(size=0.1, level=FALSE_ALARM / 4), Shift(size=9.0, level=FALSE_ALARM)
    assert moved(Drift(label=sure, feature=unsure, confidence=sure)) == ("labels", "loss")
    assert moved(Drift()) == moved(None) == ()
