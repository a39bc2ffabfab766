"""Whom a round asks: the devices present, what the registry knows of them, and the job's way to choose.

A choice depends on the job, the round's number, and what was recorded before that round, which has the seconds that
answers took by the run's clock; never on node ids or what this process remembers. So a resumed run chooses as an
unbroken one.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from fedtailor.server.cohort import Cohort
from fedtailor.server.history import NO_HISTORY, histories
from fedtailor.server.job import Job
from fedtailor.server.run import Run
from fedtailor.strategies.choice.choice import Candidate, Chosen, choose_of
from fedtailor.strategies.choice.tagged import tagged


def choose_devices(run: Run, round_: int, count: int, among: Sequence[str]) -> tuple[Chosen, ...]:
    """At most `count` of the devices `among`, by the job's way to choose, sorted by id; `among` may come in any order.

    Devices without rows, and those with none of the job's tags where it names some, are never chosen.
    """
    return drawn(run.job, round_, candidates(run, round_, among), count)


def cohort_of(run: Run, round_: int) -> Cohort:
    """Whom round `round_` asks: the job's fraction of the devices present that it may ask, and its over-selection."""
    present = candidates(run, round_, run.roster.present(run.grid))
    wanted = wanted_of(run.job, len(present))
    chosen = drawn(run.job, round_, present, round(wanted * (1 + run.job.over_selection)))
    return Cohort(
        plans={each.device_id: run.plans[each.device_id] for each in chosen},
        inclusion={each.device_id: each.inclusion for each in chosen},
        wanted=wanted,
    )


def candidates(run: Run, round_: int, among: Sequence[str]) -> list[Candidate]:
    """Those `among` that the job may ask to train."""
    with run.registry.transaction() as session:
        known = histories(session, round_)
    profiles = run.roster.profiles
    able = [
        Candidate(
            device_id=device_id,
            rows=run.roster.rows(device_id),
            tags=profiles[device_id].tags,
            **asdict(known.get(device_id, NO_HISTORY)),
        )
        for device_id in run.trainable(among)
    ]
    return tagged(able, run.job.tags)


def wanted_of(job: Job, devices: int) -> int:
    """The answers that a round wants of so many devices: the job's fraction, at least one if there is one."""
    return min(devices, max(1, round(job.fraction * devices)))


def drawn(job: Job, round_: int, among: Sequence[Candidate], count: int) -> tuple[Chosen, ...]:
    """At most `count` of them, drawn by the job's seed and the round alone."""
    return choose_of(job.choice)(among, count, round_, np.random.default_rng((job.seed, round_)))
