"""A ball that rolls on: Hsu et al. 2019, arXiv:1909.06335, FedAvgM."""

from collections.abc import Mapping

import numpy as np

from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.merge.optimizer import Moments, Optimizer, check_rates, register, rounded
from fedtailor.strategies.named import Named


def momentum(args: Mapping[str, float]) -> Optimizer:
    """w ← w + v with v ← learning_rate · Δ + momentum · v. What is remembered is w before its last step: the difference
    is v, exactly.

    Raises:
        ValueError: a parameter is out of range.
    """
    check_rates(args)
    rate, share = args["learning_rate"], args["momentum"]

    def step(base: Floats, delta: Doubles, moments: Moments) -> tuple[Floats, Moments]:
        last = base.astype(np.float64) - moments[0]
        return rounded(base + rate * delta + share * last), (base,)

    return Optimizer(init=lambda base: (base,), step=step)


MOMENTUM = register(Named(name="momentum", version=1, defaults={"learning_rate": 1.0, "momentum": 0.7}, make=momentum))
