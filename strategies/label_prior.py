"""What a device's own labels say before it looks at a row: the log odds of its classes against the fleet's.

Where labels are skewed, most of what sets one device's updates against another's is its own class frequencies. Added
to the answers while the shared base is trained, they need not be learnt: the base comes to stand for the fleet's
mixture (Menon et al. 2021, arXiv:2007.07314, section 4.2; for federations Zhang et al. 2022, arXiv:2209.00189). Added
to the head afterwards, they are a personal model that took no training.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.schema import Doubles, State
from fedtailor.strategies.models.model import model_named

PRIOR_LABELS = 10.0  # of the fleet's mixture, added to a device's own: it may meet classes that it has not had
SKEWED = 0.1  # stores by assortment have 0.43, people who all do the same exercises 0

Loss = Callable[[Tensor, Tensor, ModelSpec], Tensor]


@dataclass(frozen=True, slots=True)
class FleetLabels:
    """Labels per class over the fleet, `counts`, empty for regression; and how skewed its devices are: `mean_skew`."""

    counts: tuple[int, ...] = ()
    skew: float = 0.0

    @property
    def skewed(self) -> bool:
        """Whether devices differ in their labels by more than a little and chance."""
        return self.skew >= SKEWED


def fleet_labels(devices: Iterable[Sequence[int]]) -> FleetLabels:
    """The labels of a fleet from the class counts of its devices; those without labels say nothing."""
    counted = [counts for counts in devices if sum(counts)]
    if not counted:
        return FleetLabels()
    table = np.array(counted, np.float64)
    return FleetLabels(tuple(int(total) for total in table.sum(0)), mean_skew(table))


def mean_skew(devices: NDArray[np.float64]) -> float:
    """How far devices' labels [devices, classes] are from the fleet's, beyond chance, 0 to 1: the mean total variation
    distance, less what as many labels drawn from the fleet would have; weighted by labels. Every device has some.
    """
    rows = devices.sum(1, keepdims=True)
    shares = devices.sum(0) / devices.sum()
    distance = np.abs(devices / rows - shares).sum(1) / 2
    by_chance = np.sqrt(shares * (1 - shares) / rows).sum(1) / np.sqrt(
        2 * np.pi
    )  # E|normal| is sqrt(2 / pi) deviations
    return float(np.maximum(distance - by_chance, 0) @ rows[:, 0] / rows.sum())


def label_prior(counts: Sequence[int], fleet: FleetLabels) -> tuple[float, ...]:
    """log p(class on the device) − log p(class in the fleet) [classes], in nats; empty where the fleet is not skewed,
    or nothing is known of the device. A class that the whole fleet lacks gets 0.
    """
    if not fleet.skewed or not sum(counts):
        return ()
    own, all_ = np.asarray(counts, np.float64), np.asarray(fleet.counts, np.float64)
    shares = all_ / all_.sum()
    smoothed: Doubles = (own + PRIOR_LABELS * shares) / (own.sum() + PRIOR_LABELS)
    known = shares > 0
    odds = np.where(known, np.log(np.where(known, smoothed, 1) / np.where(known, shares, 1)), 0)
    return tuple(odds.astype(np.float32).tolist())


def told(prior: Sequence[float], loss: Loss) -> Loss:
    """The loss of answers [*, classes], or several side by side, to which the prior has been added; the same loss where
    it is empty.
    """
    if not prior:
        return loss
    offset = torch.tensor(prior, dtype=torch.float32)

    def adjusted(outputs: Tensor, y: Tensor, spec: ModelSpec) -> Tensor:
        return loss(outputs + offset.repeat(outputs.shape[-1] // len(prior)), y, spec)

    return adjusted


def primed(state: State, spec: ModelSpec, prior: Sequence[float]) -> State:
    """The state with the prior in the bias of the model's last layer; the same where the prior is empty."""
    if not prior:
        return state
    name = f"{model_named(spec.name, spec.version).head[-1]}.bias"
    return {**state, name: state[name] + np.asarray(prior, np.float32)}
