"""A device under way tells its data anew, held against what its plan was made from.

Whether the shared model still fits is asked of one base, the judge: the first that this device profiled its rows with
after its plan was made. A later base would mix what the data did with what training did. It answers validation rows,
on which no base was trained.
"""

from dataclasses import replace

from fedtailor.client.device import Device
from fedtailor.client.held_base import model_schema, receive_base
from fedtailor.client.profile import PLANNED, TOLD, profile_of, recall_record
from fedtailor.client.record_data import record_data
from fedtailor.protos.data_record import DataRecord, Loss
from fedtailor.protos.messages import Broadcast, Instruction, Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.answers import answers
from fedtailor.strategies.codec.broadcast import follow, snapshot
from fedtailor.strategies.codec.public_base import PublicBase, first_public
from fedtailor.strategies.drift import drift_between
from fedtailor.strategies.models.model import build, load_state
from fedtailor.strategies.runs import mean_error
from fedtailor.strategies.task import TASKS


def reprofile_device(device: Device, instruction: Instruction) -> Profile:
    """Profile the rows, compare them with the record that the plan was made from, and keep theirs.

    The server may never hear this answer, so what comes later is compared with this record only once a plan says that
    it was made from it.

    Raises:
        DecodeError: the base is not one this device can have; `receive_base`.
    """
    plan, validation = instruction.plan, device.data.validation
    base = receive_base(device.store, instruction)
    told = record_data(device.data, plan.round)
    told = replace(told, judge=_judge_of(base), loss=_loss(base.state, plan.model, validation))
    planned, drift = _planned(device, instruction), None
    if planned is None:
        planned = told
    elif planned.judge is None:
        drift = drift_between(planned, told)
        planned = replace(planned, judge=told.judge, loss=told.loss)
    else:
        drift = drift_between(planned, replace(told, loss=_loss(_state(planned.judge, plan), plan.model, validation)))
    device.store.put(PLANNED, to_bytes(planned))
    device.store.put(TOLD, to_bytes(told))
    return profile_of(device, replace(told.profile, drift=drift))


def _planned(device: Device, instruction: Instruction) -> DataRecord | None:
    """The record that the plan was made from, without a judge where that is of another model; None where it is lost."""
    told, planned = (recall_record(device.store, name) for name in (TOLD, PLANNED))
    if told is not None and told.profile.round == instruction.plan.profile_round:
        planned = told
    if planned is None or planned.judge is None or planned.judge.schema_hash == instruction.base.schema_hash:
        return planned
    return replace(planned, judge=None, loss=None)


def _judge_of(base: PublicBase) -> Broadcast:
    return snapshot(first_public(base.schema, base.version, base.steps))


def _state(judge: Broadcast, plan: Plan) -> State:
    return follow(None, judge, model_schema(plan), plan.downlink).state


def _loss(state: State, spec: ModelSpec, rows: Samples) -> Loss | None:
    """None without rows."""
    if len(rows) == 0:
        return None
    module = build(spec)
    load_state(module, state)
    losses = TASKS[spec.kind].row_surprise(answers(module, rows).numpy(), rows.y)
    return Loss(mean=float(losses.mean()), error=mean_error(losses), rows=len(rows))
