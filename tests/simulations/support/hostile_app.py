"""The simulated fleet's own app, with devices that do harm in a round of training."""

import os
import signal
from dataclasses import replace
from functools import partial

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode

from fedtailor.client.app import client_app
from fedtailor.protos.messages import RECORD, Instruction
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.simulations.app import open_device

Harm = tuple[str, int]  # device and round


def hostile_app(diverge: Harm, die: Harm, garble: Harm) -> ClientApp:
    """One device's training diverges, one's process is killed, one's update arrives with a bit flipped."""
    mods = (partial(diverges, diverge), partial(dies, die), partial(garbles, garble))
    return client_app(open_device, mods=mods)


def vanishing_app(since: int) -> ClientApp:
    """No device can be reached in rounds from `since` on."""
    return client_app(open_device, mods=(partial(vanishes, since),))


def diverges(harm: Harm, message: Message, context: Context, call: ClientAppCallable) -> Message:
    order = instruction(message)
    if order is not None and meant(harm, order):
        train = replace(order.plan.train, learning_rate=1e20)
        wild = replace(order, plan=replace(order.plan, train=train))
        message.content = RecordDict({RECORD: ConfigRecord({"instruction": to_bytes(wild)})})
    return call(message, context)


def dies(harm: Harm, message: Message, context: Context, call: ClientAppCallable) -> Message:
    order = instruction(message)
    if order is not None and meant(harm, order):
        os.kill(os.getpid(), signal.SIGKILL)
    return call(message, context)


def garbles(harm: Harm, message: Message, context: Context, call: ClientAppCallable) -> Message:
    order, reply = instruction(message), call(message, context)
    if order is not None and meant(harm, order):
        data = bytearray(reply.content[RECORD]["train"])
        data[len(data) // 2] ^= 1  # in the payload, which is most of it
        reply.content = RecordDict({RECORD: ConfigRecord({"train": bytes(data)})})
    return reply


def vanishes(since: int, message: Message, context: Context, call: ClientAppCallable) -> Message:
    order = instruction(message)
    if order is not None and order.plan.round >= since:
        return Message(Error(ErrorCode.NODE_UNAVAILABLE, "out of reach"), reply_to=message)
    return call(message, context)


def instruction(message: Message) -> Instruction | None:
    """What a round of training asks; None for every other message."""
    record = message.content.config_records[RECORD]
    if message.metadata.message_type != "train" or "instruction" not in record:
        return None
    return from_bytes(Instruction, record["instruction"], sender="server")


def meant(harm: Harm, order: Instruction) -> bool:
    return (order.plan.device_id, order.plan.round) == harm
