"""Devices that answered lately are asked more often."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.strategies.choice.choice import Candidate, Choose, Chosen, Way, register
from fedtailor.strategies.choice.draw import draw


def available(args: Mapping[str, float]) -> Choose:
    """Proportional to the share of answers, as if one more had been asked for and had come: who is new counts as sure.

    Args:
        floor: What the share of answers never falls below, from 0.001 to 1; so no device is given up.

    Raises:
        ValueError: it is out of range.
    """
    floor = args["floor"]
    if not 0.001 <= floor <= 1:
        raise ValueError(f"floor must be from 0.001 to 1, got {floor:g}")

    def choose(
        candidates: Sequence[Candidate], count: int, _round: int, rng: np.random.Generator
    ) -> tuple[Chosen, ...]:
        answered = np.array([(each.answered + 1) / (each.asked + 1) for each in candidates])
        return draw(candidates, np.maximum(answered, floor), count, rng)

    return choose


AVAILABLE = register(Way(name="available", version=1, defaults={"floor": 0.1}, make=available))
