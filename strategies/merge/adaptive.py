"""What FedAdam, FedYogi and FedAdagrad share: a step by the mean delta over the root of what its squares were.

Source: Reddi et al. 2021, arXiv:2003.00295, algorithm 2 (without bias correction, as there).
"""

from collections.abc import Callable, Mapping

import numpy as np

from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.merge.optimizer import Moments, Optimizer, check_rates, rounded

Squares = Callable[[Doubles, Doubles], Doubles]  # v before, Δ² -> v


def adaptive(args: Mapping[str, float], squares: Squares) -> Optimizer:
    """m ← beta1 · m + (1 - beta1) · Δ; v ← squares(v, Δ²); w ← w + learning_rate · m / (√v + tau), v from tau² on.

    Raises:
        ValueError: a parameter is out of range.
    """
    check_rates(args)
    rate, beta1, tau = args["learning_rate"], args["beta1"], args["tau"]

    def init(base: Floats) -> Moments:
        return np.zeros_like(base), np.full_like(base, tau * tau)

    def step(base: Floats, delta: Doubles, moments: Moments) -> tuple[Floats, Moments]:
        mean = beta1 * moments[0].astype(np.float64) + (1 - beta1) * delta
        square = squares(moments[1].astype(np.float64), np.square(delta))
        return rounded(base + rate * mean / (np.sqrt(square) + tau)), (rounded(mean), rounded(square))

    return Optimizer(init=init, step=step)
