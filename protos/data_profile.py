"""What leaves a device about its data: counts and moments, never samples."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DataProfile:
    """One device's data in figures.

    `class_counts` (train split) is empty for regression; `target_quantiles` (0, 25, 50, 75, 100 %) is empty elsewhere.
    `feature_means` and `feature_variances` are per channel, empty for tokens. `drift` compares with the last profile
    of this device: the largest shift of a channel mean, in its standard deviations; None the first time.
    """

    device_id: str
    kind: str
    sample_shape: tuple[int, ...]
    outputs: int
    train_samples: int
    validation_samples: int
    class_counts: tuple[int, ...] = ()
    target_quantiles: tuple[float, ...] = ()
    target_mean: float = 0.0
    target_variance: float = 0.0
    feature_means: tuple[float, ...] = ()
    feature_variances: tuple[float, ...] = ()
    drift: float | None = None
