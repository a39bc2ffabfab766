"""The ways in which a fleet may treat its weak devices, each a course of its own over the same rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fedtailor.protos.plan import Plan, Submodel
from fedtailor.simulations.course import Course
from fedtailor.simulations.weak_tiers import as_wide, exited, half_depth
from fedtailor.strategies.submodel.choose import LEAVE_OUT, rolled, trains

ALL_STRONG, DEPTH, WIDTH, LEFT_OUT = "all strong", "depth", "width", "leave out"
WAYS = (ALL_STRONG, DEPTH, WIDTH, LEFT_OUT)


@dataclass(frozen=True, eq=False)
class TieredCourse(Course):
    """A course some of whose devices train a submodel, or nothing."""

    submodels: Mapping[str, Submodel] = field(default_factory=dict)

    @property
    def tiers(self) -> list[str]:
        """Devices with rows to train on, of either tier."""
        return super().trainable

    @property
    def trainable(self) -> list[str]:
        """Devices with rows to train on, and something to train."""
        return [name for name in self.tiers if trains(self.submodels.get(name))]

    def plans(self, round_: int) -> dict[str, Plan]:
        """As any course's, with each weak device's submodel of that round."""
        plans = super().plans(round_)
        return {name: replace(plan, submodel=rolled(self.submodels.get(name), round_)) for name, plan in plans.items()}


def course_of_way(course: Course, weak: frozenset[str], way: str) -> TieredCourse:
    """The course with its devices in `weak` treated this way; all devices are told of their labels.

    Raises:
        PlanError: the model has no half to train.
    """
    spec = course.template.model
    half = half_depth(spec)
    submodel = {DEPTH: half, WIDTH: as_wide(spec, half), LEFT_OUT: Submodel(kind=LEAVE_OUT)}.get(way)
    template = course.template if submodel is None else replace(course.template, model=exited(spec, submodel))
    submodels = {} if submodel is None else dict.fromkeys(weak, submodel)
    tiered = TieredCourse(course.devices, template, course.job, submodels=submodels)
    return replace(tiered, priors=course.told().priors)
