"""FedAdam: Reddi et al. 2021, arXiv:2003.00295, algorithm 2."""

from collections.abc import Mapping

from fedtailor.strategies.merge.adaptive import adaptive
from fedtailor.strategies.merge.optimizer import Optimizer, register
from fedtailor.strategies.named import Named


def adam(args: Mapping[str, float]) -> Optimizer:
    """v ← beta2 · v + (1 - beta2) · Δ²; the rest as `adaptive`.

    Raises:
        ValueError: a parameter is out of range.
    """
    beta2 = args["beta2"]
    return adaptive(args, lambda square, now: beta2 * square + (1 - beta2) * now)


ADAM = register(
    Named(name="adam", version=1, defaults={"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3}, make=adam)
)
