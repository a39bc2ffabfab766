"""A ClientApp without torch, for tests of what carries its messages."""

import os
import signal
import time

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp


def make_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def count(message: Message, context: Context) -> Message:
        """Answers with who it is, and how many messages this node has had."""
        had = context.state.config_records.get("had", ConfigRecord({"count": 0}))
        context.state["had"] = ConfigRecord({"count": had["count"] + 1})
        answer = ConfigRecord({**context.node_config, "pid": os.getpid(), "had": had["count"] + 1})
        answer["threads"] = os.environ["OMP_NUM_THREADS"]
        answer["text"] = message.content["toy"]["text"]
        return Message(RecordDict({"toy": answer}), reply_to=message)

    @app.train("fail")
    def fail(message: Message, context: Context) -> Message:
        raise ValueError("the device\nis broken")

    @app.train("die")
    def die(message: Message, context: Context) -> Message:
        os.kill(os.getpid(), signal.SIGKILL)
        return message

    @app.train("sleep")
    def sleep(message: Message, context: Context) -> Message:
        time.sleep(600)
        return message

    @app.train("nothing")
    def nothing(message: Message, context: Context) -> None:
        return None

    return app


def make_broken_app() -> ClientApp:
    raise OSError("no such fleet")
