"""Devices from which the model still learns, and that are fast, are asked more often; new ones are explored.

Source: Oort, Lai et al. 2021, arXiv:2010.06081, section 4 and algorithm 1. Its utility of a device asked before:

    (rows · loss, cut off, + √(0.1 · ln round / last round)) · (preferred seconds / seconds)^power, if slower

Here the loss is the mean over the rows, which is what a device tells, in place of the root of the mean square. Utility
sets probabilities that the merge divides by, so every device keeps a floor in place of Oort's pool of the best and its
list of those asked too often; and the preferred seconds are a quantile of all, which no pacer moves.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.choice.choice import Candidate, Choose, Chosen, Way, register
from fedtailor.strategies.choice.draw import draw

DEFAULTS = {
    "explore": 0.9,
    "explore_decay": 0.98,
    "explore_least": 0.2,
    "cut": 0.95,
    "pace": 0.5,
    "power": 2.0,
    "floor": 0.1,
}
LIMITS = {"power": (0, 100), "floor": (0.001, 1)}
STALENESS = 0.1
LARGEST = 1e300


def utility(args: Mapping[str, float]) -> Choose:
    """Proportional to utility, and to explore.

    Args:
        explore, explore_decay, explore_least: Devices never asked share `explore` of the probability in round 1, after
            each round `explore_decay` times as much, never less than `explore_least`; equally.
        cut: The quantile of rows · loss above which it counts no more.
        pace: The quantile of the known seconds that is preferred.
        power: How hard it is on a slower device; 0: speed does not matter.
        floor: The part of the probability that all devices share equally.

    Raises:
        ValueError: one of them is not from 0 to 1 (`power`: to 100, `floor`: from 0.001).
    """
    for name, value in args.items():
        least, most = LIMITS.get(name, (0, 1))
        if not least <= value <= most:
            raise ValueError(f"{name} must be from {least:g} to {most:g}, got {value:g}")

    def choose(
        candidates: Sequence[Candidate], count: int, round_: int, rng: np.random.Generator
    ) -> tuple[Chosen, ...]:
        new = np.array([each.last_round is None for each in candidates])
        known = np.where(new, 0.0, utilities(candidates, round_, args))
        explore = max(args["explore_least"], args["explore"] * args["explore_decay"] ** (round_ - 1))
        return draw(candidates, _shares(new, known, explore, args["floor"]), count, rng)

    return choose


def utilities(candidates: Sequence[Candidate], round_: int, args: Mapping[str, float]) -> Doubles:
    """Of each device [n], at least 0: what is not known counts as loss 0, never asked, and fast enough.

    Losses and seconds come from devices: below 0 they count as not known, and none is too large.
    """
    loss = np.clip([(each.last_loss or 0.0) * each.rows for each in candidates], 0.0, LARGEST)
    most = float(np.quantile(loss[loss > 0], args["cut"])) if loss.any() else 1.0
    statistical = np.minimum(loss, most) / most
    age = np.array([1 / each.last_round if each.last_round else 0.0 for each in candidates])
    stale = np.sqrt(STALENESS * np.log(round_) * age)
    return np.asarray((statistical + stale) * _pace(candidates, args))


def _pace(candidates: Sequence[Candidate], args: Mapping[str, float]) -> Doubles:
    seconds = np.clip([each.seconds or 0.0 for each in candidates], 0.0, LARGEST)
    if not seconds.any():
        return np.ones(len(candidates))
    preferred = np.quantile(seconds[seconds > 0], args["pace"])
    seconds = np.where(seconds > 0, seconds, preferred)
    return np.asarray((np.minimum(seconds, preferred) / seconds) ** args["power"])


def _shares(new: NDArray[np.bool_], known: Doubles, explore: float, floor: float) -> Doubles:
    """What `draw` is proportional to; where there is nobody new, or nothing known, the other side has it all."""
    explore = explore if known.any() else 1.0
    explore = explore if new.any() else 0.0
    parts = ((floor, np.ones(len(new))), ((1 - floor) * explore, new), ((1 - floor) * (1 - explore), known))
    return np.asarray(np.sum([weight * part / part.sum() for weight, part in parts if part.any()], axis=0))


UTILITY = register(Way(name="utility", version=1, defaults=DEFAULTS, make=utility))
