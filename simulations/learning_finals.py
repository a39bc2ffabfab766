"""What a device ends with, method by method: from the outcome of a training to the model that it runs."""

from dataclasses import replace
from functools import partial

from fedtailor.client.artefact import artefact
from fedtailor.client.forms import INT8, forms
from fedtailor.client.offer import as_net
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.train import cosine, score_state, train
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State
from fedtailor.protos.verdict import REJECTED
from fedtailor.simulations.learning_ala import adapted
from fedtailor.simulations.learning_outcome import LOCAL, OWN, Ending, Final
from fedtailor.simulations.learning_turns import fitted, for_head
from fedtailor.strategies.compression.compress import CALIBRATION_ROWS
from fedtailor.strategies.compression.spread import spread_rows
from fedtailor.strategies.gate import judge
from fedtailor.strategies.models.model import head_of
from fedtailor.strategies.task import TASKS

SHARED = "shared"


def shared(ending: Ending) -> Final:
    """The model that everybody has."""
    return final(ending, ending.shared, SHARED)


def fine_tuned(ending: Ending) -> Final:
    """The shared model, every parameter trained on: the job's fine-tuning, wherever it leads."""
    plan = ending.intake.plan(ending.data.device_id)
    asked = plan.personal
    schedule = replace(plan.train, epochs=asked.epochs, batch_size=asked.batch_size, learning_rate=asked.learning_rate)
    rows = ending.data.train
    tuned = train(ending.shared, rows, plan.model, schedule, seed=plan.seed, schedule=cosine).state
    return final(ending, tuned, "finetune")


def own(ending: Ending) -> Final:
    """The model that it kept; one that never had a turn has the shared one."""
    return final(ending, ending.kept[OWN], OWN) if OWN in ending.kept else shared(ending)


def with_own_part(ending: Ending) -> Final:
    """The shared model with the tensors that it kept; one that never had a turn has everybody's mean."""
    return final(ending, {**ending.shared, **ending.kept[LOCAL]}, LOCAL) if LOCAL in ending.kept else shared(ending)


def with_own_head(ending: Ending) -> Final:
    """The same, and that head trained once more on the last body, as every turn begins."""
    plan = ending.intake.plan(ending.data.device_id)
    start = {**ending.shared, **ending.kept.get(LOCAL, {})}
    tuned = fitted(start, ending.data, for_head(plan), only=head_of(plan.model), schedule=cosine)
    return final(ending, tuned, LOCAL)


def mixed(ending: Ending) -> Final:
    """Its own last model and the shared one, mixed once more."""
    plan = ending.intake.plan(ending.data.device_id)
    state, _ = adapted(ending.shared, ending.kept, ending.data, plan, head_of(plan.model))
    return final(ending, state, "mixed")


def personal(ending: Ending) -> Final:
    """What the product makes of the shared model on this device."""
    return final(ending, ending.personal.state, ending.personal.method)


def in_integers(ending: Ending) -> Final:
    """The same in int8 as it is exported, where the gate does not reject it; else in fp32."""
    data, plan = ending.data, ending.intake.plan(ending.data.device_id)
    if not len(data.train):
        return personal(ending)
    net = as_net(ending.personal.state, plan)
    try:
        (form,) = forms(net, spread_rows(data.train.x, CALIBRATION_ROWS), INT8)
        made = artefact(form, Mask(), data.validation.x)
    except PlanError:  # no layer computes in integers, or it answers NaN
        return personal(ending)
    reference = artefact(net, Mask(), data.validation.x)
    verdict = judge(reference.outputs, made.outputs, data.validation.y, kind=data.kind, gate=plan.gate)
    if verdict.verdict == REJECTED:
        return personal(ending)
    return Final(partial(_score, made.model, data.kind), INT8)


def final(ending: Ending, state: State, way: str) -> Final:
    """A state of the course's model."""
    return Final(partial(score_state, state, ending.intake.course.template.model), way)


def _score(model: bytes, kind: str, samples: Samples) -> float:
    return TASKS[kind].score(predict(open_session(model), samples.x), samples.y)
