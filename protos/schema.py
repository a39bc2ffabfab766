"""Ordered names and shapes of a model's parameters, and the arrays that follow them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
State = dict[str, Floats]


@dataclass(frozen=True)
class Schema:
    """Parameter names in order, with their shapes; two schemas are the same if their hashes are."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(prod(shape) for shape in self.shapes)

    @cached_property
    def size(self) -> int:
        return sum(self.sizes)

    @cached_property
    def hash(self) -> str:
        text = ";".join(
            f"{name}:{','.join(map(str, shape))}" for name, shape in zip(self.names, self.shapes, strict=True)
        )
        return hashlib.sha256(text.encode()).hexdigest()


def schema_of(state: Mapping[str, Floats]) -> Schema:
    """The schema of a state, in its own order."""
    return Schema(tuple(state), tuple(tuple(array.shape) for array in state.values()))


def state_hash(state: Mapping[str, Floats]) -> str:
    """SHA-256 over schema and little-endian values; equal on every platform for equal bits."""
    digest = hashlib.sha256(schema_of(state).hash.encode())
    for array in state.values():
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()
