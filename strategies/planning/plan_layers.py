"""The allotment of least predicted loss for one net under limits: the optimum of an additive model of its layers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Net
from fedtailor.strategies.compression.allotment import Allotment
from fedtailor.strategies.graph.groups import Group, Indices, channel_groups
from fedtailor.strategies.graph.layer_sizes import LayerSize, layer_sizes, output_places
from fedtailor.strategies.planning.allocate import Factor, allocate
from fedtailor.strategies.planning.cost_model import LAYER_BYTES, NET_BYTES, layer_bytes, session_bytes
from fedtailor.strategies.planning.latency import Latencies
from fedtailor.strategies.planning.sensitivity import CodingCost, Sensitivities

_LEVELS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.09)  # of a group's channels
_MOST_TOGETHER = 4000  # sizes of one layer, over the levels of all groups that meet in it
_UNCODED = {None: CodingCost(loss=0.0, bits=32.0)}  # a table of symbols or positions


@dataclass(frozen=True)
class Limits:
    """What a variant may cost, inclusive; None is no limit. It may never take longer than the dense net in float32."""

    payload_bytes: float
    latency_us: float = math.inf
    memory_bytes: float | None = None


@dataclass(frozen=True, eq=False)
class Choices:
    """What can be chosen for one net and what that costs, known once for all limits.

    levels: channels left that a group may have, by group. places: of each layer's answer, beside its rows.
    """

    levels: Mapping[str, Indices]
    sizes: Mapping[str, LayerSize]
    places: Mapping[str, int]
    layers: int
    sensitivities: Sensitivities
    latencies: Latencies


def choices_for(net: Net, sensitivities: Sensitivities, latencies: Latencies) -> Choices:
    """Every group at up to ten levels, at fewer where many groups meet in one layer."""
    groups = channel_groups(net)
    sizes = layer_sizes(net, groups)
    return Choices(
        levels={group.name: _levels(group, sizes) for group in groups},
        sizes=sizes,
        places=output_places(net),
        layers=len(net.layers),
        sensitivities=sensitivities,
        latencies=latencies,
    )


def allot(choices: Choices, limits: Limits) -> Allotment:
    """The allotment with the least predicted loss; of two that lose alike, that of the faster execution.

    Raises:
        PlanError: the limits cannot be kept, whether the net computes in float32 or in int8.
    """
    found: list[tuple[float, float, Allotment]] = []
    problems: list[str] = []
    for integer in (False, True):
        try:
            found.append(_allotted(choices, limits, integer=integer))
        except PlanError as problem:
            problems.append(f"{'int8' if integer else 'fp32'}: {problem}")
    if not found:
        raise PlanError("; ".join(problems))
    return min(found, key=lambda each: each[:2])[2]


def dense_us(choices: Choices) -> float:
    """The modelled latency of the whole net in float32."""
    return modelled_us(choices, {name: int(levels[0]) for name, levels in choices.levels.items()}, integer=False)


def modelled_us(choices: Choices, kept: Mapping[str, int], *, integer: bool) -> float:
    """The latency of the net with so many channels of each group, from the table of its layers."""
    total = choices.latencies.rest_us[integer]
    for name, grid in choices.latencies.layers.items():
        size = choices.sizes[name]
        total += float(grid.latency_us(size.rows.size(kept), size.columns.size(kept), integer=integer))
    return total


def _allotted(choices: Choices, limits: Limits, *, integer: bool) -> tuple[float, float, Allotment]:
    """For one execution: predicted loss, modelled latency, allotment."""
    factors = _factors(choices, integer=integer)
    asked = _asked(choices, limits)
    limited = [0, *(metric for metric, limit in enumerate(asked.values(), start=1) if limit is not None)]
    picked = allocate(
        [Factor(factor.over, factor.costs[..., limited]) for factor in factors],
        [limit for limit in asked.values() if limit is not None],
        names=[name for name, limit in asked.items() if limit is not None],
    )
    loss = sum(float(factor.of(picked)[0]) for factor in factors)
    kept = {name: int(levels[picked[name]]) for name, levels in choices.levels.items()}
    coding = {name: list(costs)[picked[_coding_of(name)]] for name, costs in choices.sensitivities.coding.items()}
    return round(loss, 9), modelled_us(choices, kept, integer=integer), Allotment(kept, coding)


def _asked(choices: Choices, limits: Limits) -> dict[str, float | None]:
    return {
        "payload bytes": limits.payload_bytes,
        "latency in microseconds": min(dense_us(choices), limits.latency_us),
        "memory bytes": limits.memory_bytes,
    }


def _factors(choices: Choices, *, integer: bool) -> list[Factor]:
    """Metrics: loss, payload bytes, latency, memory bytes."""
    fixed = np.array([0.0, NET_BYTES + LAYER_BYTES * choices.layers, choices.latencies.rest_us[integer], 0.0])
    factors = [Factor((), fixed)]
    for name, levels in choices.levels.items():
        loss = choices.sensitivities.keep[name][levels]
        factors.append(Factor((name,), np.stack([loss, *[np.zeros_like(loss)] * 3], axis=-1)))
    return [*factors, *(_layer_factor(choices, name, integer=integer) for name in choices.sizes)]


def _layer_factor(choices: Choices, name: str, *, integer: bool) -> Factor:
    """What one layer costs by the levels of its groups and by its coding."""
    size, codings = choices.sizes[name], choices.sensitivities.coding.get(name, _UNCODED)
    axes = np.meshgrid(*(choices.levels[group] for group in size.groups), np.arange(len(codings)), indexing="ij")
    kept = dict(zip(size.groups, axes, strict=False))
    rows, columns = size.rows.size(kept), size.columns.size(kept)
    losses, bits = (np.array([getattr(cost, key) for cost in codings.values()])[axes[-1]] for key in ("loss", "bits"))
    timed = name in choices.latencies.layers
    costs = (
        losses * (size.columns.full / columns),  # fewer inputs to make up for each other's errors
        layer_bytes(rows, columns, bits),
        choices.latencies.layers[name].latency_us(rows, columns, integer=integer) if timed else 0.0,
        session_bytes(rows, columns, choices.places[name], integer=integer),
    )
    over = (*size.groups, _coding_of(name))
    return Factor(over, np.stack([np.broadcast_to(cost, axes[-1].shape) for cost in costs], axis=-1))


def _coding_of(name: str) -> str:
    return f"coding of {name}"


def _levels(group: Group, sizes: Mapping[str, LayerSize]) -> Indices:
    """Channels left, descending."""
    meeting = max(len(size.groups) for size in sizes.values() if group.name in size.groups)
    most = max(int(_MOST_TOGETHER ** (1 / meeting)), 2)
    picked = np.linspace(0, len(_LEVELS) - 1, min(most, len(_LEVELS))).round().astype(int)
    return np.unique(np.maximum(np.rint(np.array(_LEVELS)[picked] * group.channels), 1).astype(np.int64))[::-1]
