"""Streaming, coverage-normalised mean of deltas: live memory is one or two vectors, whatever the cohort.

For coordinate j over devices i with weight a_i, mask m_ij and delta Δ_ij (DESIGN, section 3; the normalisation by
coverage follows HeteroFL, Diao et al. 2021, arXiv:2010.01264, in delta space):

    C_j = Σ a_i m_ij    A = Σ a_i    mean_j = min(1, C_j / (κ A)) · Σ a_i m_ij Δ_ij / C_j

With a_i = n_i / p_i, p_i the probability with which device i was asked, both sums are Horvitz and Thompson's: over all
cohorts that might have been asked, they expect exactly the sums of the whole fleet. Their ratio is Hájek's: it expects
the fleet's where C_j is the same in every cohort (full masks, devices of equal size drawn alike); elsewhere it is off,
by less and less as cohorts grow.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.protos.schema import Doubles, Floats, Schema
from fedtailor.strategies.merge.aggregate import MakeAggregate, register
from fedtailor.strategies.merge.arrival import CHUNK, check_sparse, checked_weight, dense_parts, share_within
from fedtailor.strategies.merge.sparse import Kept, Sparse
from fedtailor.strategies.merge.step import Step
from fedtailor.strategies.named import Named

# Contributions are rounded to multiples of 2^-30, so their float64 sums are exact below 2^23 and the mean is the same
# bits in whatever order replies arrive, dense or sparse.
GRID = 2.0**30


class Merge:
    """The sums of one round. `max_norm` above 0 scales a larger update down to that L2 norm."""

    def __init__(self, schema: Schema, *, max_norm: float = 0.0) -> None:
        self._schema = schema
        self._max_norm = max_norm
        self._sums: Doubles = np.zeros(schema.size)
        self._scratch: Doubles = np.empty((3, min(CHUNK, schema.size)))
        self._reached: Doubles | None = None  # weight of masked replies by coordinate; None while there was none
        self._masked_weight = 0.0
        self.weight = 0.0
        self.folded = 0

    def fold(
        self, deltas: Sequence[Floats], weight: float, *, sender: str, masks: Sequence[Kept | None] | None = None
    ) -> None:
        """As `Aggregate.fold`."""
        weight = checked_weight(weight)
        parts = dense_parts(deltas, masks, self._schema, sender)
        share = share_within(parts, self._max_norm)
        masked, start = any(kept is not None for _, kept in parts), 0
        for flat, kept in parts:
            mask = np.ones(flat.size, np.bool_) if masked and kept is None else kept
            self._add(flat, mask, start, weight, share)
            start += flat.size
        self._count(weight, masked=masked)

    def fold_sparse(self, update: Sparse, weight: float, *, sender: str, mask: Kept | None = None) -> None:
        """As `Aggregate.fold_sparse`; without a mask, the time it takes is in proportion to what was sent."""
        weight = checked_weight(weight)
        check_sparse(update, mask, self._schema, sender)
        positions, values = update.positions, update.values
        if mask is not None:
            values = values * mask[positions]
            for low in range(0, mask.size, CHUNK):
                self._reach(mask[low : low + CHUNK], low, weight)
        share = share_within([(values, None)], self._max_norm)
        scaled = values.astype(np.float64)
        scaled *= weight * share * GRID
        np.add.at(self._sums, positions, np.rint(scaled, out=scaled))
        self._count(weight, masked=mask is not None)

    def mean(self, kappa: float = 0.0) -> Step:
        """As `Aggregate.mean`."""
        if self._reached is None and self.weight > 0:
            values = self._sums / max(self.weight, kappa * self.weight)
            return Step(np.divide(values, GRID, out=values))
        reached = np.zeros(self._schema.size) if self._reached is None else self._reached
        weights = reached + (self.weight - self._masked_weight)
        covered = weights > 0
        np.maximum(weights, kappa * self.weight, out=weights)  # S / C · min(1, C / (κ A)) is S / max(C, κ A)
        values = np.divide(self._sums, weights, out=np.zeros(self._schema.size), where=covered)
        return Step(np.divide(values, GRID, out=values), covered)

    def _add(self, flat: Floats, kept: Kept | None, start: int, weight: float, share: float) -> None:
        factor = weight * share * GRID
        for low in range(0, flat.size, CHUNK):
            part = flat[low : low + CHUNK]
            scaled = self._scratch[0, : part.size]
            scaled[:] = part
            scaled *= factor
            np.rint(scaled, out=scaled)
            if kept is not None:
                scaled *= self._reach(kept[low : low + CHUNK], start + low, weight)
            sums = self._sums[start + low : start + low + part.size]
            np.add(sums, scaled, out=sums)

    def _reach(self, kept: Kept, start: int, weight: float) -> Doubles:
        """Count the weight where a chunk is covered. Returns 1 there and 0 elsewhere, until the next call."""
        if self._reached is None:
            self._reached = np.zeros(self._schema.size)
        ones, weights = self._scratch[1, : kept.size], self._scratch[2, : kept.size]
        ones[:] = kept
        reached = self._reached[start : start + kept.size]
        np.add(reached, np.multiply(ones, weight, out=weights), out=reached)
        return ones

    def _count(self, weight: float, *, masked: bool) -> None:
        self.weight += weight
        self._masked_weight += weight if masked else 0.0
        self.folded += 1


def mean(_: Mapping[str, float]) -> MakeAggregate:
    """The streaming mean, without parameters."""
    return Merge


MEAN = register(Named(name="mean", version=1, defaults={}, make=mean))
