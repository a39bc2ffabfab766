"""How likely a difference is to come up by chance alone: upper tails of F and of Welch's t."""

from math import exp, fsum, lgamma, log, log1p

MOST_DEGREES = 1000  # above it the tail is about that of infinitely many


def f_level(ratio: float, degrees: float, error_degrees: float) -> float:
    """P(F > ratio) with `degrees` and `error_degrees`, the latter rounded down to an even number of at least 2.

    The incomplete beta function is then a finite sum (Abramowitz & Stegun 1964, 26.6.5). Below 10⁻¹⁵ it is 0.
    """
    if ratio <= 0:
        return 1.0
    terms, half = max(1, int(min(error_degrees, MOST_DEGREES)) // 2), degrees / 2
    spent = degrees * ratio / (degrees * ratio + 2 * terms)
    if spent >= 1:
        return 0.0
    logs = (lgamma(half + j) - lgamma(half) - lgamma(j + 1) + j * log1p(-spent) for j in range(terms))
    return max(0.0, 1.0 - fsum(exp(half * log(spent) + term) for term in logs))


def welch_level(apart: float, errors: tuple[float, float], runs: tuple[int, int]) -> float:
    """P(T > apart / error) of the difference of two means whose standard errors, above 0, come from so many values.

    Degrees of freedom as in Welch 1947, Biometrika 34(1/2), 28-35.
    """
    if apart <= 0:
        return 1.0
    first, second = errors[0] ** 2, errors[1] ** 2
    degrees = (first + second) ** 2 / (first**2 / (runs[0] - 1) + second**2 / (runs[1] - 1))
    return f_level(apart**2 / (first + second), 1, degrees) / 2
