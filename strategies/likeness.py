"""Which devices are like one that has just come, by what their data profiles tell."""

from collections.abc import Sequence

import numpy as np

from fedtailor.protos.data_profile import DataProfile

_SMALLEST = 1e-6  # of a deviation that features are compared in


def distance(one: DataProfile, other: DataProfile) -> float:
    """How far apart two profiles are: the total variation distance of their labels (0 to 1), plus the mean distance of
    their channels' means in common deviations. What either does not tell counts for nothing.
    """
    return _label_distance(one, other) + _feature_distance(one, other)


def nearest(newcomer: DataProfile, members: Sequence[DataProfile], count: int) -> list[int]:
    """The places of the members nearest to the newcomer, nearest first, at most so many; of equals the earlier."""
    distances = [distance(newcomer, member) for member in members]
    return sorted(range(len(members)), key=lambda at: distances[at])[:count]


def _label_distance(one: DataProfile, other: DataProfile) -> float:
    if not sum(one.class_counts) or not sum(other.class_counts):
        return 0.0
    shares = [np.asarray(profile.class_counts, np.float64) / sum(profile.class_counts) for profile in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _feature_distance(one: DataProfile, other: DataProfile) -> float:
    if not one.feature_means or not other.feature_means:
        return 0.0
    apart = np.abs(np.subtract(one.feature_means, other.feature_means))
    common = np.sqrt(np.add(one.feature_variances, other.feature_variances) / 2)
    return float((apart / np.maximum(common, _SMALLEST)).mean())
