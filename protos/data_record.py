"""What a device keeps of its data, to notice later that it has moved; of it only the profile leaves the device."""

from dataclasses import dataclass

from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.messages import Broadcast


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A model's mean loss on `rows` validation rows, in nats (regression: squared error), and its standard error."""

    mean: float
    error: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """A profile with the standard errors of its figures, and what a model made of the validation rows.

    Train rows depend on their neighbours, so errors are taken from `runs` runs of them; there are none with 0 runs.
    label_effect: how many rows count as one in the class shares (Kish 1965, Survey Sampling, section 5.4), at least 1.
    judge: the base whose `loss` it is; both None before the device held one.
    """

    profile: DataProfile
    runs: int
    label_effect: float = 1.0
    target_mean_error: float = 0.0
    target_variance_error: float = 0.0
    feature_mean_errors: tuple[float, ...] = ()
    feature_variance_errors: tuple[float, ...] = ()
    loss: Loss | None = None
    judge: Broadcast | None = None
