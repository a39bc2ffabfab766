"""What a way to choose devices is, and the registry of ways.

To add a way: one file with a `make`, registered at import, named in `choice/__init__.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fedtailor.strategies.named import Named, made


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSpec:
    """How devices are chosen: a registered way, its version and its parameters."""

    name: str
    version: int
    args: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device that may be asked, and what is known of it from earlier rounds.

    rows: those it trains on. asked, answered: how often in the latest rounds. last_loss: its training loss the last
    time an update of it was merged. last_round: the last one that asked it. seconds: what its
    last answer took, or longer where it was waited for in vain since. None: not known, or never.
    """

    device_id: str
    rows: int
    tags: tuple[str, ...] = ()
    asked: int = 0
    answered: int = 0
    last_loss: float | None = None
    last_round: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """inclusion: the probability, above 0 and at most 1, with which this round asks this device."""

    device_id: str
    inclusion: float


Choose = Callable[[Sequence[Candidate], int, int, np.random.Generator], tuple[Chosen, ...]]


# A way of choosing makes a function that gets candidates sorted by id, how many of them to choose (at least 1, at most
# all), the round (from 1) and random numbers, and returns just so many. The inclusion probabilities of all candidates
# sum to that number.
Way = Named[Choose]

WAYS: dict[str, Way] = {}


def register(way: Way) -> Way:
    """Make a way known by its name."""
    WAYS[way.name] = way
    return way


def choose_of(spec: ChoiceSpec) -> Choose:
    """The choice that a job asks for: at most so many of any candidates, in any order; the chosen are sorted by id.

    Raises:
        PlanError: an unknown name, version or parameter, or a parameter out of range; the line names what is known.
    """
    way = made("choice", spec, WAYS)

    def choose(
        candidates: Sequence[Candidate], count: int, round_: int, rng: np.random.Generator
    ) -> tuple[Chosen, ...]:
        ordered = sorted(candidates, key=lambda candidate: candidate.device_id)
        count = min(count, len(ordered))
        return way(ordered, count, round_, rng) if count > 0 else ()

    return choose
