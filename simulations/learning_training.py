"""The trainings that the bench of learning compares, each from a course to its outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from statistics import mean

import numpy as np

from fedtailor.client.train import cosine, loss_of_state, train
from fedtailor.protos.plan import Plan, TrainPlan
from fedtailor.protos.schema import State
from fedtailor.simulations.course import Course
from fedtailor.simulations.federation import RAW, Federation, Kept, Learner, Wire
from fedtailor.simulations.learning_course import Intake
from fedtailor.simulations.learning_outcome import LOCAL, OWN, Outcome
from fedtailor.simulations.learning_turns import DITTO, PROXIMAL
from fedtailor.strategies.codec.profile import Uplink
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.plan import local_training

FEWEST_EPOCHS = 15  # of the pooled rows, however short the federation

Training = Callable[[Intake], Outcome]
FP32 = Wire(name="fp32", uplink=Uplink(codec=RAW, feedback=False, step_ahead=0.0))


def alone(intake: Intake) -> Outcome:
    """Each device from the start on its own train rows: as many passes as in the rounds and fine-tuning together."""
    course = intake.course
    start = initial_state(course.template.model, course.job.seed)

    def own(plan: Plan) -> State:
        rows = course.devices[plan.device_id].train
        epochs = _passes(course, local_training(plan.train, len(rows))) + course.job.personal.epochs
        asked = replace(plan.train, epochs=epochs)
        return train(start, rows, plan.model, asked, seed=plan.seed, schedule=cosine).state

    kept = {name: {OWN: own(intake.plan(name))} for name in course.trainable}
    return Outcome(shared=None, kept=kept, uplink_bytes=0.0, downlink_bytes=0.0)


def together(intake: Intake) -> Outcome:
    """All train rows in one place: as many passes as in the rounds, at least `FEWEST_EPOCHS`."""
    course = intake.course
    spec, seed = course.template.model, course.job.seed
    plan = replace(course.template.train, epochs=max(FEWEST_EPOCHS, _passes(course, course.template.train)))
    rows = course.rows.train
    return Outcome(shared=train(initial_state(spec, seed), rows, spec, plan, seed=seed, schedule=cosine).state)


def plainly(learner: Learner) -> Training:
    """A federation whose messages hold every shared number in fp32, both ways."""

    def training(intake: Intake) -> Outcome:
        federation = Federation(intake.course, FP32, learner)
        _carry_out(federation, intake.course)
        down = federation.uplink_bytes  # the base comes down in an envelope like those that updates go up in
        return _outcome(intake.course, federation, down)

    return training


def by_the_job(intake: Intake) -> Outcome:
    """A federation as the product runs it, with the job's codecs both ways."""
    template = intake.course.template
    uplink = Uplink(codec=template.codec, feedback=template.feedback, step_ahead=template.step_ahead)
    wire = Wire(name="ours", uplink=uplink, downlink=template.downlink)
    federation = Federation(intake.course.told(), wire, counted_every=1)
    _carry_out(federation, intake.course)
    return _outcome(intake.course, federation, federation.downlink_bytes)


def ditto(intake: Intake) -> Outcome:
    """Of the λ that were tried, the one whose personal models lose least on all validation rows."""
    outcome = plainly(DITTO)(intake)

    def loss(name: str) -> float:
        devices = ((intake.course.devices[device], kept[name]) for device, kept in outcome.kept.items())
        spec = intake.course.template.model
        return sum(len(data.validation) * loss_of_state(own, spec, data.validation) for data, own in devices)

    best = min(map(str, PROXIMAL), key=loss)
    return replace(outcome, kept={device: {OWN: kept[best]} for device, kept in outcome.kept.items()})


def _carry_out(federation: Federation, course: Course) -> None:
    for _ in range(course.job.rounds):
        federation.round()


def _outcome(course: Course, federation: Federation, downlink_bytes: Sequence[int]) -> Outcome:
    return Outcome(
        shared={**federation.state, **_mean_local(course, federation.kept)},
        kept=federation.kept,
        uplink_bytes=float(mean(federation.uplink_bytes)),
        downlink_bytes=float(mean(downlink_bytes)),
    )


def _mean_local(course: Course, kept: Mapping[str, Kept]) -> State:
    """The mean, by train rows, of the tensors that stay on devices: known to a bench, not to a server."""
    parts = [(each[LOCAL], len(course.devices[name].train)) for name, each in kept.items() if LOCAL in each]
    if not parts:
        return {}
    states, rows = zip(*parts, strict=True)
    return {
        name: np.average([state[name] for state in states], axis=0, weights=rows).astype(np.float32)
        for name in states[0]
    }


def _passes(course: Course, asked: TrainPlan) -> int:
    """Over its train rows, of a device that is asked for this as often as may be expected."""
    return ceil(course.job.rounds * course.job.fraction * asked.epochs)
