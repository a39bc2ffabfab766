"""Streaming, coverage-normalised merge of deltas: live memory is one accumulator, whatever the cohort.

For coordinate j over devices i with weight a_i, mask m_ij and delta Δ_ij (DESIGN, section 3; the normalisation by
coverage follows HeteroFL, Diao et al. 2021, arXiv:2010.01264, in delta space):

    C_j = Σ a_i m_ij    A = Σ a_i
    C_j = 0: base_j stays bit for bit;  else base_j += η · min(1, C_j / (κ A)) · Σ a_i m_ij Δ_ij / C_j + β · v_j

v is the last change of the base: heavy-ball momentum on the server (Hsu et al. 2019, arXiv:1909.06335, FedAvgM).
"""

from collections.abc import Sequence
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Doubles, Floats, Schema, State

Kept = NDArray[np.bool_]

# Contributions are rounded to multiples of 2^-30, so their float64 sums are exact below 2^23 and the merged base is
# the same bits in whatever order replies arrive. Weights are at least 1, so a mean is off by less than 2^-31.
GRID = 2.0**30
CHUNK = 16_384  # float64 values of one chunk stay in the first or second cache level


class Merge:
    """The sums of one round. `max_norm` above 0 scales a larger update down to that L2 norm."""

    def __init__(self, schema: Schema, *, max_norm: float = 0.0) -> None:
        self._schema = schema
        self._max_norm = max_norm
        self._sums: Doubles = np.zeros(schema.size)
        self._scratch: Doubles = np.empty(min(CHUNK, schema.size))
        self._missing: Doubles | None = None  # weight that did not cover a coordinate; None while all covered all
        self.weight = 0.0
        self.folded = 0

    def fold(
        self, deltas: Sequence[Floats], weight: float, *, sender: str, masks: Sequence[Kept | None] | None = None
    ) -> None:
        """Add one device's delta: float32 arrays in schema order, each with an optional mask of covered coordinates.

        A mask broadcasts to its array; None covers all. Values outside a mask must be finite and count for nothing.

        Raises:
            ValueError: `weight` is below 1.
            DecodeError: shapes differ from the schema, or a value is NaN or infinite; the sums are as before.
        """
        if not (isfinite(weight) and weight >= 1):
            raise ValueError(f"Merge.fold: weight must be at least 1, got {weight!r}")
        self._check_shapes(deltas, sender)
        self._check_finite(deltas, sender)
        norm = _norm(deltas) if self._max_norm > 0 else 0.0
        factor = self._max_norm / norm if norm > self._max_norm else 1.0
        start = 0
        for index, delta in enumerate(deltas):
            mask = None if masks is None else masks[index]
            flat = delta.reshape(-1)
            if mask is not None:
                kept = np.broadcast_to(mask, delta.shape).reshape(-1)
                flat = np.where(kept, flat, np.float32(0))
                self._uncovered()[start : start + flat.size] += np.where(kept, 0.0, weight)
            self._add(flat, start, weight * factor * GRID)
            start += flat.size
        self.weight += weight
        self.folded += 1

    def commit(
        self,
        base: State,
        *,
        learning_rate: float = 1.0,
        kappa: float = 0.0,
        momentum: float = 0.0,
        previous: State | None = None,
    ) -> State:
        """The next base, float32; a coordinate that nobody covered keeps its bits.

        learning_rate: η of the server. kappa: 0 for no shrinkage, else the covered share of the total weight from
        which a coordinate takes its full step. momentum: β; previous: the base before this one, None if there is none.
        """
        before = base if previous is None else previous
        merged: State = {}
        start = 0
        for name, values in base.items():
            stop = start + values.size
            carried = momentum * (values.astype(np.float64) - before[name]).reshape(-1)
            moved = self._moved(values.reshape(-1), slice(start, stop), learning_rate, kappa, carried)
            merged[name] = moved.reshape(values.shape)
            start = stop
        return merged

    def _moved(self, base: Floats, where: slice, learning_rate: float, kappa: float, carried: Doubles) -> Floats:
        if self.weight == 0:
            return base.copy()
        missing = 0.0 if self._missing is None else self._missing[where]
        covered = np.broadcast_to(self.weight - missing, base.shape)
        full = np.maximum(covered, kappa * self.weight)  # S / C · min(1, C / (κ A)) is S / max(C, κ A)
        step = self._sums[where] / np.where(full > 0, full, 1.0) * (learning_rate / GRID)
        return np.where(covered > 0, (base + step + carried).astype(np.float32), base)

    def _add(self, flat: Floats, start: int, factor: float) -> None:
        for low in range(0, flat.size, CHUNK):
            part = flat[low : low + CHUNK]
            scaled = self._scratch[: part.size]
            scaled[:] = part
            scaled *= factor
            np.rint(scaled, out=scaled)
            sums = self._sums[start + low : start + low + part.size]
            np.add(sums, scaled, out=sums)

    def _uncovered(self) -> Doubles:
        if self._missing is None:
            self._missing = np.zeros(self._schema.size)
        return self._missing

    def _check_shapes(self, deltas: Sequence[Floats], sender: str) -> None:
        got = tuple(tuple(delta.shape) for delta in deltas)
        if got != self._schema.shapes:
            raise DecodeError(f"{sender}: the update has shapes {list(got)}, the base has {list(self._schema.shapes)}")

    def _check_finite(self, deltas: Sequence[Floats], sender: str) -> None:
        for name, delta in zip(self._schema.names, deltas, strict=True):
            if not _is_finite(delta.reshape(-1)):
                raise DecodeError(
                    f"{sender}: layer {name!r} of the update holds NaN or infinity; the update is skipped"
                )


def _is_finite(flat: Floats) -> bool:
    with np.errstate(all="ignore"):
        squares = float(np.dot(flat, flat))  # one fast pass; finite but large values may overflow it
    return isfinite(squares) or bool(np.isfinite(flat).all())


def _norm(deltas: Sequence[Floats]) -> float:
    parts = (delta.reshape(-1)[low : low + CHUNK] for delta in deltas for low in range(0, delta.size, CHUNK))
    return sqrt(sum(float(np.dot(part, part)) for part in (part.astype(np.float64) for part in parts)))
