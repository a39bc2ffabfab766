"""The Flower ClientApp: one handler a message, each a call of one function.

A deployed SuperNode starts a new process per message, so what is heavy is imported by the handler that needs it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from fedtailor.client.device import Device
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import RECORD, Instruction
from fedtailor.protos.wire import from_bytes, to_bytes

OpenDevice = Callable[[Context, int | None], Device]  # the device as it is in a round; None: that is not known


def client_app(open_device: OpenDevice, mods: Sequence[Mod] = ()) -> ClientApp:
    """The app of one device, wherever it runs.

    Answers `query.profile` (of a device under way: with an instruction), `train`, `train.tailor` and `evaluate`; a
    failure becomes Flower's `Error` reply.
    """
    app = ClientApp(mods=list(mods))

    @app.query("profile")
    def profile(message: Message, context: Context) -> Message:
        device = open_device(context, _round(message))
        if message.content.config_records.get(RECORD):
            from fedtailor.client.reprofile import reprofile_device

            return _reply(message, "profile", reprofile_device(device, _instruction(message, device)))
        from fedtailor.client.profile import profile_device

        return _reply(message, "profile", profile_device(device, _round(message) or 0))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        from fedtailor.client.learn import learn

        device = open_device(context, _round(message))
        return _reply(message, "train", learn(device, _instruction(message, device)))

    @app.train("tailor")
    def tailor(message: Message, context: Context) -> Message:
        from fedtailor.client.offer import offer_variants

        device = open_device(context, _round(message))
        return _reply(message, "tailor", offer_variants(device, _instruction(message, device)))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        from fedtailor.client.deploy import deploy

        device = open_device(context, _round(message))
        return _reply(message, "evaluate", deploy(device, _instruction(message, device)))

    return app


def _round(message: Message) -> int | None:
    """The server writes it where Flower's own strategies write it."""
    group = message.metadata.group_id
    return int(group) if group.isdecimal() else None


def _instruction(message: Message, device: Device) -> Instruction:
    record = message.content.config_records.get(RECORD)
    data = record.get("instruction") if record is not None else None
    if not isinstance(data, bytes):
        raise DecodeError(f"server: the message has no bytes under {RECORD}.instruction; update the older side")
    instruction = from_bytes(Instruction, data, sender="server")
    if instruction.plan.device_id != device.device_id:
        raise DecodeError(
            f"server: the plan is for device {instruction.plan.device_id!r}, this is {device.device_id!r}; "
            "give every device an id of its own"
        )
    return instruction


def _reply(message: Message, name: str, noun: Any) -> Message:
    return Message(RecordDict({RECORD: ConfigRecord({name: to_bytes(noun)})}), reply_to=message)
