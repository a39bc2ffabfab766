"""The base moves by the mean delta itself: FedAvg, McMahan et al. 2017, arXiv:1602.05629."""

from collections.abc import Mapping

from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.merge.optimizer import Moments, Optimizer, check_rates, register, rounded
from fedtailor.strategies.named import Named


def sgd(args: Mapping[str, float]) -> Optimizer:
    """w ← w + learning_rate · Δ. It remembers nothing.

    Raises:
        ValueError: `learning_rate` is out of range.
    """
    check_rates(args)
    rate = args["learning_rate"]

    def step(base: Floats, delta: Doubles, _: Moments) -> tuple[Floats, Moments]:
        return rounded(base + rate * delta), ()

    return Optimizer(init=lambda _: (), step=step)


SGD = register(Named(name="sgd", version=1, defaults={"learning_rate": 1.0}, make=sgd))
