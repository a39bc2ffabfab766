"""Ask many devices at once and take each reply as it comes: a deadline, and never more than one reply in memory.

Flower's own `send_and_receive` collects a whole cohort first; this loop owns `push_messages` and `pull_messages`.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import InflatableObject

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.server.problem import Problem, one_line

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.5
_RAISED = re.compile(r"<class '(?:[\w.]+\.)?(\w+)'>:<['\"](.*)['\"]>", re.DOTALL)  # how Flower writes an exception


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the loop sees it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What all devices of one exchange are asked: Flower's message type, the round, and how long they have."""

    message_type: str
    round: int
    deadline_s: float


@dataclass(frozen=True, eq=False, slots=True)
class Ask:
    """One device's message; `content` is its own, never shared with another device."""

    device_id: str
    node_id: int
    content: RecordDict


@dataclass(slots=True)
class Traffic:
    """Bytes on the wire with one device; `answered` once its reply was accepted, `refused` if either side could not use
    what the other sent.
    """

    downlink_bytes: int = 0
    uplink_bytes: int = 0
    answered: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of it, by device id in the order asked."""

    traffic: dict[str, Traffic] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def answered(self) -> tuple[str, ...]:
        return tuple(device_id for device_id, traffic in self.traffic.items() if traffic.answered)

    def note(self, device_id: str | None, line: str) -> None:
        self.problems.append(Problem(device_id, one_line(line)))


Receive = Callable[[str, RecordDict], None]


def exchange(grid: Grid, asks: Iterable[Ask], call: Call, receive: Receive, *, clock: Clock = CLOCK) -> Exchange:
    """Send every ask, hand each reply to `receive`, and return when all have answered or the deadline has passed.

    A reply that `receive` refuses with a DecodeError or PlanError, an Error reply, a duplicate, a stranger's reply and
    silence each become one problem line; the exchange goes on.
    """
    end = clock.now() + call.deadline_s
    found = Exchange()
    pending = _push(grid, asks, call, found)
    settled: dict[str, str] = {}
    pause = FIRST_PAUSE_S
    while pending:
        replies = 0
        for reply in grid.pull_messages(list(pending)):
            replies += 1
            message_id = reply.metadata.reply_to_message_id
            if message_id in pending:
                settled[message_id] = pending.pop(message_id)
                accept(reply, settled[message_id], call, receive, found)
            else:
                _note_stray(reply, settled.get(message_id), call, found)
        left = end - clock.now()
        if left <= 0:
            break
        pause = FIRST_PAUSE_S if replies else min(2 * pause, LONGEST_PAUSE_S)
        if pending and not replies:
            clock.sleep(min(pause, left))
    for device_id in pending.values():
        found.note(device_id, f"{_about(device_id, call)}: no answer within {call.deadline_s:g} s")
    return found


def accept(reply: Message, device_id: str, call: Call, receive: Receive, found: Exchange) -> None:
    """Account for one device's reply: its bytes, and a problem line where it is an error or `receive` refuses it."""
    about, traffic = _about(device_id, call), found.traffic[device_id]
    if reply.has_error():
        traffic.refused = reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
        found.note(device_id, _blamed(about, device_id, _reason(reply.error.reason)))
        return
    traffic.uplink_bytes += wire_bytes(reply.content)
    try:
        receive(device_id, reply.content)
    except (DecodeError, PlanError) as error:  # the device's fault; a RegistryError is ours and ends the run
        traffic.refused = True
        found.note(device_id, _blamed(about, device_id, str(error)))
    else:
        traffic.answered = True


def _blamed(about: str, device_id: str, line: str) -> str:
    return line if f"device {device_id}" in line else f"{about}: {line}"


def wire_bytes(item: InflatableObject) -> int:
    """Bytes of a message's content as Flower sends it: every record is an object of its own."""
    return len(item.deflate()) + sum(wire_bytes(child) for child in (item.children or {}).values())


def _push(grid: Grid, asks: Iterable[Ask], call: Call, found: Exchange) -> dict[str, str]:
    """One message at a time, so that the contents of a whole cohort never lie in memory."""
    pending: dict[str, str] = {}
    for ask in asks:
        message = Message(ask.content, ask.node_id, call.message_type, ttl=call.deadline_s, group_id=str(call.round))
        found.traffic[ask.device_id] = Traffic(downlink_bytes=wire_bytes(ask.content))
        sent = [message_id for message_id in grid.push_messages([message]) if message_id]
        if sent:
            pending[sent[0]] = ask.device_id
        else:
            found.note(ask.device_id, f"{_about(ask.device_id, call)}: the message could not be sent; is it connected?")
    return pending


def _note_stray(reply: Message, device_id: str | None, call: Call, found: Exchange) -> None:
    about = _about(device_id, call) if device_id else f"node {reply.metadata.src_node_id}"
    found.note(device_id, f"{about}: {'answered twice' if device_id else 'answered what nobody waits for'}; ignored")


def _about(device_id: str, call: Call) -> str:
    return f"device {device_id}, {call.message_type}"


def _reason(reason: str | None) -> str:
    """What a device says went wrong: the exception as Flower wraps it, or the last line of what came."""
    text = (reason or "failed without a reason").strip()
    raised = _RAISED.search(text)
    if raised:
        return f"{raised[1]}: {raised[2]}"
    return text.splitlines()[-1]
