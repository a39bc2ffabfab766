"""Flower's Grid in this process: the same ServerApp and ClientApp, without a network.

Node i of the fleet has the same node id in every run; its messages are carried out in the order they were pushed,
and its context outlives each of them, as on a SuperNode. A message's time to live is not looked at: who is late is
decided in virtual time (`virtual_grid.py`), never by how busy this machine is.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from itertools import count

from flwr.app import Context, Message, RecordDict, UserConfig
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import context_to_proto, message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedtailor.simulations.workers import Parcel, Workers

RUN_ID = 1
FIRST_NODE_ID = SUPERLINK_NODE_ID + 1
POLL_S = 0.01


class InProcessGrid(Grid):
    """`nodes` simulated SuperNodes behind `workers`; replies can be pulled as soon as each is finished."""

    def __init__(self, workers: Workers, *, nodes: int, run_config: UserConfig) -> None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = RUN_ID, RUN_ID, SUPERLINK_NODE_ID
        self._workers = workers
        self._run = Run.create_empty(RUN_ID)
        self._ids = count(1)
        self._lock = threading.Lock()
        self._contexts = {FIRST_NODE_ID + i: _context(i, nodes, run_config) for i in range(nodes)}
        self._waiting: dict[int, deque[bytes]] = {node: deque() for node in self._contexts}
        self._replies: dict[str, bytes] = {}

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand each message to its node and return at once.

        Raises:
            ValueError: A message is for a node that this grid does not have; the ones before it are on their way.
        """
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have come by now, each once."""
        with self._lock:
            come = [self._replies.pop(each) for each in message_ids if each in self._replies]
        return [message_from_proto(MessageProto.FromString(reply)) for reply in come]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        missing = set(self.push_messages(messages))
        end = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while missing and (end is None or time.monotonic() < end):
            come = list(self.pull_messages(missing))
            missing -= {reply.metadata.reply_to_message_id for reply in come}
            replies += come
            if missing and not come:
                time.sleep(POLL_S)
        return replies

    def _push(self, message: Message) -> str:
        node = message.metadata.dst_node_id
        if node not in self._waiting:
            last = FIRST_NODE_ID + len(self._waiting) - 1
            raise ValueError(f"message for node {node}: this grid has the nodes {FIRST_NODE_ID} to {last}")
        message_id = str(next(self._ids))
        message.metadata.__dict__["_message_id"] = message_id  # Flower offers no setter; its own grids do the same
        with self._lock:
            queue = self._waiting[node]
            queue.append(message_to_proto(message).SerializeToString())
            free = len(queue) == 1
        if free:
            self._start(node)
        return message_id

    def _start(self, node: int) -> None:
        """A node carries out one message at a time: its context and its store have one writer."""
        parcel = Parcel(self._waiting[node][0], self._contexts[node])
        self._workers.submit(parcel).add_done_callback(lambda done: self._finish(node, done))

    def _finish(self, node: int, done: Future[Parcel]) -> None:
        if done.cancelled() or done.exception():  # only when the workers are being closed: nobody waits any more
            return
        reply = done.result()
        reply_to = MessageProto.FromString(reply.message).metadata.reply_to_message_id
        with self._lock:
            self._contexts[node] = reply.context
            self._replies[reply_to] = reply.message
            self._waiting[node].popleft()
            more = bool(self._waiting[node])
        if more:
            self._start(node)


def _context(partition: int, partitions: int, run_config: UserConfig) -> bytes:
    node_config: UserConfig = {"partition-id": partition, "num-partitions": partitions}
    context = Context(RUN_ID, FIRST_NODE_ID + partition, node_config, RecordDict(), run_config)
    return context_to_proto(context).SerializeToString()
