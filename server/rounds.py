"""Ask many devices at once and take each reply as it comes: a deadline, and never more than one reply in memory.

Flower's own `send_and_receive` collects a whole cohort first; this loop owns `push_messages` and `pull_messages`.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import InflatableObject

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.server.problem import Problem, one_line

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.5
DIGITS = 6  # of seconds: microseconds are the same wherever on the clock an exchange begins, so when a run goes on
_RAISED = re.compile(r"<class '(?:[\w.]+\.)?(\w+)'>:<['\"](.*)['\"]>", re.DOTALL)  # how Flower writes an exception


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the loops see it; tests and simulations give their own. `wall_now` is what a user's clock shows.

    sleep: returns after so many seconds or before. longest_pause_s: between two looks for replies.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    wall_now: Callable[[], float] = time.monotonic
    longest_pause_s: float = LONGEST_PAUSE_S


CLOCK = Clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What all devices of one exchange are asked: Flower's message type, the round, and how long they have.

    Who has not answered once `enough` have is late; None waits for all.
    """

    message_type: str
    round: int
    deadline_s: float
    enough: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Ask:
    """One device's message; `content` is its own, never shared with another device."""

    device_id: str
    node_id: int
    content: RecordDict


@dataclass(frozen=True, eq=False, slots=True)
class Arrival:
    """One device's reply; `seconds` after its message was sent, None where nobody saw it come."""

    device_id: str
    reply: Message
    seconds: float | None = None


@dataclass(slots=True)
class Traffic:
    """Bytes on the wire with one device; `answered` once its reply was accepted, `refused` if either side could not use
    what the other sent. It was waited for `seconds`, until it replied or nobody waited any more.
    """

    downlink_bytes: int = 0
    uplink_bytes: int = 0
    answered: bool = False
    refused: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of it, by device id in the order asked."""

    traffic: dict[str, Traffic] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def answered(self) -> tuple[str, ...]:
        return tuple(device_id for device_id, traffic in self.traffic.items() if traffic.answered)

    def of(self, device_id: str) -> Traffic:
        return self.traffic.setdefault(device_id, Traffic())

    def add(self, other: "Exchange") -> None:
        """What came of another one, with the same or other devices."""
        for device_id, traffic in other.traffic.items():
            mine = self.of(device_id)
            mine.downlink_bytes += traffic.downlink_bytes
            mine.uplink_bytes += traffic.uplink_bytes
            mine.answered |= traffic.answered
            mine.refused |= traffic.refused
            mine.seconds = mine.seconds if traffic.seconds is None else traffic.seconds
        self.problems.extend(other.problems)

    def note(self, device_id: str | None, line: str) -> None:
        self.problems.append(Problem(device_id, one_line(line)))


Receive = Callable[[str, RecordDict], None]


class Mailbox:
    """Messages on their way, each until it is answered or its own deadline has passed; `found` is told what happens."""

    def __init__(self, grid: Grid, clock: Clock) -> None:
        self._grid = grid
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._sent: dict[str, _Sent] = {}
        self._settled: dict[str, str] = {}

    @property
    def devices(self) -> set[str]:
        """Those that are still to answer."""
        return {sent.device_id for sent in self._sent.values()}

    def send(self, ask: Ask, call: Call, found: Exchange) -> bool:
        """Whether the message is on its way."""
        message = Message(ask.content, ask.node_id, call.message_type, ttl=call.deadline_s, group_id=str(call.round))
        found.of(ask.device_id).downlink_bytes += wire_bytes(ask.content)
        for message_id in self._grid.push_messages([message]):
            if message_id:
                self._sent[message_id] = _Sent(ask.device_id, call, self._clock.now())
                return True
        found.note(ask.device_id, f"{_about(ask.device_id, call)}: the message could not be sent; is it connected?")
        return False

    def replies(self, found: Exchange) -> Iterator[Arrival]:
        """The replies that have come; where there are none, it rests for a moment."""
        come = 0
        for reply in self._grid.pull_messages(list(self._sent)):
            come += 1
            message_id = reply.metadata.reply_to_message_id
            if message_id in self._sent:
                sent = self._sent.pop(message_id)
                self._settled[message_id] = sent.device_id
                yield Arrival(sent.device_id, reply, round(self._clock.now() - sent.at_s, DIGITS))
            else:
                _note_stray(reply, self._settled.get(message_id), found)
        self._give_up(found)
        longest_s = self._clock.longest_pause_s
        self._pause_s = FIRST_PAUSE_S if come else min(2 * self._pause_s, longest_s)
        if self._sent and not come:
            left_s = min(sent.end_s for sent in self._sent.values()) - self._clock.now()
            self._clock.sleep(min(self._pause_s, left_s))

    def _give_up(self, found: Exchange) -> None:
        now_s = self._clock.now()
        for message_id, sent in list(self._sent.items()):
            if sent.end_s <= now_s:
                del self._sent[message_id]
                about = _about(sent.device_id, sent.call)
                found.of(sent.device_id).seconds = sent.call.deadline_s
                found.note(sent.device_id, f"{about}: no answer within {sent.call.deadline_s:g} s")

    def close(self, found: Exchange) -> None:
        """Wait for nobody any more."""
        now_s = self._clock.now()
        for sent in sorted(self._sent.values(), key=lambda sent: sent.device_id):
            _note_late(sent.device_id, sent.call, now_s - sent.at_s, found)
        self._sent.clear()


@dataclass(frozen=True, slots=True)
class _Sent:
    device_id: str
    call: Call
    at_s: float

    @property
    def end_s(self) -> float:
        return self.at_s + self.call.deadline_s


def exchange(grid: Grid, asks: Iterable[Ask], call: Call, receive: Receive, *, clock: Clock = CLOCK) -> Exchange:
    """Send every ask, hand each reply to `receive`, and return when enough have answered or the deadline has passed.

    A reply that `receive` refuses with a DecodeError or PlanError, an Error reply, a duplicate, a stranger's reply,
    silence and a late reply each become one problem line; the exchange goes on. A late one is not looked at, so its
    device keeps what it has sent in its residual.
    """
    found, box = Exchange(), Mailbox(grid, clock)
    for ask in asks:  # one at a time, so that the contents of a whole cohort never lie in memory
        box.send(ask, call, found)
    while box.devices and not _enough(call, found):
        for arrival in box.replies(found):
            if _enough(call, found):
                _note_late(arrival.device_id, call, arrival.seconds, found)
            else:
                accept(arrival, call, receive, found)
    box.close(found)
    return found


def _enough(call: Call, found: Exchange) -> bool:
    return call.enough is not None and len(found.answered) >= call.enough


def _note_late(device_id: str, call: Call, waited_s: float | None, found: Exchange) -> None:
    found.of(device_id).seconds = None if waited_s is None else round(waited_s, DIGITS)
    found.note(device_id, f"{_about(device_id, call)}: late, {call.enough} others had answered")


def accept(arrival: Arrival, call: Call, receive: Receive, found: Exchange) -> None:
    """Account for one device's reply: its bytes and seconds, and a problem line where it is an error or `receive`
    refuses it.
    """
    device_id, reply = arrival.device_id, arrival.reply
    about, traffic = _about(device_id, call), found.of(device_id)
    traffic.seconds = arrival.seconds
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


def _note_stray(reply: Message, device_id: str | None, found: Exchange) -> None:
    about = f"device {device_id}, {reply.metadata.message_type}" if device_id else f"node {reply.metadata.src_node_id}"
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
