"""fedtailor's ClientApp: a device of its own where the SuperNode was given `data`, else one of a simulated fleet."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch can load and read it: small nets are slower on several

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedtailor.client.app import client_app
from fedtailor.client.deployed import deployed_device


class EitherApp(ClientApp):
    """Imports the simulation only where there is one: a deployed node starts a new process for every message."""

    def __call__(self, message: Message, context: Context) -> Message:
        if "data" in context.node_config:
            return client_app(deployed_device)(message, context)
        from fedtailor.simulations.app import simulated_app

        return simulated_app()(message, context)


app = EitherApp()
