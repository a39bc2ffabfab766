"""The ensemble of a round's models, and the base that learns from it."""

from dataclasses import replace

import numpy as np

from fedtailor.protos.schema import State
from fedtailor.server.base import Base
from fedtailor.server.job import Job
from fedtailor.strategies.codec.envelope import Decoded
from fedtailor.strategies.ensemble import Teacher, distilled

ENSEMBLE = 2  # sets the random numbers of a round's distillation apart from its others


def said_by(base: Base, decoded: Decoded) -> State:
    """The model that an update to the public base says its device has; the whole of the base is shared."""
    public = base.public.state
    return {name: public[name] + delta for name, delta in zip(decoded.schema.names, decoded.deltas, strict=True)}


def taught(base: Base, teacher: Teacher, job: Job, round_: int) -> Base:
    """The base whose private state has learned from the models of a round; nothing of that is public yet."""
    rng, plan = np.random.default_rng((job.seed, round_, ENSEMBLE)), job.ensemble
    state = distilled(base.state, teacher, steps=plan.steps, learning_rate=plan.learning_rate, rng=rng)
    return replace(base, state=state)
