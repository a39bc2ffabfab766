"""How much of each layer a variant keeps, and how its weights are written: what a planner decides for one net."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FP32_BITS = 32


@dataclass(frozen=True, slots=True)
class Coding:
    """One layer's weights: integers of 1 to 8 bits on a scale per row, of which a share `density` may differ from 0.

    One bit means −1 or 1, two bits −1, 0 or 1, and so on: −(2^(bits − 1) − 1) to the same above. 32 bits are float32.
    """

    bits: int
    density: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= 8 or self.bits == FP32_BITS):
            raise ValueError(f"Coding.bits must be 1 to 8, or 32 for float32, got {self.bits}")
        if not 0 < self.density <= 1:
            raise ValueError(f"Coding.density must be above 0 and at most 1, got {self.density}")

    @property
    def top(self) -> int:
        """The largest integer."""
        return max((1 << (self.bits - 1)) - 1, 1)


@dataclass(frozen=True)
class Allotment:
    """`keep`: channels left, by group of channels; `coding`: by layer. What is not named keeps all its channels."""

    keep: Mapping[str, int] = field(default_factory=dict)
    coding: Mapping[str, Coding] = field(default_factory=dict)
