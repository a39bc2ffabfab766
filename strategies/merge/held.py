"""Replies that are held whole until the round ends, for aggregates that must compare them.

Memory grows with the cohort: 4 bytes a coordinate and reply, or 12 a coordinate that was sent. Weights are not used: a
device's own word for how much it counts is no word to trust where some are hostile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.merge.arrival import check_sparse, checked_weight, dense_parts, share_within
from fedtailor.strategies.merge.sparse import Kept, Sparse
from fedtailor.strategies.merge.step import Step

BLOCK = 4_096  # coordinates that are compared at a time


@dataclass(frozen=True, eq=False, slots=True)
class Reply:
    """One device's delta. said: dense float32 [n], or sparse. kept: bool [n], None covers all; 0 outside it."""

    sender: str
    said: Floats | Sparse
    kept: Kept | None

    def values(self, low: int, high: int) -> Floats:
        """The delta of coordinates `low` to `high` - 1."""
        if not isinstance(self.said, Sparse):
            return self.said[low:high]
        first, last = np.searchsorted(self.said.positions, (low, high))
        dense = np.zeros(high - low, np.float32)
        dense[self.said.positions[first:last] - low] = self.said.values[first:last]
        return dense

    def covered(self, low: int, high: int) -> Kept:
        """Which of them it covers."""
        return np.ones(high - low, np.bool_) if self.kept is None else self.kept[low:high]


Combine = Callable[[Sequence[Reply], Schema, float], Step]  # the last is kappa


class Held:
    """An aggregate that leaves everything to `combine`, a pure function of all replies, in no particular order."""

    def __init__(self, combine: Combine, schema: Schema, *, max_norm: float = 0.0) -> None:
        self._combine = combine
        self._schema = schema
        self._max_norm = max_norm
        self._replies: list[Reply] = []

    @property
    def folded(self) -> int:
        return len(self._replies)

    def fold(
        self, deltas: Sequence[Floats], weight: float, *, sender: str, masks: Sequence[Kept | None] | None = None
    ) -> None:
        """As `Aggregate.fold`."""
        checked_weight(weight)
        parts = dense_parts(deltas, masks, self._schema, sender)
        share = np.float32(share_within(parts, self._max_norm))
        said = [np.zeros(0, np.float32), *(flat if kept is None else flat * kept for flat, kept in parts)]
        covered = [np.ones(flat.size, np.bool_) if kept is None else kept for flat, kept in parts]
        masked = any(kept is not None for _, kept in parts)
        reply = Reply(sender, np.concatenate(said) * share, np.concatenate(covered) if masked else None)
        self._replies.append(reply)

    def fold_sparse(self, update: Sparse, weight: float, *, sender: str, mask: Kept | None = None) -> None:
        """As `Aggregate.fold_sparse`."""
        checked_weight(weight)
        check_sparse(update, mask, self._schema, sender)
        values = update.values if mask is None else update.values * mask[update.positions]
        share = np.float32(share_within([(values, None)], self._max_norm))
        self._replies.append(Reply(sender, Sparse(update.positions, values * share), mask))

    def mean(self, kappa: float = 0.0) -> Step:
        """As `Aggregate.mean`."""
        return self._combine(self._replies, self._schema, kappa)


def most_hostile(share: float, replies: int) -> int:
    """How many of so many replies may be hostile: the share, rounded up."""
    return ceil(share * replies - 1e-9)  # 0.1 · 30 is above 3 in floating point


def check_share(share: float) -> None:
    """
    Raises:
        ValueError: half of the replies or more are said to be hostile.
    """
    if not 0 <= share < 0.5:
        raise ValueError(f"hostile must be at least 0 and below 0.5 of the replies, got {share:g}")
