"""The last public bases on the server, and the cheapest way for a device to come to the newest one.

A device that holds one of them gets the encoded deltas since then (a chain), or the sum of them, exactly (a merged
delta); any other, and any for which that takes fewer bytes, the base itself (a snapshot).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fedtailor.protos.messages import Broadcast, Hop
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import State
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.codec.broadcast import broadcast_of, decode_hop, exact_hop, snapshot
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.exact import read_exact, write_exact
from fedtailor.strategies.codec.grid import moved_steps, rest_of
from fedtailor.strategies.codec.public_base import PublicBase, hopped

LONGEST = 64  # links: who missed more commits gets a snapshot
MARK_EVERY = 4  # commits; a context looks back over 4 to 7 of them


@dataclass(frozen=True, slots=True)
class Link:
    """One commit: the encoded delta from base `start` to it, and the same difference as `write_exact` writes it."""

    start: int
    hop: Hop
    difference: bytes


@dataclass(frozen=True, eq=False)
class Ring:
    """The newest public base and the links that lead to it, oldest first."""

    newest: PublicBase
    links: tuple[Link, ...] = ()
    _made: dict[int | None, Broadcast] = field(default_factory=dict, repr=False)

    def broadcast(self, held: int | None) -> Broadcast:
        """What brings a device from version `held` (None: nothing) to the newest base in the fewest bytes."""
        if held not in self._made:
            self._made[held] = min(self.ways(held).values(), key=lambda way: len(to_bytes(way)))
        return self._made[held]

    def ways(self, held: int | None) -> dict[str, Broadcast]:
        """Every way there is: `snapshot`, and for a device that holds a base of this ring `chain` and `merged`."""
        since = self._since(held)
        if since is None:
            return {"snapshot": self._snapshot}
        chain, merged = tuple(link.hop for link in since), self._merged(since)
        return {
            "chain": broadcast_of(self.newest, held, chain),
            "merged": broadcast_of(self.newest, held, merged),
            "snapshot": self._snapshot,
        }

    @cached_property
    def _snapshot(self) -> Broadcast:
        return snapshot(self.newest)

    def _since(self, held: int | None) -> tuple[Link, ...] | None:
        """The links after version `held`; None where they do not reach back to it."""
        if held == self.newest.version:
            return ()
        at = next((at for at, link in enumerate(self.links) if link.start == held), None)
        return None if at is None else self.links[at:]

    def _merged(self, since: tuple[Link, ...]) -> tuple[Hop, ...]:
        """The sum of the links, but for stops at the newest base's marks, which a device must know."""
        stops = [mark.version for mark in self.newest.marks] + [self.newest.version]
        hops: list[Hop] = []
        total = np.zeros(self.newest.schema.size, np.int64)
        for link in since:
            total += read_exact(link.difference, self.newest.schema)
            if link.hop.version in stops:
                hops.append(exact_hop(self.newest, link.hop.version, total))
                total = np.zeros_like(total)
        return tuple(hops)


def extended(ring: Ring, private: State, version: int, downlink: CodecSpec, rng: np.random.Generator) -> Ring:
    """The ring after a commit: what `downlink` can say of the way to `private` becomes public, the rest stays private.

    Raises:
        PlanError: the codec is unknown, or a value leaves the public base's grid.
    """
    base, coder = ring.newest, coder_of(downlink)
    encoded = coder.encode(rest_of(private, base.steps), base.context, rng)
    hop = Hop(
        version=version,
        marks=_commits_since(ring, base.marks[1].version) + 1 == MARK_EVERY,
        exact=False,
        scales=tuple(np.asarray(encoded.scales, np.float32).tolist()),
        payload=encoded.payload,
    )
    steps = moved_steps(base.steps, decode_hop(hop, base.context, coder), base.schema)
    newest = hopped(base, version, steps, marks=hop.marks)
    link = Link(base.version, hop, write_exact(newest.difference_to(base.steps), base.schema))
    return replace(ring, newest=newest, links=(*ring.links, link)[-LONGEST:], _made={})


def _commits_since(ring: Ring, version: int) -> int:
    return sum(link.hop.version > version for link in ring.links)
