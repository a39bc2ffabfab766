"""Every device is as likely as every other."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedtailor.strategies.choice.choice import Candidate, Choose, Chosen, Way, register


def uniform(_args: Mapping[str, float]) -> Choose:
    """Without replacement; the inclusion probability is count / candidates."""

    def choose(
        candidates: Sequence[Candidate], count: int, _round: int, rng: np.random.Generator
    ) -> tuple[Chosen, ...]:
        picked = np.sort(rng.choice(len(candidates), count, replace=False))
        return tuple(Chosen(candidates[at].device_id, count / len(candidates)) for at in picked)

    return choose


UNIFORM = register(Way(name="uniform", version=1, defaults={}, make=uniform))
