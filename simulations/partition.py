"""Deal rows that nobody owns to devices, with a chosen skew: `iid`, `dirichlet:0.3`, `shards:2`.

A bin is a class; for regression a tenth of the targets by quantile, for next-token by the mean symbol of a row. Every
split of a bin is dealt in the same proportions, so what a device is tested on is skewed like what it trains on.
Sources: label skew by Dirichlet, Hsu et al. 2019, arXiv:1909.06335, section 3; shards, McMahan et al. 2017,
arXiv:1602.05629, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.fleet_arrays import SPLITS, TRAIN, FleetArrays
from fedtailor.client.fleet_file import default_split
from fedtailor.protos.errors import ConfigError
from fedtailor.protos.model_spec import CLASSIFICATION

Ints = NDArray[np.intp]
Dealer = Callable[[Ints], Ints]  # bins of shuffled rows -> the device each row goes to

BINS = 10
FEWEST_ROWS = (8, 4, 4)  # a device gets in each split, as far as the rows go round


@dataclass(frozen=True, slots=True)
class Partition:
    """A spec in parts. `amount`: Dirichlet's concentration, or shards a device; 0 for iid."""

    name: str
    amount: float

    def __post_init__(self) -> None:
        whole = self.name != "shards" or self.amount == int(self.amount)
        if self.name not in DEALERS or not (self.amount > 0 or self.name == "iid") or not whole:
            raise ValueError(f"Partition cannot be {self.name!r} with amount {self.amount!r}")


def parse_partition(spec: str) -> Partition:
    """The parts of `iid`, `dirichlet:CONCENTRATION` or `shards:NUMBER`.

    Raises:
        ConfigError: it is none of these.
    """
    name, _, amount = spec.partition(":")
    try:
        if (name == "iid") == bool(amount) or not isfinite(float(amount or 0)):
            raise ValueError
        return Partition(name, float(amount or 0))
    except ValueError:
        expected = "iid, dirichlet:0.3 (any number above 0) or shards:2 (any whole number above 0)"
        raise ConfigError(f"partition: expected {expected}, got {spec!r}") from None


def partition(arrays: FleetArrays, spec: str, devices: int, seed: int) -> FleetArrays:
    """The same rows with `device` dealt anew as `device-00` …; equal seeds deal equally.

    A given split stays. Where there is none, each device's rows so far, or else each bin, splits in file order. No
    device goes without a few rows in each split while there are enough: it takes them from the richest.

    Raises:
        ConfigError: the spec is unknown, or there are fewer rows to train on than devices.
    """
    rng = np.random.default_rng(seed)
    bins = _bins(arrays)
    split = _split(arrays, bins) if arrays.split is None else arrays.split
    rows_to_train = int((split == TRAIN).sum())
    if not 1 <= devices <= rows_to_train:
        raise ConfigError(f"devices: expected 1 to {rows_to_train}, a row to train on for each, got {devices}")
    wanted = parse_partition(spec)
    deal = DEALERS[wanted.name](wanted.amount, devices, int(bins.max()) + 1, rng)
    owner = np.empty(len(arrays), np.intp)
    for part in range(len(SPLITS)):
        rows = rng.permutation(np.flatnonzero(split == part))
        owner[rows] = _levelled(deal(bins[rows]), devices, FEWEST_ROWS[part])
    width = max(2, len(str(devices - 1)))
    names = np.array([f"device-{number:0{width}d}" for number in range(devices)])
    arrays = replace(arrays, device=names[owner], split=split)
    return arrays.noted(f"dealt {spec} to {devices} devices, seed {seed}")


def _iid(_: float, devices: int, __: int, ___: np.random.Generator) -> Dealer:
    return lambda bins: np.arange(len(bins)) % devices


def _dirichlet(concentration: float, devices: int, bins: int, rng: np.random.Generator) -> Dealer:
    borders = rng.dirichlet(np.full(devices, concentration), bins).cumsum(1)[:, :-1]

    def deal(bin_of: Ints) -> Ints:
        owner = np.empty(len(bin_of), np.intp)
        for bin_, border in enumerate(borders):
            rows = np.flatnonzero(bin_of == bin_)
            owner[rows] = np.searchsorted(border, (np.arange(len(rows)) + 0.5) / max(len(rows), 1), side="right")
        return owner

    return deal


def _shards(each: float, devices: int, _: int, rng: np.random.Generator) -> Dealer:
    owner_of_shard = rng.permutation(np.repeat(np.arange(devices), int(each)))

    def deal(bin_of: Ints) -> Ints:
        owner = np.empty(len(bin_of), np.intp)
        shard = np.arange(len(bin_of)) * len(owner_of_shard) // max(len(bin_of), 1)
        owner[np.argsort(bin_of, kind="stable")] = owner_of_shard[shard]
        return owner

    return deal


DEALERS: dict[str, Callable[[float, int, int, np.random.Generator], Dealer]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "shards": _shards,
}


def _bins(arrays: FleetArrays) -> Ints:
    if arrays.kind == CLASSIFICATION:
        return arrays.y.astype(np.intp)
    target = arrays.y.reshape(len(arrays), -1).mean(1)
    tenths: Ints = np.digitize(target, np.quantile(target, np.linspace(0, 1, BINS + 1)[1:-1]))
    return tenths


def _split(arrays: FleetArrays, bins: Ints) -> NDArray[np.uint8]:
    split = np.empty(len(arrays), np.uint8)
    _, group = np.unique(bins if arrays.device is None else arrays.device, return_inverse=True)
    for rows in (np.flatnonzero(group == one) for one in range(group.max() + 1)):
        split[rows] = default_split(len(rows))
    return split


def _levelled(owner: Ints, devices: int, fewest: int) -> Ints:
    counts = np.bincount(owner, minlength=devices)
    fewest = min(fewest, len(owner) // devices)
    for poor in np.flatnonzero(counts < fewest):
        while counts[poor] < fewest:
            rich = counts.argmax()
            owner[np.flatnonzero(owner == rich)[-1]] = poor
            counts[rich] -= 1
            counts[poor] += 1
    return owner
