"""FedAdagrad: Reddi et al. 2021, arXiv:2003.00295, algorithm 2."""

from collections.abc import Mapping

from fedtailor.strategies.merge.adaptive import adaptive
from fedtailor.strategies.merge.optimizer import Optimizer, register
from fedtailor.strategies.named import Named


def adagrad(args: Mapping[str, float]) -> Optimizer:
    """v ← v + Δ²; the rest as `adaptive`.

    Raises:
        ValueError: a parameter is out of range.
    """
    return adaptive(args, lambda square, now: square + now)


ADAGRAD = register(
    Named(name="adagrad", version=1, defaults={"learning_rate": 0.1, "beta1": 0.0, "tau": 1e-3}, make=adagrad)
)
