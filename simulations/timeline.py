"""Virtual time: which reply arrives when, whatever the order in which this machine computes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class _Sent:
    order: int
    node: int
    at_s: float
    ttl_s: float


class Timeline:
    """Messages to nodes and the virtual times at which their replies arrive; `now_s` begins at 0.

    A node carries out one message at a time, in the order sent. It gives up one whose time to live has passed: a
    SuperLink would refuse the reply.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._order = count()
        self._sent: dict[str, _Sent] = {}
        self._free_s: dict[int, float] = {}
        self._arrivals: dict[str, tuple[float, int]] = {}

    @property
    def computing(self) -> list[str]:
        """Messages whose duration is not known yet, as sent."""
        return list(self._sent)

    def send(self, message_id: str, node: int, ttl_s: float) -> None:
        self._sent[message_id] = _Sent(next(self._order), node, self.now_s, ttl_s)

    def finish(self, message_id: str, took_s: float) -> bool:
        """The node is found to take so long; False: its reply never arrives. For each node, in the order sent."""
        sent = self._sent.pop(message_id)
        waited_s = max(0.0, self._free_s.get(sent.node, 0.0) - sent.at_s)
        busy_s = max(waited_s, min(waited_s + took_s, sent.ttl_s))
        self._free_s[sent.node] = sent.at_s + busy_s
        if waited_s + took_s > sent.ttl_s:
            return False
        self._arrivals[message_id] = (sent.at_s + busy_s, sent.order)
        return True

    def arrived(self, message_ids: Iterable[str]) -> list[str]:
        """Those whose reply has arrived by now, each once: the earliest first, then as sent."""
        due = [each for each in message_ids if each in self._arrivals and self._arrivals[each][0] <= self.now_s]
        return sorted(due, key=self._arrivals.pop)

    def advance(self, seconds: float) -> None:
        """By so much, or to the next arrival if that is sooner."""
        next_s = min((at_s for at_s, _ in self._arrivals.values() if at_s > self.now_s), default=float("inf"))
        self.now_s = min(self.now_s + seconds, next_s)
