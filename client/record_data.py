"""A device's data profile with the noise of its figures, from the order in which the rows lie."""

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.profile_data import channel_moments, profile_data
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.data_record import DataRecord
from fedtailor.protos.model_spec import CLASSIFICATION, REGRESSION
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.runs import run_rows, standard_error

Array = NDArray[np.generic]

_SORTED_CLASSES = 4  # that so many come one after the other, in order, is a sorted file and not the course of time


def record_data(data: DeviceData, round_: int) -> DataRecord:
    """Train rows count as in the order in which they came; where they are sorted by class the order tells nothing.

    Raises as `profile_data`.
    """
    profile = profile_data(data, round_)
    x, y = data.train.x, data.train.y
    runs = run_rows(len(y))
    if not runs:
        return DataRecord(profile=profile, runs=0)
    if data.kind == CLASSIFICATION and _is_sorted(y):
        order = np.random.default_rng(0).permutation(len(y))
        runs = [order[rows] for rows in runs]
    features = _moment_errors(x, runs, profile.feature_means)
    target = _moment_errors(y[:, None], runs, (profile.target_mean,)) if data.kind == REGRESSION else np.zeros((2, 1))
    return DataRecord(
        profile=profile,
        runs=len(runs),
        label_effect=1.0 if data.kind == REGRESSION else _label_effect(y, runs, profile),
        target_mean_error=float(target[0, 0]),
        target_variance_error=float(target[1, 0]),
        feature_mean_errors=tuple(features[0].tolist()),
        feature_variance_errors=tuple(features[1].tolist()),
    )


def _is_sorted(y: Array) -> bool:
    return np.array_equal(y, np.sort(y)) and len(np.unique(y)) >= _SORTED_CLASSES


def _moment_errors(x: Array, runs: list[NDArray[np.intp]], means: tuple[float, ...]) -> Doubles:
    """Standard errors [2, C] of the means and of the variances around them; [2, 0] for tokens."""
    moments = np.array([channel_moments(x[rows]) for rows in runs])
    run_means, run_variances = moments[:, 0], moments[:, 1]
    around = run_variances + (run_means - np.array(means)) ** 2
    return np.stack([standard_error(run_means), standard_error(around)])


def _label_effect(y: Array, runs: list[NDArray[np.intp]], profile: DataProfile) -> float:
    """The variance of the class shares over that of as many independent rows or symbols; at least 1."""
    counts = np.array([np.bincount(y[rows].ravel(), minlength=profile.outputs) for rows in runs])
    errors = standard_error(counts / counts.sum(1, keepdims=True))
    shares = np.array(profile.class_counts) / sum(profile.class_counts)
    independent = float((shares * (1 - shares)).sum()) / sum(profile.class_counts)
    return max(1.0, float((errors**2).sum()) / independent) if independent > 0 else 1.0
