"""The ways between devices and server: which codec, with how much memory on the device."""

from fedtailor.protos.plan import CodecSpec
from fedtailor.server.job import AUTO, Job
from fedtailor.strategies.codec.profile import Statistics, Uplink, broadcast_profile, profile
from fedtailor.strategies.label_prior import FleetLabels


def uplink_of(job: Job, parameters: int, labels: FleetLabels) -> Uplink:
    """How devices write their updates: as the job says, or by how often it will ask them and how much they differ."""
    if job.codec.name == AUTO:
        return profile(job.fraction, Statistics(rounds=job.rounds, parameters=parameters, skewed=labels.skewed))
    return Uplink(codec=job.codec, feedback=job.feedback, step_ahead=job.step_ahead)


def downlink_of(job: Job, labels: FleetLabels) -> CodecSpec:
    """How the base's own steps are written: as `uplink_of`."""
    return broadcast_profile(job.fraction, skewed=labels.skewed) if job.downlink.name == AUTO else job.downlink
