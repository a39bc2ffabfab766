"""One-sided upper confidence bounds for two models judged on the same rows.

Sources: Tango 1998, Statistics in Medicine 17(8), 891-908 (difference of paired proportions); Fieller 1954, Journal of
the Royal Statistical Society B 16(2), 175-185 (ratio of means); Abramowitz & Stegun 1964, 26.7.3 and 26.7.4
(Student's t for whole degrees of freedom).
"""

from collections.abc import Callable
from functools import lru_cache
from math import atan, cos, inf, pi, sin, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles


def score_bound(reference_only: float, variant_only: float, rows: float, confidence: float) -> float:
    """Upper bound of p(reference_only) − p(variant_only), by Tango's score method; in [−1, 1].

    The variance is taken at the tested difference (the other probability at its maximum-likelihood value given the
    difference), so the bound is above 0 even where no row differs: z² / (rows + z²). It holds on average; with few
    rows that differ it may fall short (`exact_bound.py` does not).

    Args:
        reference_only: Rows that only the reference gets right.
        variant_only: Rows that only the variant gets right.
        rows: All rows compared, at least 1.
        confidence: One-sided, 0.5 to 1.
    """
    counts = np.array([float(reference_only)]), np.array([float(variant_only)])
    observed = (reference_only - variant_only) / rows
    return falling_root(lambda d: float(score_slack(*counts, rows, d, confidence)[0]), observed, 1.0)


def score_slack(
    reference_only: NDArray[Any], variant_only: NDArray[Any], rows: float, difference: float, confidence: float
) -> Doubles:
    """How far each outcome is from ruling `difference` out, in rows; falls with it, and is 0 at the score bound."""
    observed, spread = reference_only - variant_only, difference * (1 - difference)
    linear = (2 * rows - observed) * difference - reference_only - variant_only
    root = np.sqrt(np.maximum(linear**2 + 8 * rows * variant_only * spread, 0.0))
    variance = rows * ((root - linear) / (2 * rows) + spread)
    z = NormalDist().inv_cdf(confidence)
    slack: Doubles = observed - rows * difference + z * np.sqrt(np.maximum(variance, 0.0))
    return slack


def unseen_share(rows: float, confidence: float) -> float:
    """The largest share of rows of which `rows` rows may well show none: about −log(1 − confidence) / rows."""
    return float(1 - (1 - confidence) ** (1 / rows))


def mean_bound(differences: Doubles, confidence: float) -> float:
    """Upper bound of the mean of independent differences, by Student's t; infinite for a single one.

    Rare large losses make t fall short, so the largest is counted once more where that gives the higher bound.
    """
    if len(differences) < 2:
        return inf
    return max(_mean_bound(differences, confidence), _mean_bound(np.append(differences, differences.max()), confidence))


def _mean_bound(differences: Doubles, confidence: float) -> float:
    n = len(differences)
    return float(differences.mean() + student_quantile(confidence, n - 1) * differences.std(ddof=1) / sqrt(n))


def growth_bound(variant: Doubles, reference: Doubles, confidence: float) -> float:
    """Upper bound of mean(variant) / mean(reference) − 1 for paired values at least 0, by Fieller's theorem.

    It is the growth g at which the t test on variant − (1 + g) · reference stops rejecting; infinite where the
    reference's own mean cannot be told from 0, or there are fewer than two pairs. As in `mean_bound` the pair that
    grew most is counted once more where that gives the higher bound.
    """
    if len(reference) < 2:
        return inf
    most = int((variant - reference).argmax())
    doubled = np.append(variant, variant[most]), np.append(reference, reference[most])
    return max(_growth_bound(variant, reference, confidence), _growth_bound(*doubled, confidence))


def _growth_bound(variant: Doubles, reference: Doubles, confidence: float) -> float:
    n = len(reference)
    (vv, vr), (_, rr) = np.cov(variant, reference) * student_quantile(confidence, n - 1) ** 2 / n
    top, base = float(variant.mean()), float(reference.mean())
    square = base**2 - float(rr)
    if square <= 0:
        return inf
    middle = top * base - float(vr)
    root = sqrt(max(middle**2 - square * (top**2 - float(vv)), 0.0))
    return (middle + root) / square - 1


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: int) -> float:
    """The t with P(T ≤ t) = probability, for probability 0.5 to 1 and whole degrees of freedom."""
    low = NormalDist().inv_cdf(probability)  # Student's quantile is never below the normal one
    high = low + 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    return falling_root(lambda t: probability - _student_cdf(t, degrees), low, high)


def _student_cdf(t: float, degrees: int) -> float:
    """P(T ≤ t) for t at least 0, by the finite series in the angle atan(t / √degrees)."""
    angle = atan(t / sqrt(degrees))
    odd = degrees % 2
    steps = np.arange(1 + odd, degrees - 2 + odd, 2)
    terms = np.cumprod(steps / (steps + 1) * cos(angle) ** 2)
    series = sin(angle) * (1.0 + float(terms.sum()))
    if not odd:
        return 0.5 + series / 2
    return 0.5 + (angle + (series * cos(angle) if degrees > 1 else 0.0)) / pi


def falling_root(function: Callable[[float], float], low: float, high: float, *, steps: int = 60) -> float:
    """Where a function that falls through 0 between low and high does so, rounded up by at most 2^−steps of the way."""
    for _ in range(steps):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return high
