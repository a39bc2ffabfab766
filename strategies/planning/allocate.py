"""The best choice for every variable of an additive model, under limits on what the choices cost together.

Variables are decided one after another along the graph of factors. What is kept for each choice of the neighbours is
not one optimum but every label that could still be part of one: those that no other label undercuts in all metrics at
once (Aneja, Aggarwal & Nair 1983, Shortest chain subject to side constraints, Networks 13), and that no bound from
Lagrangian multipliers rules out (Handler & Zang 1980, A dual algorithm for the constrained shortest path problem,
Networks 10). So the answer is exact on any graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.planning.elimination import Tree, best_choices, elimination_tree, least_rests, least_totals
from fedtailor.strategies.planning.labels import Indices, Labels, all_choices, frontier, joined

LABELS = (100, 1000)  # kept of one node: first for a good answer, then, with that as a bound, for the best one
_CANDIDATES = 8  # times as many are compared with each other
_ROUNDING = 1e-9  # of a bound: sums in another order differ by less
_DUAL_STEPS, _DUAL_RATE, _DUAL_DECAY = 80, 3.0, 0.95


@dataclass(frozen=True, eq=False)
class Factor:
    """What the choices of a few variables cost together: `costs` [*choices of each variable, metrics].

    Costs are at least 0; a choice that cannot be made costs infinity in any metric.
    """

    over: tuple[str, ...]
    costs: Doubles

    def __post_init__(self) -> None:
        if self.costs.ndim != len(self.over) + 1 or not self.costs.size or not np.all(self.costs >= 0):
            raise ValueError(
                f"Factor over ({', '.join(self.over)}): costs need an axis for each variable and one for the metrics, "
                f"sizes above 0 and values of at least 0, got shape {self.costs.shape}"
            )

    def weighted(self, weights: Doubles) -> Doubles:
        """One figure for each choice: its metrics times these weights of at least 0."""
        possible = np.all(np.isfinite(self.costs), axis=-1, keepdims=True)
        return np.where(possible[..., 0], np.where(possible, self.costs, 0.0) @ weights, np.inf)

    def of(self, choices: Mapping[str, int]) -> Doubles:
        """What these choices cost: [metrics]."""
        cost: Doubles = self.costs[tuple(choices[name] for name in self.over)]
        return cost


@dataclass(frozen=True, eq=False)
class Answer:
    """Choices that keep the limits, by variable, and their `costs` [metrics].

    bound: no choices that keep the limits have a metric 0 below it; where the answer is exact, it is costs[0].
    """

    choices: dict[str, int]
    costs: Doubles
    bound: float


@dataclass(frozen=True, eq=False)
class _Model:
    """The factors and their graph; `limits` [metrics], infinite for the first metric."""

    factors: Sequence[Factor]
    limits: Doubles
    sizes: Mapping[str, int]
    tree: Tree

    def totals(self, weights: Doubles) -> list[Doubles]:
        return least_totals(self.tree, [factor.weighted(weights) for factor in self.factors], self.sizes)

    def rests(self, weights: Doubles) -> list[Doubles]:
        return least_rests(self.tree, self.totals(weights), self.sizes)

    def cost(self, choices: Mapping[str, int]) -> Doubles:
        return _cost(self.factors, choices)


@dataclass(frozen=True, eq=False)
class _Bound:
    """Of a label that is part of the best answer, `weights` · costs and the least rest are together at most `top`.

    weights [metrics]; rests: for each node of the tree, by the choices of its open variables.
    """

    weights: Doubles
    rests: Sequence[Doubles]
    top: float

    def least(self, at: int, costs: Doubles, state: Indices) -> Doubles:
        """What labels of one node come to at least: [labels]."""
        return costs @ self.weights + self.rests[at].ravel()[state]


def allocate(factors: Sequence[Factor], limits: Sequence[float], *, names: Sequence[str] = ()) -> dict[str, int]:
    """The choices, by variable, with the least total of metric 0 whose total of metric m is at most limits[m − 1].

    Args:
        factors: At least one; the totals are sums over them. A variable has as many choices in each of them.
        limits: One for each metric after the first, at least 0; kept but for the rounding of a sum.
        names: Of the limits, for the message.

    Raises:
        ValueError: factors disagree about the number of choices or of metrics.
        PlanError: no choices keep the limits, or the graph of factors is too dense.
    """
    found = best_answer(factors, limits)
    if found is None:
        raise PlanError(_why_not(factors, limits, names))
    return found.choices


def best_answer(factors: Sequence[Factor], limits: Sequence[float]) -> Answer | None:
    """As `allocate`, with its costs; None where nothing that keeps the limits was found.

    Exact while no node has more than 1,000 labels left. Beyond that those with the lowest bounds stay, and the optimum
    lies between the answer's `bound` and its cost.
    """
    sizes = _sizes(factors, 1 + len(limits))
    tree = elimination_tree([factor.over for factor in factors], sizes)
    model = _Model(*_binding(factors, np.array([np.inf, *limits], np.float64)), sizes, tree)
    multipliers, choices = _multipliers(model)
    weights, offset = np.append(1.0, multipliers), float(multipliers @ model.limits[1:])
    rests, limited, dropped = model.rests(weights), _limited(model), np.inf
    for most in LABELS:
        best = float(model.cost(choices)[0]) if choices else np.inf
        better, dropped = _searched(model, [_Bound(weights, rests, best + offset), *limited], most)
        choices = better or choices
        if dropped == np.inf:
            break
    if not choices:
        return None
    costs = _cost(factors, choices)
    return Answer(choices, costs, min(float(costs[0]), dropped - offset))


def _cost(factors: Sequence[Factor], choices: Mapping[str, int]) -> Doubles:
    """What choices of all variables cost together: [metrics]."""
    total: Doubles = np.sum([factor.of(choices) for factor in factors], axis=0)
    return total


def _binding(factors: Sequence[Factor], limits: Doubles) -> tuple[list[Factor], Doubles]:
    """Without the metrics whose limits no choices can exceed: each metric less has far fewer labels left."""
    most = sum(factor.costs.reshape(-1, len(limits)).max(0) for factor in factors)
    metrics = np.flatnonzero((np.arange(len(limits)) == 0) | (most > limits))
    return [Factor(factor.over, factor.costs[..., metrics]) for factor in factors], limits[metrics]


def _sizes(factors: Sequence[Factor], metrics: int) -> dict[str, int]:
    if not factors:
        raise ValueError("allocate: at least one factor is needed, got none")
    sizes: dict[str, int] = {}
    for factor in factors:
        if factor.costs.shape[-1] != metrics:
            raise ValueError(
                f"Factor over ({', '.join(factor.over)}): {metrics} metrics are needed, one to minimise and one for "
                f"each limit, got {factor.costs.shape[-1]}"
            )
        for name, size in zip(factor.over, factor.costs.shape, strict=False):
            if sizes.setdefault(name, size) != size:
                raise ValueError(f"variable {name!r} has {sizes[name]} choices in one factor and {size} in another")
    return sizes


def _why_not(factors: Sequence[Factor], limits: Sequence[float], names: Sequence[str]) -> str:
    """The first limit that cannot be kept together with those before it."""
    for at, limit in enumerate(limits):
        metrics = [at + 1, *range(1, at + 1)]
        found = best_answer([Factor(factor.over, factor.costs[..., metrics]) for factor in factors], limits[:at])
        if found is None:
            break
        if found.costs[0] > limit:
            name = names[at] if names else f"limit {at + 1}"
            others = " with the limits before it kept" if at else ""
            return f"{name}: at most {limit:.6g} was asked, the least that can be reached{others} is {found.bound:.6g}"
    return "no choices were found that keep all limits and cost less than infinity; allow more"


def _multipliers(model: _Model) -> tuple[Doubles, dict[str, int]]:
    """The multipliers [limits] with the highest dual bound, by subgradient steps on their logarithms.

    Beside them the best choices met on the way that keep the limits; empty where none do.
    """
    limits = model.limits[1:]
    units = np.where(limits > 0, limits, 1.0)
    tried, logs = np.zeros(len(limits)), np.zeros(len(limits))
    best, highest = tried, -np.inf
    kept: tuple[float, dict[str, int]] = (np.inf, {})
    for step in range(_DUAL_STEPS):
        totals = model.totals(np.append(1.0, tried))
        if not np.isfinite(totals[-1]):
            break
        choices = best_choices(model.tree, totals, model.sizes)
        cost = model.cost(choices)
        if (dual := float(totals[-1] - tried @ limits)) > highest:
            best, highest = tried, dual
        if (cost[1:] <= limits).all():
            kept = min(kept, (float(cost[0]), choices), key=lambda pair: pair[0])
            if step == 0:
                break  # the best of all choices keeps the limits
        if step == 0:
            logs = np.full(len(limits), np.log(max(cost[0], 1e-9)))
        logs = logs + _DUAL_RATE * _DUAL_DECAY**step * np.clip((cost[1:] - limits) / units, -1.0, 4.0)
        tried = np.exp(logs) / units
    return best, kept[1]


def _limited(model: _Model) -> list[_Bound]:
    """Each limit by itself."""
    rows = np.eye(len(model.limits))[1:]
    return [_Bound(row, model.rests(row), float(top)) for row, top in zip(rows, model.limits[1:], strict=True)]


def _searched(model: _Model, bounds: Sequence[_Bound], most: int) -> tuple[dict[str, int], float]:
    """The best choices with so many labels kept of each node (empty: none), and the least bound of a label dropped."""
    nodes: list[Labels] = []
    least_dropped = np.inf
    for at in range(len(model.tree)):
        labels, dropped = _kept(model, at, _found(model, at, nodes), bounds, most)
        least_dropped = min(least_dropped, dropped)
        nodes.append(labels)
    last = nodes[-1]
    if not len(last.costs):
        return {}, least_dropped
    best = int(last.costs[:, 0].argmin())
    return {name: int(choice[best]) for name, choice in last.choices.items()}, least_dropped


def _found(model: _Model, at: int, nodes: Sequence[Labels]) -> Labels:
    """All labels of a node, from those of its parts."""
    if at < len(model.factors):
        return all_choices(model.factors[at].over, model.factors[at].costs)
    first, *others = model.tree[at].parts
    if not others:
        return nodes[first]
    shared = [name for name in model.tree[first].open if name in model.tree[others[0]].open]
    return joined(nodes[first], nodes[others[0]], shared, model.sizes)


def _kept(model: _Model, at: int, labels: Labels, bounds: Sequence[_Bound], most: int) -> tuple[Labels, float]:
    """The labels of a node that may be part of the best answer, at most so many, and the least bound of one dropped.

    The first bound says which are dropped.
    """
    state = labels.states(model.tree[at].open, model.sizes)
    least = np.stack([bound.least(at, labels.costs, state) for bound in bounds])
    tops = np.array([[bound.top + _ROUNDING * abs(bound.top)] for bound in bounds])
    left = np.flatnonzero((least <= tops).all(0))
    left = left[np.lexsort((*labels.costs[left].T, least[0, left]))]  # ties: by the costs themselves
    left, dropped = left[: most * _CANDIDATES], left[most * _CANDIDATES :]
    left = left[np.sort(frontier(labels.costs[left], state[left]))]
    dropped = np.append(dropped, left[most:])
    return labels[left[:most]], float(least[0, dropped].min(initial=np.inf))
