"""One device's part in a round: train from the public base, answer with the compressed latent delta."""

import numpy as np

from fedtailor.client.device import Device
from fedtailor.client.held_base import receive_base
from fedtailor.client.recall import recall
from fedtailor.client.train import score_state, train
from fedtailor.protos.errors import DataError
from fedtailor.protos.messages import Instruction, TrainReply, Update
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import Floats, schema_of
from fedtailor.strategies.codec.envelope import Address, decode_update, encode_update
from fedtailor.strategies.codec.feedback import (
    ahead,
    await_fate,
    carry,
    pending_from_bytes,
    pending_to_bytes,
    settle,
)
from fedtailor.strategies.codec.public_base import PublicBase, shared_context
from fedtailor.strategies.codec.shared_only import shared_part, whole

PENDING = "pending"


def learn(device: Device, instruction: Instruction) -> TrainReply:
    """Train, encode, and remember what the encoding left out until the server acknowledges it.

    The same instruction twice gives the same update and the same residual.

    Raises:
        DataError: the device has no rows to train on.
        DecodeError: the base is not one this device can have; `receive_base`.
        PlanError: training diverged, or the plan cannot be carried out.
    """
    plan = instruction.plan
    if len(device.data.train) == 0:
        raise DataError(f"device {device.device_id}: no rows to train on; leave it out of training")
    base = receive_base(device.store, instruction)
    shared = shared_part(base.state, plan.local_parameters)
    pending = recall(device.store, PENDING, pending_from_bytes) if plan.feedback else None
    carried = settle(pending, plan.round, instruction.acknowledged_round, schema_of(shared))
    start = whole(ahead(shared, carried, plan.step_ahead), base.state)
    trained = train(start, device.data.train, plan.model, plan.train, seed=plan.seed)
    delta = [trained.state[name] - start[name] for name in shared]
    return TrainReply(
        update=_said(device, plan, base, carry(delta, carried), carried),
        base_validation_score=score_state(base.state, plan.model, device.data.validation),
        validation_rows=len(device.data.validation),
        train_loss=trained.loss,
        train_cpu_s=trained.cpu_s,
    )


def _said(device: Device, plan: Plan, base: PublicBase, total: list[Floats], carried: tuple[Floats, ...]) -> Update:
    """The update that says of `total` what the codec can; with feedback the rest is kept."""
    address = Address(
        device_id=device.device_id,
        round=plan.round,
        base_version=base.version,
        context_version=base.context_version,
        codec=plan.codec,
    )
    context = shared_context(base.context, plan.local_parameters)
    rng = np.random.default_rng(plan.seed)
    update = encode_update(total, context, address, num_examples=len(device.data.train), rng=rng)
    if plan.feedback:
        decoded = decode_update(update, context, expected=address).deltas
        device.store.put(PENDING, pending_to_bytes(await_fate(plan.round, carried, total, decoded)))
    return update
