"""What all methods of one seed have in common in a bench: the fleet dealt, the model and the job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fedtailor.client.profile_data import profile_data
from fedtailor.protos.errors import ConfigError, DataError
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.server.choice import drawn, wanted_of
from fedtailor.server.job import Job
from fedtailor.server.run import plan_template
from fedtailor.server.uplink import uplink_of
from fedtailor.simulations.central import devices_of, pooled
from fedtailor.simulations.fleet import Fleet
from fedtailor.strategies.choice.choice import Candidate
from fedtailor.strategies.codec.profile import Uplink
from fedtailor.strategies.ensemble import Rows, Teacher
from fedtailor.strategies.label_prior import FleetLabels, fleet_labels, label_prior
from fedtailor.strategies.plan import choose_model_spec, cooled, for_round, local_training


@dataclass(frozen=True, eq=False)
class Course:
    """The rows of each device, what every plan has in common, and the job with the seed of this course.

    `priors` are what devices are told of their own labels while they train; by default nothing. `proxy` are rows of no
    device here, for the job's ensemble.
    """

    devices: Mapping[str, DeviceData]
    template: Plan
    job: Job
    priors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    proxy: Rows | None = None

    @cached_property
    def rows(self) -> DeviceData:
        """Those of all devices, to score a base on."""
        return pooled(list(self.devices.values()))

    @property
    def trainable(self) -> list[str]:
        """Devices with rows to train on."""
        return trainable(self.devices)

    def uplink(self, parameters: int) -> Uplink:
        """How the job's devices write their updates in this course."""
        return uplink_of(self.job, parameters, self.labels)

    @cached_property
    def labels(self) -> FleetLabels:
        """Those of all devices."""
        return fleet_labels(self._counts.values())

    def teacher(self) -> Teacher | None:
        """One that has heard nobody yet, where the job asks the ensemble of a round."""
        if self.proxy is None or not self.job.ensemble.steps:
            return None
        return Teacher(self.template.model, self.proxy)

    def told(self) -> "Course":
        """The same, with every device told of its labels, as the product does where labels are skewed."""
        return replace(self, priors={name: label_prior(counts, self.labels) for name, counts in self._counts.items()})

    @cached_property
    def _counts(self) -> dict[str, tuple[int, ...]]:
        return {name: profile_data(data).class_counts for name, data in self.devices.items()}

    def plans(self, round_: int) -> dict[str, Plan]:
        """Of the devices asked in a round, each with its own local seed."""
        job = self.job
        able = [Candidate(device_id=name, rows=len(self.devices[name].train)) for name in self.trainable]
        chosen = drawn(job, round_, able, wanted_of(job, len(able)))
        share = cooled(round_, job.rounds, job.cooldown)
        return {
            each.device_id: for_round(
                replace(
                    self.template,
                    device_id=each.device_id,
                    train=local_training(self.template.train, len(self.devices[each.device_id].train)),
                    label_prior=self.priors.get(each.device_id, ()),
                ),
                seed=job.seed,
                round_=round_,
                base_version=round_ - 1,
                rate_share=share,
            )
            for each in chosen
        }


def course_of(fleet: Fleet, per_round: int, seed: int, *, proxy_devices: int = 0) -> Course:
    """The fleet dealt and started from `seed`; `per_round` of its devices, or all, are asked in a round.

    So many as `proxy_devices`, drawn by the seed, take no part: what they could train on, without labels, is the proxy.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    devices, apart = _set_apart(devices_of(replace(fleet, seed=seed)), proxy_devices, seed)
    for split in ("validation", "test"):
        if not any(len(getattr(data, split)) for data in devices):
            raise DataError(f"fleet {fleet.name!r}: split: expected {split} rows to score bases on, got none")
    course = course_over(devices, fleet, per_round, seed)
    return replace(course, proxy=np.concatenate([data.train.x for data in apart])) if apart else course


def course_over(members: Sequence[DeviceData], fleet: Fleet, per_round: int, seed: int) -> Course:
    """As `course_of`, of devices of the fleet whose rows are dealt already, whatever they can be scored on."""
    devices = {data.device_id: data for data in members}
    job = replace(fleet.job, seed=seed, fraction=min(1.0, per_round / max(1, len(trainable(devices)))))
    profiles = [profile_data(data) for data in devices.values()]
    spec = choose_model_spec(profiles, job.model)
    labels = fleet_labels(profile.class_counts for profile in profiles)
    return Course(devices, plan_template(job, spec, labels), job)


def _set_apart(devices: Sequence[DeviceData], count: int, seed: int) -> tuple[list[DeviceData], list[DeviceData]]:
    """The others, and so many of those with rows to train on."""
    able = sorted(data.device_id for data in devices if len(data.train))
    if count and count > len(able) - 2:
        raise ConfigError(
            f"proxy: expected at most {max(0, len(able) - 2)} of {len(able)} devices with rows to train on to be set "
            f"apart, so that two are left, got {count}; deal the rows to more devices"
        )
    away = set(np.random.default_rng((seed, count)).permutation(able)[:count].tolist())
    others = [data for data in devices if data.device_id not in away]
    return others, [data for data in devices if data.device_id in away]


def trainable(devices: Mapping[str, DeviceData]) -> list[str]:
    """Devices with rows to train on."""
    return [name for name, data in devices.items() if len(data.train)]
