from dataclasses import replace

import pytest

from fedtailor.protos.data_profile import DataProfile
from fedtailor.strategies.likeness import distance, nearest

BASE = DataProfile(
    device_id="a",
    kind="classification",
    sample_shape=(10, 2),
    outputs=2,
    train_samples=100,
    validation_samples=20,
    class_counts=(50, 50),
    feature_means=(0.0, 1.0),
    feature_variances=(1.0, 4.0),
)


def test_a_device_is_at_no_distance_from_itself():
    assert distance(BASE, BASE) == 0


def test_labels_and_channels_both_count():
    other = replace(BASE, class_counts=(100, 0), feature_means=(1.0, 3.0))
    assert distance(BASE, other) == pytest.approx(0.5 + 1.0)
    assert distance(other, BASE) == distance(BASE, other)


def test_what_a_device_does_not_tell_counts_for_nothing():
    newcomer = replace(BASE, class_counts=(0, 0), feature_means=(), feature_variances=(), train_samples=0)
    assert distance(newcomer, BASE) == 0


def test_the_nearest_come_first():
    members = [replace(BASE, feature_means=(shift, 1.0)) for shift in (3.0, 0.5, 1.0)]
    assert nearest(BASE, members, 2) == [1, 2]
    assert nearest(BASE, members, 9) == [1, 2, 0]
    assert nearest(BASE, [], 2) == []
