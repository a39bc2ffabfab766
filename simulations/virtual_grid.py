"""A Grid on virtual time: replies to training arrive when the simulated devices would have sent them.

Only once every device that trains has been computed is it known whose reply is first; until then none is handed out.
So the same server loop, with its deadline, gives equal results for equal seeds, however busy this machine is.
"""

import time
from collections.abc import Iterable
from math import inf

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, HEARTBEAT_PATIENCE, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedtailor.server.rounds import Clock
from fedtailor.simulations.timeline import Timeline

VIRTUAL = "fedtailor.virtual"  # the record of a reply that says how long it took; never seen by the server
TOOK_S = "took_s"
# A device that drops out sends nothing. A SuperLink notices when its heartbeats stay away, and answers in its place.
NOTICED_S = float(HEARTBEAT_PATIENCE * HEARTBEAT_DEFAULT_INTERVAL)
POLL_S = 0.002


def stamp(reply: Message, took_s: float) -> Message:
    """The reply of a device that takes so many virtual seconds from the server's message to its answer."""
    reply.content[VIRTUAL] = ConfigRecord({TOOK_S: took_s})
    return reply


class VirtualGrid(Grid):
    """`grid`, whose devices stamp their replies to `train`; `clock` is the server's.

    Every other message is answered outside virtual time, as soon as it is computed. An Error reply takes no time,
    except that of a device that cannot be reached: the SuperLink's heartbeats.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._timeline = Timeline()
        self._prompt: set[str] = set()  # messages outside virtual time that are not answered yet
        self._held: dict[str, Message] = {}
        self.clock = Clock(now=lambda: self._timeline.now_s, sleep=self._sleep, longest_pause_s=inf)

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have arrived by now; those to training once all that train are computed."""
        asked = list(message_ids)
        timed = [each for each in asked if each not in self._prompt]
        prompt = list(self._grid.pull_messages([each for each in asked if each in self._prompt]))
        self._prompt -= {reply.metadata.reply_to_message_id for reply in prompt}
        if timed:
            self._compute()
        return [*prompt, *(self._held.pop(each) for each in self._timeline.arrived(timed))]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        missing = set(self.push_messages(messages))
        end_s = inf if timeout is None else self.clock.now() + timeout
        replies: list[Message] = []
        while missing and (left_s := end_s - self.clock.now()) > 0:
            come = list(self.pull_messages(missing))
            missing -= {reply.metadata.reply_to_message_id for reply in come}
            replies += come
            if missing and not come:
                self._sleep(left_s)
        return replies

    def _push(self, message: Message) -> str:
        (message_id,) = self._grid.push_messages([message])
        if not message_id:
            return message_id
        if message.metadata.message_type == MessageType.TRAIN:
            self._timeline.send(message_id, message.metadata.dst_node_id, message.metadata.ttl)
        else:
            self._prompt.add(message_id)
        return message_id

    def _compute(self) -> None:
        """Wait until it is known of every device that trains how long it takes."""
        while computing := self._timeline.computing:
            come = list(self._grid.pull_messages(computing))
            for reply in come:
                message_id = reply.metadata.reply_to_message_id
                if self._timeline.finish(message_id, _took_s(reply)):
                    self._held[message_id] = reply
            if not come:
                time.sleep(POLL_S)

    def _sleep(self, seconds: float) -> None:
        """Virtual time passes, but not while the server waits for an answer outside it."""
        if self._prompt:
            time.sleep(min(seconds, POLL_S))
        else:
            self._compute()
            self._timeline.advance(seconds)


def _took_s(reply: Message) -> float:
    """Takes the stamp off."""
    if reply.has_error():
        return NOTICED_S if reply.error.code == ErrorCode.NODE_UNAVAILABLE else 0.0
    record = reply.content.config_records.pop(VIRTUAL, None)
    return float(record[TOOK_S]) if record is not None else 0.0  # type: ignore[arg-type]
