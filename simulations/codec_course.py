"""What all methods of one seed have in common in the bench of codecs: the fleet dealt, the model and the job."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from fedtailor.client.profile_data import profile_data
from fedtailor.protos.errors import DataError
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.server.job import Job
from fedtailor.server.run import plan_template
from fedtailor.server.training import sample
from fedtailor.simulations.central import devices_of, pooled
from fedtailor.simulations.fleet import Fleet
from fedtailor.strategies.codec.profile import Statistics, Uplink, profile
from fedtailor.strategies.plan import choose_model_spec, cooled, for_round


@dataclass(frozen=True, eq=False)
class Course:
    """The rows of each device, what every plan has in common, and the job with the seed of this course."""

    devices: Mapping[str, DeviceData]
    template: Plan
    job: Job

    @cached_property
    def rows(self) -> DeviceData:
        """Those of all devices, to score a base on."""
        return pooled(list(self.devices.values()))

    @property
    def trainable(self) -> list[str]:
        """Devices with rows to train on."""
        return trainable(self.devices)

    def profile(self, parameters: int) -> Uplink:
        """What the adaptive profile says for this course."""
        return profile(self.job.fraction, Statistics(rounds=self.job.rounds, parameters=parameters))

    def plans(self, round_: int) -> dict[str, Plan]:
        """Of the devices asked in a round, each with its own local seed."""
        job = self.job
        share = cooled(round_, job.rounds, job.cooldown)
        return {
            name: for_round(
                replace(self.template, device_id=name),
                seed=job.seed,
                round_=round_,
                base_version=round_ - 1,
                rate_share=share,
            )
            for name in sample(self.trainable, job, round_)
        }


def course_of(fleet: Fleet, per_round: int, seed: int) -> Course:
    """The fleet dealt and started from `seed`; `per_round` of its devices, or all, are asked in a round.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    devices = {data.device_id: data for data in devices_of(replace(fleet, seed=seed))}
    for split in ("validation", "test"):
        if not any(len(getattr(data, split)) for data in devices.values()):
            raise DataError(f"fleet {fleet.name!r}: split: expected {split} rows to score bases on, got none")
    job = replace(fleet.job, seed=seed, fraction=min(1.0, per_round / max(1, len(trainable(devices)))))
    spec = choose_model_spec([profile_data(data, None) for data in devices.values()], job.model)
    return Course(devices, plan_template(job, spec), job)


def trainable(devices: Mapping[str, DeviceData]) -> list[str]:
    """Devices with rows to train on."""
    return [name for name, data in devices.items() if len(data.train)]
