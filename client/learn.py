"""One device's part in a round: train from the public base, answer with the compressed latent delta."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fedtailor.client.device import Device
from fedtailor.client.held_base import receive_base
from fedtailor.client.recall import recall
from fedtailor.client.train import score_state
from fedtailor.client.train_part import train_part
from fedtailor.protos.errors import DataError
from fedtailor.protos.messages import Instruction, TrainReply, Update
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import Floats, schema_of
from fedtailor.strategies.codec.envelope import Address, decode_update, encode_update
from fedtailor.strategies.codec.feedback import (
    acknowledged_mask,
    ahead,
    await_fate,
    carry,
    masked,
    pending_from_bytes,
    pending_to_bytes,
    settle,
)
from fedtailor.strategies.codec.masking import joined
from fedtailor.strategies.codec.public_base import PublicBase, shared_context
from fedtailor.strategies.codec.sent_mask import NO_MASKS, SentMask
from fedtailor.strategies.codec.shared_only import shared_part, whole
from fedtailor.strategies.merge.sparse import Kept
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.submodel.part import covered

PENDING = "pending"


@dataclass(frozen=True, eq=False)
class _Said:
    """What an update is to say: a total, which of its coordinates, and what of earlier rounds it carries."""

    total: list[Floats]
    carried: tuple[Floats, ...]
    mask: SentMask | None


def learn(device: Device, instruction: Instruction) -> TrainReply:
    """Train, encode, and remember what the encoding left out until the server acknowledges it.

    Of a submodel only its own coordinates are sent; which they are is a mask, told against the last that the server is
    sure to have. The same instruction twice gives the same delta and the same residual.

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
    kept = coordinates_sent(plan, shared)
    pending = recall(device.store, PENDING, pending_from_bytes) if plan.feedback else None
    carried = masked(settle(pending, plan.round, instruction.acknowledged_round, schema_of(shared)), kept)
    start = whole(ahead(shared, carried, plan.step_ahead), base.state)
    trained = train_part(start, device.data.train, plan)
    delta = [trained.state[name] - start[name] for name in shared]  # 0 outside a submodel
    known = acknowledged_mask(pending, instruction.acknowledged_round)
    mask = None if kept is None else SentMask(kept, known)
    return TrainReply(
        update=_sent(device, plan, base, _Said(carry(delta, carried), carried, mask)),
        base_validation_score=score_state(base.state, plan.model, device.data.validation),
        validation_rows=len(device.data.validation),
        train_loss=trained.loss,
        train_cpu_s=trained.cpu_s,
    )


def coordinates_sent(plan: Plan, shared: Iterable[str]) -> Kept | None:
    """The coordinates, of the parameters that are shared, that the plan's submodel covers; None without one: all are.

    Raises:
        PlanError: the model has no such submodel.
    """
    part = part_of(plan.model, plan.submodel) if plan.submodel else None
    if part is None:
        return None
    by_name = covered(part)
    return joined(by_name[name] for name in shared)


def _sent(device: Device, plan: Plan, base: PublicBase, said: _Said) -> Update:
    """The update that says of the total what the codec can; with feedback the rest is kept."""
    address = Address(
        device_id=device.device_id,
        round=plan.round,
        base_version=base.version,
        context_version=base.context_version,
        codec=plan.codec,
    )
    context = shared_context(base.context, plan.local_parameters)
    rng, mask = np.random.default_rng(plan.seed), said.mask
    update = encode_update(said.total, context, address, num_examples=len(device.data.train), rng=rng, mask=mask)
    if plan.feedback:
        known = NO_MASKS if mask is None or mask.acknowledged is None else NO_MASKS.adding(mask.acknowledged)
        decoded = decode_update(update, context, expected=address, known_masks=known).deltas
        pending = await_fate(plan.round, said.carried, said.total, decoded, kept=mask.kept if mask else None)
        device.store.put(PENDING, pending_to_bytes(pending))
    return update
