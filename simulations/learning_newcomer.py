"""What a device gets that was never trained on: the day it comes, and after its first training of its own.

To add a way: an entry in `WAYS`.
"""

from collections.abc import Callable

import numpy as np

from fedtailor.simulations.learning_finals import final, personal, shared
from fedtailor.simulations.learning_outcome import Ending, Final
from fedtailor.strategies.label_prior import primed
from fedtailor.strategies.likeness import nearest

COHORT = 3  # members whose personal models a newcomer gets the mean of

Way = Callable[[Ending], Final | None]  # None: this device has not what that takes


def _calibrated(ending: Ending) -> Final | None:
    """The shared model, told how often the device has met each class."""
    prior = ending.plan.label_prior
    return final(ending, primed(ending.shared, ending.plan.model, prior), "prior") if prior else None


def _cohort(ending: Ending) -> Final | None:
    """The mean of the personal models of the members whose profiles are nearest to its own."""
    if not len(ending.data.train):
        return None
    near = nearest(ending.profile, [member.profile for member in ending.members], COHORT)
    states = [ending.members[at].personal.state for at in near]
    mean = {name: np.mean([state[name] for state in states], axis=0).astype(np.float32) for name in ending.shared}
    return final(ending, mean, "cohort")


def _after_training(ending: Ending) -> Final | None:
    return personal(ending) if len(ending.data.train) else None


WAYS: dict[str, Way] = {
    "base only": shared,
    "calibration only": _calibrated,
    "nearest cohort": _cohort,
    "after its own fine-tuning": _after_training,
}
