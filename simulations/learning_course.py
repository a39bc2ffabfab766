"""Who takes part in the bench of learning, and who comes when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fedtailor.client.machine_store import machine_store
from fedtailor.client.probe import probe
from fedtailor.client.profile_data import profile_data
from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import DataError
from fedtailor.protos.messages import Profile
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.simulations.central import devices_of
from fedtailor.simulations.course import Course, course_over
from fedtailor.simulations.fleet import Fleet
from fedtailor.strategies.plan import choose_plan, for_round

HELD_OUT = 0.2  # of the devices, where a file has none that were never trained on


@dataclass(frozen=True, eq=False)
class Intake:
    """The course of the devices that take part, and the newcomers: devices that come when its rounds are over."""

    course: Course
    newcomers: tuple[DeviceData, ...]

    def plan(self, device_id: str) -> Plan:
        """What the job asks of a device when its rounds are over, with its own local seed."""
        job = self.course.job
        plan = replace(self.course.template, device_id=device_id)
        return for_round(plan, seed=job.seed, round_=job.rounds, base_version=job.rounds)

    def own_plan(self, data: DeviceData) -> Plan:
        """The same, as the product makes it for this device's data; devices have no budgets here."""
        profile = Profile(hardware=self._hardware, data=profile_data(data), budget=Budget())
        return choose_plan(profile, self.plan(data.device_id), self.course.labels)[0]

    @cached_property
    def _hardware(self) -> DeviceProfile:
        with machine_store() as store:
            return probe("this machine", store=store)


def intake_of(fleet: Fleet, per_round: int, unseen: float | None, seed: int) -> Intake:
    """The fleet dealt and started from `seed`, with the devices of which a round asks `per_round`.

    Newcomers are devices without rows to train on, and of the others a share `unseen`, drawn by the seed; None: a share
    of `HELD_OUT` if there are no such devices. Of what newcomers hold nothing is known while the others train.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    devices = devices_of(replace(fleet, seed=seed))
    if not any(len(data.test) for data in devices):
        raise DataError(f"fleet {fleet.name!r}: split: expected test rows to score methods on, got none")
    able = [data for data in devices if len(data.train)]
    share = (0.0 if len(able) < len(devices) else HELD_OUT) if unseen is None else unseen
    late = _drawn(able, share, seed)
    members = [data for data in able if data.device_id not in late]
    newcomers = tuple(data for data in devices if data.device_id in late or not len(data.train))
    return Intake(course_over(members, fleet, per_round, seed), newcomers)


def _drawn(devices: Sequence[DeviceData], share: float, seed: int) -> set[str]:
    names = sorted(data.device_id for data in devices)
    count = min(round(share * len(names)), len(names) - 1)
    return set(np.random.default_rng(seed).permutation(names)[: max(count, 0)].tolist())
