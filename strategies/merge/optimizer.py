"""How the base follows the rounds' steps: a named pair of pure functions, and the registry of such.

To add one: one file with a `make`, registered at import, named in `merge/__init__.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.merge.step import Step
from fedtailor.strategies.named import Named, made

Moments = tuple[Floats, ...]  # what an optimizer remembers of each coordinate, [n] each
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec:
    """How the base steps: a registered optimizer, its version and its parameters."""

    name: str
    version: int
    args: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """init: the moments of a base [n] before the first step.

    step: base [n], a round's mean delta float64 [n], moments -> the next base and moments, as if all were covered.
    """

    init: Callable[[Floats], Moments]
    step: Callable[[Floats, Doubles, Moments], tuple[Floats, Moments]]


OPTIMIZERS: dict[str, Named[Optimizer]] = {}


def register(optimizer: Named[Optimizer]) -> Named[Optimizer]:
    """Make an optimizer known by its name."""
    OPTIMIZERS[optimizer.name] = optimizer
    return optimizer


def optimizer_of(spec: OptimizerSpec) -> Optimizer:
    """The optimizer that a job asks for.

    Raises:
        PlanError: an unknown name, version or parameter, or a parameter out of range; the line names what is known.
    """
    return made("optimizer", spec, OPTIMIZERS)


def stepped(optimizer: Optimizer, base: Floats, step: Step, moments: Moments) -> tuple[Floats, Moments]:
    """The next base and moments; a coordinate that is not covered keeps its value and its moments bit for bit.

    base: float32 [n]. moments: () before the first step.
    """
    before = moments or optimizer.init(base)
    moved, after = optimizer.step(base, step.values, before)
    if step.covered is None:
        return moved, after
    frozen = tuple(np.where(step.covered, new, old) for new, old in zip(after, before, strict=True))
    return np.where(step.covered, moved, base), frozen


def rounded(values: Doubles) -> Floats:
    """As float32; what is larger than that holds becomes its largest."""
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)


def check_rates(args: Mapping[str, float]) -> None:
    """
    Raises:
        ValueError: `learning_rate` or `tau` is not above 0 and at most 100, or another is not from 0 to below 1.
    """
    for name, value in args.items():
        if name in ("learning_rate", "tau"):
            if not 0 < value <= 100:
                raise ValueError(f"{name} must be above 0 and at most 100, got {value:g}")
        elif not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value:g}")
