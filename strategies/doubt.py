"""What the gate's right and wrong answers are too few to show: how much less sure of the labels a variant has become.

Of a hundred rows a variant that loses three points may well lose none, yet it gives many labels less probability. Rungs
are told apart by the standard error of that, as trees of different size are in Breiman et al. 1984, Classification and
Regression Trees, section 3.4.3.
"""

from math import sqrt

from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.strategies.task import TASKS, Array


def doubt(reference_outputs: Array, variant_outputs: Array, y: Array, *, kind: str, gate: GatePlan) -> str:
    """A line where the growth of the loss and its standard error together exceed the gate's `loss_margin`; else empty.

    The outputs [N, ...] are finite. Regression: growth as a share of the reference's mean squared error.
    """
    if len(y) < 2:
        return "fewer than two rows"
    reference = TASKS[kind].row_surprise(reference_outputs, y)
    growth = TASKS[kind].row_surprise(variant_outputs, y) - reference
    scale = float(reference.mean()) if kind == REGRESSION else 1.0
    grown = (float(growth.mean()) + float(growth.std(ddof=1)) / sqrt(len(y))) / (scale or 1.0)
    unit = "of its squared error" if kind == REGRESSION else "nats"
    return f"its loss may have grown by {grown:.3f} {unit}" if grown > gate.loss_margin else ""
