"""Devices that drop out of a round, or answer too late, on a virtual clock that no machine's speed can change."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable, Mod
from flwr.common.constant import ErrorCode

from fedtailor.protos.messages import RECORD, Instruction, TrainReply
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.wire import from_bytes
from fedtailor.simulations.virtual_grid import stamp
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build

# Half of what the catalogue's reference core does in HPL (61.8 Gflop/s in fp32). Not measured: that would let the
# machine that simulates decide who is late.
REFERENCE_MACS_PER_S = 15e9
PASSES_PER_STEP = 3  # forward, gradient of the activations, gradient of the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How reliable one simulated device and its link are; seconds are virtual.

    `dropout` is the probability that it misses a round. `slowdown` is its class against the catalogue's reference core;
    `slow_fraction` of all devices are `slow_factor` times slower still. `deadline_s` None: the server waits for all.
    """

    seed: int
    dropout: float = 0.0
    slow_fraction: float = 0.0
    slow_factor: float = 1.0
    slowdown: float = 1.0
    downlink_bytes_per_s: float
    uplink_bytes_per_s: float
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What one round holds for one device."""

    drops_out: bool
    slowdown: float


def fate(conditions: Conditions, device_id: str, round_: int) -> Fate:
    """Drawn from the fleet's seed, the device and the round alone: the same in every engine, in any order.

    Who drops out is drawn anew for every round; who is a straggler, once.
    """
    device = (conditions.seed, zlib.crc32(device_id.encode()))
    drops_out = np.random.default_rng((*device, round_)).random() < conditions.dropout
    return Fate(drops_out, conditions.slowdown * (conditions.slow_factor if straggles(conditions, device_id) else 1.0))


def straggles(conditions: Conditions, device_id: str) -> bool:
    """Whether the device is one of the slow ones, in every round."""
    device = (conditions.seed, zlib.crc32(device_id.encode()))
    return bool(np.random.default_rng(device).random() < conditions.slow_fraction)


def round_s(conditions: Conditions, slowdown: float, *, train_macs: float, down_bytes: int, up_bytes: int) -> float:
    """Virtual seconds from the server's message to the device's reply: download, training, upload."""
    training_s = PASSES_PER_STEP * train_macs * slowdown / REFERENCE_MACS_PER_S
    return down_bytes / conditions.downlink_bytes_per_s + training_s + up_bytes / conditions.uplink_bytes_per_s


def reliability(conditions_of: Callable[[Context], Conditions]) -> Mod:
    """A Flower mod that lets a device miss rounds of training, for engines whose time is the wall's; every other
    message is answered.

    A device that drops out never sees the message. One that is late has trained, so its residual waits for an
    acknowledgement that will not come; only its reply is lost. Both come back as Error replies of one line.
    """

    def mod(message: Message, context: Context, call: ClientAppCallable) -> Message:
        conditions = conditions_of(context)
        reply, took_s = _exchanged(message, context, call, conditions)
        if took_s is None or conditions.deadline_s is None or took_s <= conditions.deadline_s:
            return reply
        round_ = _instruction(message)[0].plan.round
        late = f"late in round {round_}: {took_s:.1f} virtual seconds, deadline {conditions.deadline_s:g}"
        return _missed(message, ErrorCode.REPLY_MESSAGE_UNAVAILABLE, late)

    return mod


def virtual_time(conditions_of: Callable[[Context], Conditions]) -> Mod:
    """A Flower mod for devices behind a `VirtualGrid`: it says of every reply to training how long it took, and the
    server decides who is late. A device that drops out never sees the message.
    """

    def mod(message: Message, context: Context, call: ClientAppCallable) -> Message:
        reply, took_s = _exchanged(message, context, call, conditions_of(context))
        return reply if took_s is None else stamp(reply, took_s)

    return mod


def _exchanged(
    message: Message, context: Context, call: ClientAppCallable, conditions: Conditions
) -> tuple[Message, float | None]:
    """The reply, and the virtual seconds it took; None where it is not one to training, or an Error."""
    if message.metadata.message_type != MessageType.TRAIN:
        return call(message, context), None
    instruction, down_bytes = _instruction(message)
    plan = instruction.plan
    drawn = fate(conditions, plan.device_id, plan.round)
    if drawn.drops_out:
        return _missed(message, ErrorCode.NODE_UNAVAILABLE, f"dropped out of round {plan.round}"), None
    reply = call(message, context)
    if not reply.has_content():
        return reply, None
    samples, up_bytes = _trained(reply, plan.device_id)
    work = float(_macs(plan.model)) * samples * plan.train.epochs
    took_s = round_s(conditions, drawn.slowdown, train_macs=work, down_bytes=down_bytes, up_bytes=up_bytes)
    return reply, took_s


def _instruction(message: Message) -> tuple[Instruction, int]:
    data = _record(message)["instruction"]
    return from_bytes(Instruction, data, sender="server"), len(data)


def _trained(reply: Message, device_id: str) -> tuple[int, int]:
    data = _record(reply)["train"]
    return from_bytes(TrainReply, data, sender=device_id).update.num_examples, len(data)


def _record(message: Message) -> dict[str, bytes]:
    record: ConfigRecord = message.content.config_records[RECORD]
    return {name: value for name, value in record.items() if isinstance(value, bytes)}


@lru_cache(maxsize=8)
def _macs(model: ModelSpec) -> int:
    return macs(trace(build(model), model))


def _missed(message: Message, code: int, reason: str) -> Message:
    return Message(Error(code, reason), reply_to=message)
