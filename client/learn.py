"""One device's part in a round: train from exactly the public base, answer with the compressed latent delta."""

import numpy as np

from fedtailor.client.device import Device
from fedtailor.client.recall import recall
from fedtailor.client.train import score_state, train
from fedtailor.protos.errors import DataError, DecodeError
from fedtailor.protos.messages import Instruction, TrainReply
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import Schema, State, schema_of
from fedtailor.strategies.codec.envelope import Address, decode_update, encode_update
from fedtailor.strategies.codec.feedback import (
    await_fate,
    carry,
    pending_from_bytes,
    pending_to_bytes,
    settle,
)
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.snapshot import state_of

PENDING = "pending"


def learn(device: Device, instruction: Instruction) -> TrainReply:
    """Train, encode, and remember what the encoding left out until the server acknowledges it.

    The same instruction twice gives the same update and the same residual.

    Raises:
        DataError: the device has no rows to train on.
        DecodeError: the base is not the one the plan's model has.
    """
    plan = instruction.plan
    if len(device.data.train) == 0:
        raise DataError(f"device {device.device_id}: no rows to train on; leave it out of training")
    base = received_base(instruction)
    schema = schema_of(base)
    trained = train(base, device.data.train, plan.model, plan.train, seed=plan.seed)
    delta = [trained.state[name] - base[name] for name in schema.names]
    pending = recall(device.store, PENDING, pending_from_bytes) if plan.feedback else None
    carried = settle(pending, plan.round, instruction.acknowledged_round, schema)
    total = carry(delta, carried)
    address = Address(device_id=device.device_id, round=plan.round, base_version=plan.base_version, codec=plan.codec)
    rng = np.random.default_rng(plan.seed)
    update = encode_update(total, schema, address, num_examples=len(device.data.train), rng=rng)
    if plan.feedback:
        decoded = decode_update(update, schema, expected=address)
        device.store.put(PENDING, pending_to_bytes(await_fate(plan.round, carried, total, decoded)))
    return TrainReply(
        update=update,
        base_validation_score=score_state(base, plan.model, device.data.validation),
        validation_rows=len(device.data.validation),
        train_loss=trained.loss,
        train_cpu_s=trained.cpu_s,
    )


def received_base(instruction: Instruction) -> State:
    """The base that came with an instruction.

    Raises:
        DecodeError: it is not the one the plan names, not of the plan's model, or damaged.
    """
    want, got = instruction.plan.base_version, instruction.base.base_version
    if want != got:
        raise DecodeError(f"server: the plan is for base {want}, base {got} came with it; send them together")
    return state_of(instruction.base, model_schema(instruction.plan), sender="server")


def model_schema(plan: Plan) -> Schema:
    """The schema of the plan's model."""
    return schema_of(initial_state(plan.model, seed=0))
