"""The ways in which a fleet may treat its weak devices, each a course of its own over the same rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fedtailor.protos.plan import Plan, Submodel
from fedtailor.server.job import EnsemblePlan
from fedtailor.simulations.course import Course
from fedtailor.simulations.weak_tiers import as_wide, exited, half_depth
from fedtailor.strategies.submodel.choose import LEAVE_OUT, rolled, trains

ALL_STRONG, DEPTH, WIDTH, LEFT_OUT = "all strong", "depth", "width", "leave out"
TAUGHT = "depth + ensemble"
WAYS = (ALL_STRONG, DEPTH, TAUGHT, WIDTH, LEFT_OUT)
# Of 30 and 100 steps at 1e-4 to 1e-3, on validation rows (fashion, dirichlet:0.3, 40 devices, 40 rounds, seeds 10, 11).
LESSONS = EnsemblePlan(steps=100, learning_rate=1e-4)


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
    submodel = {DEPTH: half, TAUGHT: half, WIDTH: as_wide(spec, half), LEFT_OUT: Submodel(kind=LEAVE_OUT)}.get(way)
    template = course.template if submodel is None else replace(course.template, model=exited(spec, submodel))
    submodels = {} if submodel is None else dict.fromkeys(weak, submodel)
    job = replace(course.job, ensemble=LESSONS) if way == TAUGHT else course.job
    priors = course.told().priors
    return TieredCourse(course.devices, template, job, priors, course.proxy, submodels)
