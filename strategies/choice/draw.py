"""Draw devices with unequal probabilities that are known exactly: randomised systematic sampling.

Source: Madow 1949, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20; Tillé 2006,
"Sampling Algorithms". In random order the devices lie on a line, each as long as its probability; points one apart,
from a random start, pick those they fall on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.choice.choice import Candidate, Chosen

CERTAIN = 1 - 1e-9  # nearer to 1 than that is 1, so that no rounding can pick a device twice


def draw(candidates: Sequence[Candidate], shares: Doubles, count: int, rng: np.random.Generator) -> tuple[Chosen, ...]:
    """Just `count` of the candidates, sorted as they are; probabilities as `inclusions` of `shares` says."""
    probabilities = inclusions(shares, count)
    order = rng.permutation(len(candidates))
    picked = np.sort(order[systematic(probabilities[order], rng.random())])
    return tuple(Chosen(candidates[at].device_id, float(probabilities[at])) for at in picked)


def inclusions(shares: Doubles, count: int) -> Doubles:
    """Probabilities [n] that sum to `count`: proportional to `shares`, save those that reach 1.

    No share is below a millionth of the largest.
    """
    certain = np.zeros(len(shares), bool)
    while True:
        left = np.where(certain, 0.0, shares)
        scaled = left * ((count - certain.sum()) / max(left.sum(), np.finfo(float).tiny))
        reached = scaled >= CERTAIN
        if not reached.any():
            return np.where(certain, 1.0, scaled)
        certain |= reached


def systematic(probabilities: Doubles, start: float) -> NDArray[np.intp]:
    """Positions picked by the points `start` (from 0, below 1), `start` + 1, … on a line of the probabilities.

    The probabilities sum to a whole number, and that is how many are picked; a uniform `start` makes them true.
    """
    certain = probabilities == 1
    ends = np.cumsum(np.where(certain, 0.0, probabilities))
    points = np.ceil(ends - start).astype(np.intp)  # how many lie before the end of each
    points[ends == ends[-1]] = round(float(ends[-1]))  # a start next to 1 would round one away
    return np.flatnonzero(certain | (np.diff(points, prepend=0) > 0))
