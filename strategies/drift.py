"""Whether a device's data has moved: two records of it, held against the noise that so many rows have in their order.

Sources: class shares by Pearson's statistic over the design effect (Rao & Scott 1981, Journal of the American
Statistical Association 76(374), 221-230, its F form in Thomas & Rao 1987, ibid. 82(398), 630-636); moments and losses
by Welch's t beyond the least shift that counts (Murphy & Myors 1999, Journal of Applied Psychology 84(2), 234-248).
"""

from dataclasses import dataclass

import numpy as np

from fedtailor.protos.data_profile import Drift, Shift
from fedtailor.protos.data_record import DataRecord
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.chance import f_level, welch_level
from fedtailor.strategies.runs import runs_of

FALSE_ALARM = 0.001  # of one device at one comparison, over its three parts
LEAST_DISTANCE = 0.05  # of class shares
LEAST_DEVIATIONS = 0.1
LEAST_LOSS = 0.05  # nats, or a share of the squared error
SMALLEST_DEVIATION = 1e-6  # of a channel that was constant, in units of its mean or 1
FEWEST_EXPECTED = 1.0  # independent rows of a class; rarer classes are counted together


def drift_between(before: DataRecord, now: DataRecord) -> Drift:
    """What has moved from one record to a later one; a part that cannot be compared is None.

    Labels and features need `runs` in both records, confidence the loss of one model in both.
    """
    if not (before.runs and now.runs):
        return Drift(confidence=_loss_shift(before, now))
    labels = _target_shift if now.profile.kind == REGRESSION else _share_shift
    return Drift(label=labels(before, now), feature=_feature_shift(before, now), confidence=_loss_shift(before, now))


def moved(drift: Drift | None) -> tuple[str, ...]:
    """Which of `labels`, `features` and `loss` have moved further than chance would take them."""
    if drift is None:
        return ()
    parts = {"labels": drift.label, "features": drift.feature, "loss": drift.confidence}
    return tuple(name for name, shift in parts.items() if shift is not None and shift.level <= FALSE_ALARM / len(parts))


def _share_shift(before: DataRecord, now: DataRecord) -> Shift | None:
    then, here = (np.array(record.profile.class_counts, np.float64) for record in (before, now))
    if then.shape != here.shape:
        return None
    effective = np.array([then.sum() / before.label_effect, here.sum() / now.label_effect])
    shares = np.stack([then / then.sum(), here / here.sum()])
    size = float(np.abs(shares[1] - shares[0]).sum() / 2)
    common = np.average(shares, axis=0, weights=effective) * effective.min() >= FEWEST_EXPECTED
    shares = np.column_stack([shares[:, common], shares[:, ~common].sum(1)])
    pooled = np.average(shares, axis=0, weights=effective)
    degrees = int((pooled > 0).sum()) - 1
    if size < LEAST_DISTANCE or degrees < 1:
        return Shift(size=size, level=1.0)
    squares = (shares[1] - shares[0]) ** 2 / np.where(pooled > 0, pooled, 1.0)
    ratio = float(squares.sum() / (1 / effective).sum()) / degrees
    return Shift(size=size, level=f_level(ratio, degrees, degrees * (before.runs + now.runs - 2)))


@dataclass(frozen=True, eq=False)
class _Moments:
    """values [2, C], means above variances, and their standard errors [2, C], above 0."""

    values: Doubles
    errors: Doubles
    runs: int


def _feature_shift(before: DataRecord, now: DataRecord) -> Shift | None:
    then, here = _features(before), _features(now)
    return _moment_shift(then, here) if then.values.shape == here.values.shape and then.values.size else None


def _target_shift(before: DataRecord, now: DataRecord) -> Shift:
    return _moment_shift(_target(before), _target(now))


def _features(record: DataRecord) -> _Moments:
    of = record.profile
    return _Moments(
        np.array([of.feature_means, of.feature_variances], np.float64),
        np.array([record.feature_mean_errors, record.feature_variance_errors], np.float64),
        record.runs,
    )


def _target(record: DataRecord) -> _Moments:
    of = record.profile
    return _Moments(
        np.array([[of.target_mean], [of.target_variance]]),
        np.array([[record.target_mean_error], [record.target_variance_error]]),
        record.runs,
    )


def _moment_shift(before: _Moments, now: _Moments) -> Shift:
    """The clearest shift of a mean or a deviation, corrected for how many there are (Bonferroni, two-sided)."""
    floor = SMALLEST_DEVIATION * np.maximum(1, np.abs(before.values[0]))
    deviation = np.maximum(np.sqrt(before.values[1]), floor)
    least = np.stack([LEAST_DEVIATIONS * deviation, ((1 + LEAST_DEVIATIONS) ** 2 - 1) * deviation**2])
    apart = np.abs(now.values - before.values) - least
    errors = [np.maximum(one.errors, np.stack([floor, floor**2])) for one in (before, now)]
    levels = [
        welch_level(gap, pair, (before.runs, now.runs))
        for gap, pair in zip(apart.flat, zip(errors[0].flat, errors[1].flat, strict=True), strict=True)
    ]
    clearest = int(np.argmin(levels))
    sizes = np.abs(np.stack([now.values[0] - before.values[0], np.sqrt(now.values[1]) - np.sqrt(before.values[1])]))
    size = float((sizes / deviation).flat[clearest])
    return Shift(size=size, level=min(1.0, 2 * len(levels) * levels[clearest]))


def _loss_shift(before: DataRecord, now: DataRecord) -> Shift | None:
    """One-sided: a model that does better on the rows of today has not lost its way."""
    then, here = before.loss, now.loss
    if then is None or here is None or not (runs_of(then.rows) and runs_of(here.rows)):
        return None
    scale = max(then.mean, SMALLEST_DEVIATION) if now.profile.kind == REGRESSION else 1.0
    errors = max(then.error, SMALLEST_DEVIATION), max(here.error, SMALLEST_DEVIATION)
    apart = here.mean - then.mean - LEAST_LOSS * scale
    level = welch_level(apart, errors, (runs_of(then.rows), runs_of(here.rows)))
    return Shift(size=(here.mean - then.mean) / scale, level=level)
