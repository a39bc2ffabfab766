"""The way from devices to server: which codec, with how much memory on the device."""

from fedtailor.server.job import AUTO, Job
from fedtailor.strategies.codec.profile import Statistics, Uplink, profile


def uplink_of(job: Job, parameters: int) -> Uplink:
    """How devices write their updates: as the job says, or by how often it will ask them."""
    if job.codec.name == AUTO:
        return profile(job.fraction, Statistics(rounds=job.rounds, parameters=parameters))
    return Uplink(codec=job.codec, feedback=job.feedback, step_ahead=job.step_ahead)
