"""One-sided upper confidence bounds for two models judged on the same rows.

Sources: Tango 1998, Statistics in Medicine 17(8), 891-908 (difference of paired proportions); Fieller 1954, Journal of
the Royal Statistical Society B 16(2), 175-185 (ratio of means); Abramowitz & Stegun 1964, 26.7.3 and 26.7.4
(Student's t for whole degrees of freedom).
"""

from collections.abc import Callable
from math import atan, cos, inf, pi, sin, sqrt
from statistics import NormalDist

import numpy as np

from fedtailor.protos.schema import Doubles


def proportion_bound(reference_only: int, variant_only: int, rows: int, confidence: float) -> float:
    """Upper bound of p(reference_only) − p(variant_only), by Tango's score method; in [−1, 1].

    The variance is taken at the tested difference (the other probability at its maximum-likelihood value given the
    difference), so the bound is above 0 even where no row differs: z² / (rows + z²).

    Args:
        reference_only: Rows that only the reference gets right.
        variant_only: Rows that only the variant gets right.
        rows: All rows compared, at least 1.
        confidence: One-sided, 0.5 to 1.
    """
    z = NormalDist().inv_cdf(confidence)
    observed = reference_only - variant_only

    def slack(difference: float) -> float:
        spread = difference * (1 - difference)
        linear = (2 * rows - observed) * difference - reference_only - variant_only
        root = sqrt(max(linear**2 + 8 * rows * variant_only * spread, 0.0))
        likeliest = (root - linear) / (4 * rows)
        return observed - rows * difference + z * sqrt(max(rows * (2 * likeliest + spread), 0.0))

    return _falling_root(slack, observed / rows, 1.0)


def mean_bound(differences: Doubles, confidence: float) -> float:
    """Upper bound of the mean of independent differences, by Student's t; infinite for a single one."""
    n = len(differences)
    if n < 2:
        return inf
    return float(differences.mean() + student_quantile(confidence, n - 1) * differences.std(ddof=1) / sqrt(n))


def growth_bound(variant: Doubles, reference: Doubles, confidence: float) -> float:
    """Upper bound of mean(variant) / mean(reference) − 1 for paired values at least 0, by Fieller's theorem.

    It is the growth g at which the t test on variant − (1 + g) · reference stops rejecting; infinite where the
    reference's own mean cannot be told from 0, or there are fewer than two pairs.
    """
    n = len(reference)
    if n < 2:
        return inf
    (vv, vr), (_, rr) = np.cov(variant, reference) * student_quantile(confidence, n - 1) ** 2 / n
    top, base = float(variant.mean()), float(reference.mean())
    square = base**2 - float(rr)
    if square <= 0:
        return inf
    middle = top * base - float(vr)
    root = sqrt(max(middle**2 - square * (top**2 - float(vv)), 0.0))
    return (middle + root) / square - 1


def student_quantile(probability: float, degrees: int) -> float:
    """The t with P(T ≤ t) = probability, for probability 0.5 to 1 and whole degrees of freedom."""
    low = NormalDist().inv_cdf(probability)  # Student's quantile is never below the normal one
    high = low + 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    return _falling_root(lambda t: probability - _student_cdf(t, degrees), low, high)


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


def _falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls through 0 between low and high does so, to 2⁻⁶⁰ of the distance."""
    for _ in range(60):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return high
