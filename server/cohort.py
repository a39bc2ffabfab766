"""The devices that one round asks, with their plans, and how many answers it wants."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedtailor.protos.plan import Plan


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Cohort:
    """plans: those of the devices asked, by device. inclusion: the probability, above 0 and at most 1, with which this
    round asked each. wanted: the answers after which the round is committed; fewer than `plans` with over-selection.
    """

    plans: Mapping[str, Plan]
    inclusion: Mapping[str, float]
    wanted: int
