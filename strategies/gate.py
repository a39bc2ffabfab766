"""The gate: may an artefact stand in for its fp32 reference, by paired evidence on the same rows?

A non-inferiority test by a one-sided confidence bound; the bounds are in `exact_bound.py` and `paired.py`, where their
sources stand. A window of dependent symbols counts as fewer rows by the design effect of Kish 1965, Survey Sampling,
section 5.4.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np

from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.variant import Ladder
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict
from fedtailor.strategies.exact_bound import proportion_bound
from fedtailor.strategies.paired import growth_bound, mean_bound, unseen_share
from fedtailor.strategies.task import TASKS, Array

UNBOUNDED = 1e6  # stands for "no bound at all": JSON and tables know no infinity
LIKENESS = 0.2  # correlation taken between symbols of one window: at most five of them count as rows of their own


def judge(reference_outputs: Array, variant_outputs: Array, y: Array, *, kind: str, gate: GatePlan) -> Verdict:
    """Compare two models' outputs for the same rows.

    Classification: drop = (b − c) / rows, with the exact bound. Regression: growth of the mean squared error, with
    Fieller's bound. Next-token: a row is a window, whose symbols depend on each other: drop is the mean of the windows'
    differences in error share, with Student's bound over windows; b and c count symbols.
    The two last know only what came up, so the share of rows that may well not have come up is added to them, taken to
    err on every symbol, or by the mean squared error: two equal windows are no proof.
    Without rows, or with outputs that are not finite, nothing can be shown: rejected, every row lost.

    Raises:
        ValueError: the outputs of the two models differ in shape.
    """
    if reference_outputs.shape != variant_outputs.shape:
        raise ValueError(f"gate: outputs of shape {reference_outputs.shape} against {variant_outputs.shape}")
    if len(y) == 0 or not (np.isfinite(reference_outputs).all() and np.isfinite(variant_outputs).all()):
        worst, lost = (UNBOUNDED, 0) if kind == REGRESSION else (1.0, y.size)
        return _verdict(len(y), (lost, 0), worst, worst, gate)
    if kind == REGRESSION:
        return _judge_growth(reference_outputs, variant_outputs, y, gate)
    right = reference_outputs.argmax(-1) == y
    variant_right = variant_outputs.argmax(-1) == y
    b, c = int((right & ~variant_right).sum()), int((variant_right & ~right).sum())
    if y.ndim == 1:
        bound = proportion_bound(b, c, len(y), gate.confidence)
    else:
        losses = (right.astype(np.float64) - variant_right).reshape(len(y), -1)
        symbols = y.size / (1 + LIKENESS * (losses.shape[1] - 1))
        bound = mean_bound(losses.mean(1), gate.confidence) + unseen_share(symbols, gate.confidence)
    return _verdict(len(y), (b, c), (b - c) / y.size, min(bound, 1.0), gate)


def itself(rows: int, gate: GatePlan) -> Verdict:
    """The verdict on the reference, which cannot be worse than itself."""
    return _verdict(rows, (0, 0), 0.0, 0.0, gate)


def cohorts(ladders: Iterable[Ladder]) -> dict[str, list[Verdict]]:
    """Recipe to the verdicts of all devices that tried it, in order of the ladders."""
    tried: dict[str, list[Verdict]] = {}
    for ladder in ladders:
        for rung in ladder.rungs:
            tried.setdefault(rung.recipe, []).append(rung.verdict)
    return tried


def pool(verdicts: Iterable[Verdict], gate: GatePlan) -> Verdict:
    """One verdict over the devices of a cohort, about exactly these devices, by the fleet's own gate.

    Where verdicts are counted, their counts are summed and bounded exactly; otherwise drops are averaged by rows, and
    the distance of each bound from its drop taken as that device's independent error.

    Raises:
        ValueError: no verdict was given.
    """
    cohort = tuple(verdicts)
    if not cohort:
        raise ValueError("pool: at least one verdict is needed, got none")
    drop, error_above = _pooled(cohort, gate.confidence)
    b, c = sum(v.reference_only for v in cohort), sum(v.variant_only for v in cohort)
    return _verdict(sum(v.rows for v in cohort), (b, c), drop, drop + error_above, gate)


def are_counted(verdicts: Sequence[Verdict]) -> bool:
    """Whether every drop is (b − c) / rows, so that the counts say all there is: each row is right or wrong."""
    differing = sum(v.reference_only + v.variant_only for v in verdicts)
    exact = all(abs(v.drop * v.rows - (v.reference_only - v.variant_only)) < 1e-6 for v in verdicts)
    return exact and differing <= sum(v.rows for v in verdicts)


def withdraw(ladders: Iterable[Ladder], gate: GatePlan) -> tuple[str, ...]:
    """Recipes that the gate rejects on the rows of all devices that tried them; in order of the ladders.

    A device has too few rows to tell a loss of a point from luck, and the smallest rung it lets through is often the
    luckiest. The cohort's rows are ten or a hundred times as many and nothing was chosen by them, so they decide.
    """
    return tuple(recipe for recipe, found in cohorts(ladders).items() if pool(found, gate).verdict == REJECTED)


def _judge_growth(reference_outputs: Array, variant_outputs: Array, y: Array, gate: GatePlan) -> Verdict:
    reference = TASKS[REGRESSION].row_loss(reference_outputs, y)
    variant = TASKS[REGRESSION].row_loss(variant_outputs, y)
    base, got = float(reference.mean()), float(variant.mean())
    drop = got / base - 1 if base > 0 else (0.0 if got == 0 else UNBOUNDED)
    bound = growth_bound(variant, reference, gate.confidence) + unseen_share(len(y), gate.confidence)
    return _verdict(len(y), (0, 0), min(drop, UNBOUNDED), min(bound, UNBOUNDED), gate)


def _verdict(rows: int, counts: tuple[int, int], drop: float, bound: float, gate: GatePlan) -> Verdict:
    name = PROVEN if bound <= gate.margin else NOT_SHOWN_WORSE if drop <= gate.margin else REJECTED
    return Verdict(
        verdict=name,
        rows=rows,
        reference_only=counts[0],
        variant_only=counts[1],
        drop=drop,
        bound=bound,
        margin=gate.margin,
        confidence=gate.confidence,
    )


def _pooled(verdicts: Sequence[Verdict], confidence: float) -> tuple[float, float]:
    """Pooled drop, and how far its one-sided bound lies above it."""
    rows = sum(v.rows for v in verdicts)
    if rows == 0:
        return 1.0, 0.0
    drop = sum(v.rows * v.drop for v in verdicts) / rows
    b, c = sum(v.reference_only for v in verdicts), sum(v.variant_only for v in verdicts)
    if are_counted(verdicts):
        return drop, proportion_bound(b, c, rows, confidence) - drop
    errors = [v.rows * (v.bound - v.drop) / NormalDist().inv_cdf(v.confidence) for v in verdicts]
    return drop, NormalDist().inv_cdf(confidence) * sqrt(sum(e * e for e in errors)) / rows
