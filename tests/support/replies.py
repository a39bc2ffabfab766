"""Cohorts of made-up replies for the merge."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.flat import dense, unflatten
from fedtailor.strategies.merge.sparse import Sparse

SCHEMA = Schema(("w", "none", "b"), ((3, 4), (0,), (4,)))


@dataclass(frozen=True, eq=False)
class Said:
    """One device's reply: a sparse delta, and what it covers [schema.size]; None: all."""

    sender: str
    update: Sparse
    weight: float
    mask: np.ndarray | None = None

    @property
    def flat(self) -> np.ndarray:
        """The delta as the base sees it: 0 outside the mask."""
        values = np.concatenate([tensor.ravel() for tensor in dense(self.update, SCHEMA)])
        return values if self.mask is None else np.where(self.mask, values, np.float32(0))


def fold_dense(aggregate, said):
    masks = None if said.mask is None else unflatten(said.mask, SCHEMA)
    aggregate.fold(dense(said.update, SCHEMA), said.weight, sender=said.sender, masks=masks)


def fold_sparse(aggregate, said):
    aggregate.fold_sparse(said.update, said.weight, sender=said.sender, mask=said.mask)


@st.composite
def cohorts(draw, *, least=1, most=6, masked=False):
    """Replies whose values spread over six orders of magnitude; `masked`: over random masks, some of nothing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def said(at):
        positions = np.flatnonzero(rng.random(SCHEMA.size) < rng.choice([0.0, 0.3, 1.0], p=[0.1, 0.4, 0.5]))
        values = (rng.normal(size=positions.size) * 10.0 ** rng.uniform(-5, 1, positions.size)).astype(np.float32)
        mask = rng.random(SCHEMA.size) < rng.choice([0.0, 0.2, 0.8, 1.0]) if masked else None
        weight = float(rng.integers(1, 1000)) / rng.choice([1.0, 0.3])
        return Said(f"device {at}", Sparse(positions, values), weight, mask)

    return [said(at) for at in range(draw(st.integers(least, most)))]
