"""How sure a score is: a two-sided confidence interval from the rows it was taken on.

Sources: Wilson 1927, Journal of the American Statistical Association 22(158), 209-212 (a proportion); Student's t for
means.
"""

from math import sqrt
from statistics import NormalDist

import numpy as np

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.paired import student_quantile
from fedtailor.strategies.task import TASKS, Array


def score_interval(outputs: Array, y: Array, kind: str, confidence: float = 0.95) -> tuple[float, float] | None:
    """Lower and upper end, in the unit of the task's score; None for fewer than two rows.

    Accuracy is a share of independent rows; bits per token a mean over windows, whose symbols depend on each other;
    RMSE the root of a mean over rows.
    """
    if len(y) < 2:
        return None
    if kind == CLASSIFICATION:
        return _wilson(TASKS[kind].score(outputs, y), len(y), confidence)
    if kind == REGRESSION:
        low, high = _mean_interval(TASKS[kind].row_loss(outputs, y), confidence)
        return sqrt(max(low, 0.0)), sqrt(max(high, 0.0))
    if kind == NEXT_TOKEN:
        windows = [TASKS[kind].score(outputs[at : at + 1], y[at : at + 1]) for at in range(len(y))]
        return _mean_interval(np.array(windows), confidence)
    raise ValueError(f"score_interval: kind must be one of {', '.join(TASKS)}, got {kind!r}")


def _wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = share + z * z / (2 * rows)
    reach = z * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    scale = 1 + z * z / rows
    return max((middle - reach) / scale, 0.0), min((middle + reach) / scale, 1.0)


def _mean_interval(values: Doubles, confidence: float) -> tuple[float, float]:
    reach = student_quantile((1 + confidence) / 2, len(values) - 1) * float(values.std(ddof=1)) / sqrt(len(values))
    return float(values.mean()) - reach, float(values.mean()) + reach
