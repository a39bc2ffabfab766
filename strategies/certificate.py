"""What a fleet's verdicts say about devices like its own: a bootstrap over devices.

Sources: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile bounds); Hesterberg 2015, The
American Statistician 69(4), 371-386, section 4.1 (a wider percentile where there are few to resample from).
"""

from collections.abc import Sequence
from math import isfinite, sqrt
from statistics import NormalDist

import numpy as np

from fedtailor.protos.certificate import ON_TEST, Certificate
from fedtailor.protos.messages import Scores
from fedtailor.protos.model_spec import CLASSIFICATION, REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.schema import Doubles
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict
from fedtailor.strategies.exact_bound import proportion_bound
from fedtailor.strategies.gate import UNBOUNDED, are_counted, pool
from fedtailor.strategies.paired import student_quantile

FEWEST_DEVICES = 5
RESAMPLES = 2000
AT_ONCE = 2**21  # devices drawn in one go, over all resamples

METHOD = f"percentile of {RESAMPLES:,} resamples of the devices"
TOO_FEW = f"no claim: fewer than {FEWEST_DEVICES} devices"


def certify(recipe: str, verdicts: Sequence[Verdict], gate: GatePlan, seed: int) -> Certificate:
    """The certificate of one recipe, or of a mix of them, from one verdict for each device.

    Devices without rows are left out. Where rows are counted, the bound over devices is not below that over rows:
    devices that agree because none of their few rows differs have shown no more than those rows.

    Raises:
        ValueError: no verdict is left.
    """
    judged = [verdict for verdict in verdicts if verdict.rows]
    pooled = pool(judged, gate)
    floor = pooled.bound if are_counted(judged) else -UNBOUNDED
    bound = _bound([v.drop for v in judged], [v.rows for v in judged], gate.confidence, seed, floor)
    return _certificate(recipe, len(judged), pooled.rows, gate, drop=pooled.drop, rows_bound=pooled.bound, bound=bound)


def certify_test(scores: Sequence[Scores], kind: str, gate: GatePlan, seed: int) -> Certificate:
    """The same for deployed variants against their personal models on the test split; `recipe` is `ON_TEST`.

    Of the rows only scores are known, so there is no bound over rows. What a variant gains and loses within one device
    cannot be told apart: for the floor each device counts as differing on as few rows as its scores allow.

    Raises:
        ValueError: no device has test rows.
    """
    tested = [score for score in scores if score.rows]
    if not tested:
        raise ValueError("certify_test: at least one device with test rows is needed, got none")
    losses, rows = [_loss(score, kind) for score in tested], [score.rows for score in tested]
    floor = _fewest_differing(losses, rows, gate.confidence) if kind == CLASSIFICATION else -UNBOUNDED
    bound = _bound(losses, rows, gate.confidence, seed, floor)
    drop = float(np.average(losses, weights=rows))
    return _certificate(ON_TEST, len(tested), sum(rows), gate, drop=drop, rows_bound=None, bound=bound)


def finding(certificate: Certificate) -> str:
    """The gate's word on devices like these; `proven` takes a bound over devices."""
    if certificate.drop > certificate.margin:
        return REJECTED
    return PROVEN if certificate.bound is not None and certificate.bound <= certificate.margin else NOT_SHOWN_WORSE


def _certificate(
    recipe: str,
    devices: int,
    rows: int,
    gate: GatePlan,
    *,
    drop: float,
    rows_bound: float | None,
    bound: float | None,
) -> Certificate:
    return Certificate(
        recipe=recipe,
        devices=devices,
        rows=rows,
        drop=drop,
        rows_bound=rows_bound,
        bound=bound,
        margin=gate.margin,
        confidence=gate.confidence,
        method=METHOD if bound is not None else TOO_FEW,
    )


def _bound(losses: Sequence[float], rows: Sequence[int], confidence: float, seed: int, floor: float) -> float | None:
    """Upper bound of the mean loss, weighted by rows, of devices like these; None for too few.

    Rare bad devices make the bootstrap fall short, so the one that adds most to the mean is counted once more.
    """
    count = len(losses)
    if count < FEWEST_DEVICES:
        return None
    loss, weight = np.array(losses), np.array(rows, np.float64)
    worst = int(((loss - np.average(loss, weights=weight)) * weight).argmax())
    means = _resampled(np.append(loss, loss[worst]), np.append(weight, weight[worst]), seed)
    level = NormalDist().cdf(sqrt(count / (count - 1)) * student_quantile(confidence, count - 1))
    return max(float(np.quantile(means, level, method="higher")), floor)


def _resampled(loss: Doubles, weight: Doubles, seed: int) -> Doubles:
    """The weighted mean loss of every resample of the devices, drawn with replacement."""
    rng = np.random.default_rng(seed)
    parts = []
    for part in np.array_split(np.arange(RESAMPLES), -(-RESAMPLES * len(loss) // AT_ONCE)):
        drawn = rng.integers(0, len(loss), (len(part), len(loss)))
        parts.append((loss * weight)[drawn].sum(1) / weight[drawn].sum(1))
    return np.concatenate(parts)


def _loss(scores: Scores, kind: str) -> float:
    """What the variant loses against the personal model on one device's test rows."""
    if kind == CLASSIFICATION:
        loss = scores.personal - scores.variant
    elif kind == REGRESSION:
        grown, squared = scores.variant**2 - scores.personal**2, scores.personal**2
        loss = grown / squared if squared else UNBOUNDED * bool(grown)
    else:
        loss = scores.variant - scores.personal
    return loss if isfinite(loss) else UNBOUNDED


def _fewest_differing(losses: Sequence[float], rows: Sequence[int], confidence: float) -> float:
    net = [round(loss * count) for loss, count in zip(losses, rows, strict=True)]
    lost, won = sum(max(n, 0) for n in net), sum(max(-n, 0) for n in net)
    return proportion_bound(lost, won, sum(rows), confidence)
