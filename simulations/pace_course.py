"""One seed of `bench pace`: its resolved fleet, how long each device takes, and a job for every way to train.

All devices are of one class, so that who is slow is what the fleet says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedtailor.client.fleet_file import read_fleet_file
from fedtailor.client.profile_data import profile_data
from fedtailor.protos.errors import ConfigError
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import schema_of
from fedtailor.server.job import BUFFERED, Job, job_from, job_table
from fedtailor.simulations.app import conditions_of
from fedtailor.simulations.central import pooled
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.materialise import resolve
from fedtailor.simulations.reliability import round_s, straggles
from fedtailor.strategies.choice.choice import ChoiceSpec
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, initial_state
from fedtailor.strategies.plan import choose_model_spec, local_training

DEVICE_CLASS = "phone"
FP32_BYTES = 4
CODED = 16  # an update is at most this part of a model in fp32: the codecs that a job chooses by itself
SLACK = 1.05  # of a deadline over the slowest device that is to make it
LEAST_DEVICES = 2
HALF = 0.5  # of the time of the rounds that wait for everyone: what buffered training is given
FRACTION, OVER_SELECTION = 0.5, 0.5  # of rounds with spares
EVERYONE, CUT_OFF = "rounds, all waited for", "rounds, slow ones cut off"
UNIFORM, UTILITY = "rounds with spares, uniform", "rounds with spares, utility"


@dataclass(frozen=True, eq=False, slots=True)
class Course:
    """spec: the fleet's model. validation: the rows that bases are scored on. seconds: what a round takes each device
    that does not drop out, virtual. slow: which devices are.
    """

    fleet: Fleet
    spec: ModelSpec
    validation: Samples
    seconds: tuple[float, ...]
    slow: tuple[bool, ...]

    @property
    def deadline_s(self) -> float:
        """The shortest that lets everyone answer."""
        return SLACK * max(self.seconds)

    @property
    def cut_off_s(self) -> float:
        """The shortest that lets everyone answer who is not slow."""
        others = [seconds for seconds, slow in zip(self.seconds, self.slow, strict=True) if not slow]
        return SLACK * max(others, default=max(self.seconds))


def course_of(fleet: Fleet, folder: Path) -> Course:
    """
    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used. ConfigError: too few devices.
    """
    settled = resolve(fleet, folder)
    if len(settled.members) < LEAST_DEVICES:
        raise ConfigError(
            f"devices: expected at least {LEAST_DEVICES}, so that one need not wait for the other, got "
            f"{len(settled.members)}"
        )
    members = tuple(replace(member, device_class=DEVICE_CLASS) for member in settled.members)
    settled = replace(settled, members=members)
    file = read_fleet_file(settled.data or Path())
    devices = [file.device(member.device_id) for member in members]
    spec = choose_model_spec([profile_data(device) for device in devices], settled.job.model)
    slow = tuple(straggles(conditions_of(settled, index), device.device_id) for index, device in enumerate(devices))
    return Course(settled, spec, pooled(devices).validation, _seconds(settled, spec, devices, slow), slow)


def jobs_of(course: Course, buffer: int) -> dict[str, Job]:
    """By the way to train; `buffer`: see `Job`. A round is committed whoever answers: the cut-off leaves many out.

    Rounds with spares want half the answers, so there are twice as many of them.
    """
    waiting = replace(course.fleet.job, minimum_fraction=0.0, deadline_s=course.deadline_s)
    spares = replace(waiting, rounds=round(waiting.rounds / FRACTION), fraction=FRACTION, over_selection=OVER_SELECTION)
    return {
        EVERYONE: waiting,
        CUT_OFF: replace(waiting, deadline_s=course.cut_off_s),
        UNIFORM: replace(spares, choice=ChoiceSpec(name="uniform", version=1)),
        UTILITY: replace(spares, choice=ChoiceSpec(name="utility", version=1)),
        BUFFERED: _buffered(course, waiting, buffer or max(1, len(course.seconds) // 4)),
    }


def _buffered(course: Course, waiting: Job, buffer: int) -> Job:
    """As many commits as are expected in half the time of the rounds that wait for everyone."""
    updates = HALF * waiting.rounds * waiting.deadline_s * updates_per_s(course)
    table = {
        **job_table(course.fleet.job),
        "mode": BUFFERED,
        "buffer": buffer,
        "rounds": max(1, round(updates / buffer)),
    }
    del table["optimizer"]  # the mode's own
    return replace(job_from(table), deadline_s=waiting.deadline_s)


def updates_per_s(course: Course) -> float:
    """What devices send that nobody keeps waiting; one that drops out is asked again after the deadline."""
    absent = course.fleet.dropout
    turns_s = ((1 - absent) * seconds + absent * course.deadline_s for seconds in course.seconds)
    return sum((1 - absent) / turn_s for turn_s in turns_s)


def _seconds(fleet: Fleet, spec: ModelSpec, devices: Sequence[DeviceData], slow: Sequence[bool]) -> tuple[float, ...]:
    """A whole model down, all rows, a coded update up."""
    model_bytes = FP32_BYTES * schema_of(initial_state(spec, 0)).size
    work = macs(trace(build(spec), spec))
    seconds = []
    for index, device in enumerate(devices):
        conditions = conditions_of(fleet, index)
        slowdown = conditions.slowdown * (conditions.slow_factor if slow[index] else 1)
        rows = len(device.train)
        passes = local_training(fleet.job.train, rows).epochs
        link = {"down_bytes": model_bytes, "up_bytes": model_bytes // CODED}
        seconds.append(round_s(conditions, slowdown, train_macs=float(work * rows * passes), **link))
    return tuple(seconds)
