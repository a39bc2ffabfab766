"""Partial answers of an additive model with limits, each with what it costs so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """Ways to decide some variables: `choices` [labels] of each one, `costs` [labels, metrics] of all together."""

    choices: Mapping[str, Indices]
    costs: Doubles

    def __getitem__(self, picked: Indices) -> "Labels":
        return Labels({name: choice[picked] for name, choice in self.choices.items()}, self.costs[picked])

    def states(self, names: Sequence[str], sizes: Mapping[str, int]) -> Indices:
        """One number for each combination of choices of these variables: [labels]."""
        state = np.zeros(len(self.costs), np.int64)
        for name in names:
            state = state * sizes[name] + self.choices[name]
        return state


def all_choices(over: Sequence[str], costs: Doubles) -> Labels:
    """One label for each entry of a table `costs` [*choices of each variable, metrics] without infinity."""
    shape = costs.shape[:-1]
    choices = np.indices(shape).reshape(len(shape), prod(shape))
    flat = costs.reshape(-1, costs.shape[-1])
    return Labels(dict(zip(over, choices, strict=True)), flat)[np.flatnonzero(np.isfinite(flat).all(1))]


def joined(one: Labels, other: Labels, shared: Sequence[str], sizes: Mapping[str, int]) -> Labels:
    """Every pair of labels that agree about the variables they share."""
    key, other_key = one.states(shared, sizes), other.states(shared, sizes)
    counts = np.bincount(other_key, minlength=prod(sizes[name] for name in shared))
    starts = np.cumsum(counts) - counts
    partners = counts[key]
    left = np.repeat(np.arange(len(key)), partners)
    nth = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    right = np.argsort(other_key, kind="stable")[starts[key[left]] + nth]
    choices = {name: choice[right] for name, choice in other.choices.items()}
    choices |= {name: choice[left] for name, choice in one.choices.items()}
    return Labels(choices, one.costs[left] + other.costs[right])


def frontier(costs: Doubles, state: Indices) -> Indices:
    """The labels that no other one of their state equals or undercuts in every metric.

    Labels are given in an order in which none comes before one that undercuts it. The first of every state stays and
    what it undercuts goes, and so on with those that are left.
    """
    left = np.argsort(state, kind="stable")
    kept = [left[:0]]
    while len(left):
        first = np.append(True, state[left[1:]] != state[left[:-1]])
        best = left[first]
        kept.append(best)
        left = left[(costs[left] < costs[best[np.cumsum(first) - 1]]).any(1)]
    return np.concatenate(kept)
