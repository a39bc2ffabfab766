"""The exact one-sided upper bound of a difference of two paired proportions.

Sources: Buehler 1957, Journal of the American Statistical Association 52(280), 482-493 (the smallest bound that holds
everywhere, once outcomes are put in order); Lloyd & Moldovan 2007, Statistics in Medicine 26(18), 3369-3384 (paired
proportions, ordered by a score bound); Berger & Boos 1994, Journal of the American Statistical Association 89(427),
1012-1016 (the nuisance parameter only where the data allow it).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.paired import falling_root, score_bound, score_slack

NUISANCE_SHARE = 1 / 500  # of the permitted error; spent on where the share of rows that differ may lie
NUISANCES = 32
MOST_ROWS = 100_000  # with more, the score bound is less than 10⁻⁵ away, and costs neither time nor memory
TINY = 1e-300

Counts = NDArray[np.int64]


@lru_cache(maxsize=4096)
def proportion_bound(reference_only: int, variant_only: int, rows: int, confidence: float) -> float:
    """Upper bound of p(reference_only) − p(variant_only) that holds at its confidence for every pair of rates.

    Outcomes are ordered by Tango's score bound. The bound is the largest difference at which an outcome ordered no
    higher than the observed one still comes up with the permitted error, whatever share of rows differs within that
    share's own confidence interval. Where no row differs it is about −log(1 − confidence) / rows. Beyond `MOST_ROWS`
    it is the score bound itself.

    Args:
        reference_only: Rows that only the reference gets right.
        variant_only: Rows that only the variant gets right.
        rows: All rows compared, at least 1.
        confidence: One-sided, 0.5 to 1.
    """
    limit = score_bound(reference_only, variant_only, rows, confidence)
    if limit >= 1 or rows > MOST_ROWS:
        return limit
    error, low = 1 - confidence, (reference_only - variant_only) / rows
    high = min(1.0, 2 * limit - low + 10 / rows)  # far above: twice the score bound's distance and more
    least, most = _likely_rates(reference_only + variant_only, rows, error * NUISANCE_SHARE)
    outcomes = _outcomes_up_to(
        limit, confidence, rows, losses=(least + low) / 2, wins=((least - high) / 2, (most - low) / 2)
    )

    def surplus(difference: float) -> float:
        if abs(difference) > most:
            return -error
        differing = np.linspace(max(least, abs(difference)) ** 0.5, most**0.5, NUISANCES) ** 2
        chances = _chances(outcomes, (differing + difference) / 2, (differing - difference) / 2)
        return float(chances.max()) - error * (1 - NUISANCE_SHARE)

    return falling_root(surplus, low, high, steps=32)


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """A set of outcomes, closed downwards in reference_only, as a staircase.

    `wins` [W] are the counts of variant_only that can matter. Step `i` adds to the chance that reference_only is in the
    set, given wins[`at[i]`], the chance of exactly `losses[i]` of rows − wins[`at[i]`] (times one row's own rate where
    `trial`: one row fewer to lose); `ends` [W] are the last steps of each count of wins.
    """

    rows: int
    wins: Counts
    losses: Counts
    at: Counts
    trial: NDArray[np.bool_]
    ends: Counts
    log_factorial: Doubles


def _likely_rates(count: int, rows: int, error: float) -> tuple[float, float]:
    """The lowest and highest rate at which `count` of `rows` is not unlikely, by Chernoff's inequality."""
    share, most = count / rows, log(2 / error) / rows

    def divergence(rate: float) -> float:
        kept = share * log(share / max(rate, TINY)) if count else 0.0
        return kept + ((1 - share) * log((1 - share) / max(1 - rate, TINY)) if count < rows else 0.0)

    low = falling_root(lambda rate: divergence(rate) - most, 0.0, share)
    return low, falling_root(lambda rate: most - divergence(rate), share, 1.0)


def _outcomes_up_to(
    limit: float, confidence: float, rows: int, *, losses: float, wins: tuple[float, float]
) -> _Outcomes:
    """All outcomes whose score bound is not above `limit`, as far as they can come up.

    Args:
        losses: The lowest rate of reference_only that will be asked for; `wins` the lowest and highest of variant_only.
    """
    kept = np.arange(_far_below(wins[0], rows), min(rows, _far_above(wins[1], rows)) + 1)
    most = np.maximum.accumulate(_most_losses(kept, rows, limit, confidence))
    before = np.concatenate([[min(_far_below(losses, rows) - 1, most[0])], most[:-1]])
    steps = most - before + 1
    ends = np.cumsum(steps) - 1
    within = np.arange(steps.sum()) - np.repeat(ends - steps + 1, steps)
    return _Outcomes(
        rows=rows,
        wins=kept,
        losses=np.repeat(before, steps) + within,
        at=np.repeat(np.arange(len(kept)), steps),
        trial=within == 0,
        ends=ends,
        log_factorial=np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + 1)))]),
    )


def _far_below(rate: float, rows: int) -> int:
    """A count that a binomial one falls below in less than one case in 10¹¹; `_far_above` its mirror."""
    mean = max(rate, 0.0) * rows
    return max(0, int(mean - 7 * mean**0.5) - 20)


def _far_above(rate: float, rows: int) -> int:
    mean = rate * rows
    return int(mean + 7 * mean**0.5) + 20


def _most_losses(wins: Counts, rows: int, limit: float, confidence: float) -> Counts:
    """For each count of wins the most losses with a score bound up to `limit`; −1 where there are none."""
    low, high = np.full_like(wins, -1), rows - wins
    while (low < high).any():
        middle = (low + high + 1) // 2
        fits = score_slack(middle, wins, rows, limit, confidence) <= 1e-9 * rows
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return low


def _chances(outcomes: _Outcomes, loss_rates: Doubles, win_rates: Doubles) -> Doubles:
    """The chance of the set of outcomes at each pair of rates."""
    rows, wins = outcomes.rows, outcomes.wins
    given = np.clip(loss_rates / np.maximum(1 - win_rates, TINY), 0.0, 1.0)[:, None]
    steps = _binomial(outcomes.losses, rows - wins[outcomes.at], given, outcomes.log_factorial)
    lost = np.cumsum(np.where(outcomes.trial, given * steps, steps), axis=1)[:, outcomes.ends]
    won = _binomial(wins, np.full_like(wins, rows), win_rates[:, None], outcomes.log_factorial)
    chance: Doubles = (won * lost).sum(1)
    return chance


def _binomial(count: Counts, trials: Counts, rate: Doubles, log_factorial: Doubles) -> Doubles:
    """The chance of exactly `count` [S] successes in `trials` [S] at each rate [R, 1]; 0 outside 0 to trials."""
    inside = (count >= 0) & (count <= trials)
    count, trials = np.where(inside, count, 0), np.where(inside, trials, 0)
    ways = np.where(inside, log_factorial[trials] - log_factorial[count] - log_factorial[trials - count], -np.inf)
    hit, missed = np.log(np.maximum(rate, TINY)), np.log(np.maximum(1 - rate, TINY))
    chance: Doubles = np.exp(ways + count * hit + (trials - count) * missed)
    return chance
