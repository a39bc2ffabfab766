"""A device's data in figures: the only form in which it leaves the device."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.errors import DataError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.samples import DeviceData

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_BLOCK_VALUES = 2**18  # 2 MB in float64, however large the data


def profile_data(data: DeviceData, round_: int = 0) -> DataProfile:
    """Counts and moments of the train split as of `round_`; without rows the counts are 0 and the moments empty.

    Variances are over the population.

    Raises:
        DataError: a class or symbol is outside 0 to `outputs` - 1, or a feature or target is NaN or infinite.
    """
    x, y = data.train.x, data.train.y
    with np.errstate(invalid="ignore"):  # infinities are reported below
        means, variances = channel_moments(x)
    numeric = data.kind == REGRESSION and len(y) > 0
    target = y.astype(np.float64) if numeric else np.zeros(0)
    for what, values in (("feature channel", means + variances), ("target", tuple(target))):
        if not np.isfinite(values).all():
            raise DataError(
                f"device {data.device_id}: expected finite numbers in every {what}, got NaN or infinity; "
                "repair or drop those rows"
            )
    return DataProfile(
        device_id=data.device_id,
        kind=data.kind,
        sample_shape=data.sample_shape,
        outputs=data.outputs,
        train_samples=len(data.train),
        validation_samples=len(data.validation),
        class_counts=() if data.kind == REGRESSION else _counts(data),
        target_quantiles=tuple(np.quantile(target, _QUANTILES).tolist()) if numeric else (),
        target_mean=float(target.mean()) if numeric else 0.0,
        target_variance=float(target.var()) if numeric else 0.0,
        feature_means=means,
        feature_variances=variances,
        round=round_,
    )


def _counts(data: DeviceData) -> tuple[int, ...]:
    """How often each class, or next symbol, occurs."""
    labels = data.train.y.astype(np.int64).ravel()
    outside = labels[(labels < 0) | (labels >= data.outputs)]
    if len(outside):
        raise DataError(
            f"device {data.device_id}: expected classes 0 to {data.outputs - 1}, got {outside[0]} "
            f"in {len(outside)} places; repair the labels"
        )
    return tuple(np.bincount(labels, minlength=data.outputs).tolist())


def channel_moments(x: NDArray[np.generic]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and variance along the last axis, block by block in float64; both empty for tokens and without rows.

    Blocks are joined as in Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1:
    a sum of squares would lose a small variance beside a large mean.
    """
    if x.size == 0 or np.issubdtype(x.dtype, np.signedinteger):
        return (), ()
    count, mean, spread = 0, np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
    for block in _blocks(x):
        block_mean = block.mean(0)
        block_spread = ((block - block_mean) ** 2).sum(0)
        total = count + len(block)
        shift = block_mean - mean
        mean = mean + shift * len(block) / total
        spread = spread + block_spread + shift**2 * count * len(block) / total
        count = total
    return tuple(mean.tolist()), tuple((spread / count).tolist())


def _blocks(x: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
    """x as [rows, channels] in pieces of about `_BLOCK_VALUES`, so that large data is never copied whole."""
    rows = max(1, _BLOCK_VALUES // max(1, x[0].size))
    for at in range(0, len(x), rows):
        yield x[at : at + rows].astype(np.float64).reshape(-1, x.shape[-1])
