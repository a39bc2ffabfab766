"""What leaves a device about its data: counts and moments, never samples."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far something has moved. `level` is the chance that rows among which nothing moved look as far apart."""

    size: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a device's data has moved since an earlier profile; a part that could not be compared is None.

    label: total variation distance of the class shares (0 equal, 1 disjoint); for regression as `feature`, of the
    target. feature: the clearest shift of a channel's mean or deviation, in earlier deviations. confidence: by how much
    one model's loss on the validation rows has grown, in nats (for regression: as a share of its squared error).
    """

    label: Shift | None = None
    feature: Shift | None = None
    confidence: Shift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataProfile:
    """One device's data in figures, as of `round`.

    `class_counts` (train split) is empty for regression; `target_quantiles` (0, 25, 50, 75, 100 %) is empty elsewhere.
    `feature_means` and `feature_variances` are per channel, empty for tokens. `drift` is against the profile that the
    device's plan was made from; None the first time.
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
    drift: Drift | None = None
    round: int = 0
