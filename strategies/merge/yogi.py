"""FedYogi: Reddi et al. 2021, arXiv:2003.00295, algorithm 2."""

from collections.abc import Mapping

import numpy as np

from fedtailor.strategies.merge.adaptive import adaptive
from fedtailor.strategies.merge.optimizer import Optimizer, register
from fedtailor.strategies.named import Named


def yogi(args: Mapping[str, float]) -> Optimizer:
    """v ← v - (1 - beta2) · Δ² · sign(v - Δ²); the rest as `adaptive`.

    Raises:
        ValueError: a parameter is out of range.
    """
    beta2 = args["beta2"]
    return adaptive(args, lambda square, now: square - (1 - beta2) * now * np.sign(square - now))


YOGI = register(
    Named(name="yogi", version=1, defaults={"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3}, make=yogi)
)
