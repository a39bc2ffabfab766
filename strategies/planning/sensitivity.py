"""What each choice for a layer costs in the loss: each made alone, on rows that nothing was fitted to.

Losses of different layers are taken as additive. That holds while they are small (the second-order view of the loss,
Dong et al. 2020, HAWQ-V2, arXiv:1911.03852, section 3); on a trained net their sum ranks whole allotments, which is
all that a planner needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION, ModelSpec
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.prune import prune, removals
from fedtailor.strategies.compression.removal import Removal
from fedtailor.strategies.compression.spread import spread_rows
from fedtailor.strategies.graph.groups import Group, channel_groups
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.planning.partial_coding import PartlyCoded, layer_inputs, partly_coded

Rows = NDArray[np.generic]

CODINGS = (Coding(6), Coding(4), Coding(3, 0.5), Coding(2), Coding(2, 0.3), Coding(2, 0.15))
_KEPT = (0.5, 0.25, 0.75)  # of a group's channels: where its curve is calibrated to the loss
_MOST_PRUNINGS = 9  # of a net, about: with more groups each is calibrated at fewer places
_FEWEST_JUDGED, _MOST_JUDGED = 64, 256  # rows; in between, as many as a large net can afford
_JUDGED_MACS = 2 * 10**9
_FEWEST_DESCRIBING = 64  # rows that say what layers read; more where all values of a net over them can be held
_MOST_VALUES = 1 << 24
_LEAST = 1e-9  # of a loss: logarithms are taken


@dataclass(frozen=True)
class CodingCost:
    """What one coding of one layer adds to the loss, and how many bits a weight takes in a payload."""

    loss: float
    bits: float


@dataclass(frozen=True, eq=False)
class Sensitivities:
    """Losses in nats of divergence from the dense net's answers, or in squared target scales for regression.

    keep: by group [channels + 1], by the number of channels left; none left is infinite. coding: by layer and coding.
    """

    keep: Mapping[str, Doubles]
    coding: Mapping[str, Mapping[Coding, CodingCost]]


@dataclass(frozen=True, eq=False)
class _Bench:
    """Rows to fit to and rows to judge on, and what the dense net answers to these."""

    net: Net
    fitted: Rows
    judged: Tensor
    wanted: Tensor
    spec: ModelSpec

    def loss(self, net: Net) -> float:
        """How far a net's answers are from the dense one's."""
        return divergence(_answers(net, self.judged), self.wanted, self.spec)


def sensitivities(
    net: Net, calibration: Rows, spec: ModelSpec, *, codings: Sequence[Coding] = CODINGS
) -> Sensitivities:
    """Every group narrowed and every layer coded, one at a time.

    Of a group the whole curve comes from one pass of `removals`; a few places of it, narrowed and run, say what its
    layer-wise errors mean for the loss.

    Args:
        net: The dense net with float weights.
        calibration: Samples [N, *net.input_shape], at least two; a third of them, at most 256, judges.
        spec: Says the kind of task.
        codings: What a layer's weights may be.

    Raises:
        PlanError: there are fewer than two samples.
    """
    bench = _bench(net, calibration, spec)
    return Sensitivities(_keep_losses(bench), _coding_costs(bench, codings))


def divergence(answers: Tensor, wanted: Tensor, spec: ModelSpec) -> float:
    """KL(wanted ‖ answers) per row or token; for regression the squared distance in target scales."""
    if spec.kind == REGRESSION:
        return float(((answers - wanted) / spec.target_scale).square().mean())
    ours, theirs = (torch.log_softmax(each.double().flatten(0, -2), dim=-1) for each in (answers, wanted))
    found = torch.nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return max(float(found), 0.0)  # rounding makes it negative where both answer alike


def _bench(net: Net, calibration: Rows, spec: ModelSpec) -> _Bench:
    if len(calibration) < 2:
        raise PlanError(f"sensitivities: at least two samples are needed, got {len(calibration)}")
    judges = np.arange(len(calibration)) % 3 == 1
    most = max(_FEWEST_JUDGED, min(_JUDGED_MACS // max(macs(net), 1), _MOST_JUDGED))
    judged = torch.from_numpy(spread_rows(calibration[judges], most))
    return _Bench(net, calibration[~judges], judged, _answers(net, judged), spec)


def _answers(net: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        answers: Tensor = realise(net)(x)
    return answers


def _keep_losses(bench: _Bench) -> dict[str, Doubles]:
    groups = channel_groups(bench.net)
    found = removals(bench.net, bench.fitted, groups)
    fractions = _KEPT[: max(_MOST_PRUNINGS // max(len(groups), 1), 1)]
    return {group.name: _curve(bench, group, found, fractions) for group in groups}


def _curve(bench: _Bench, group: Group, found: Mapping[str, Removal], fractions: Sequence[float]) -> Doubles:
    """The loss by the number of channels left, never less with fewer."""
    places = sorted({max(int(fraction * group.channels), 1) for fraction in fractions} - {group.channels}, reverse=True)
    narrowed = (prune(bench.net, bench.fitted, {group.name: place}, found=found)[0] for place in places)
    losses = calibrated(found[group.name].costs, places, [bench.loss(net) for net in narrowed])
    losses[0] = np.inf
    return losses


def calibrated(errors: Doubles, places: Sequence[int], losses: Sequence[float]) -> Doubles:
    """Losses for all `errors` [n], which fall to 0 at the last one, from the losses at a few descending `places`.

    Both are taken as logarithms, linear between the places; beyond them loss is in proportion to error.
    """
    logs = np.log(np.maximum(errors, _LEAST))
    xs, ys = np.maximum.accumulate(logs[list(places)]), np.maximum.accumulate(np.log(np.maximum(losses, _LEAST)))
    beyond = np.minimum(logs - xs[0], 0.0) + np.maximum(logs - xs[-1], 0.0)
    estimated = np.exp(np.interp(logs, xs, ys) + beyond)
    estimated[-1] = 0.0
    return np.asarray(np.maximum.accumulate(estimated[::-1])[::-1])


@torch.no_grad()
def _coding_costs(bench: _Bench, codings: Sequence[Coding]) -> dict[str, dict[Coding, CodingCost]]:
    """By layer; its inputs are those of the dense net."""
    most = max(_FEWEST_DESCRIBING, _MOST_VALUES // sum(map(prod, layer_shapes(bench.net))))
    values = realise(bench.net).values(torch.from_numpy(spread_rows(bench.fitted, most)))
    costs = {}
    for place, layer in enumerate(bench.net.layers):
        if isinstance(layer, Conv | Linear):
            inputs = layer_inputs(layer, values[bench.net.wires[place][0]])
            parts = ((coding, partly_coded(layer, inputs, coding)) for coding in codings)
            costs[layer.name] = {coding: _coding_cost(bench, place, part) for coding, part in parts}
    return costs


def _coding_cost(bench: _Bench, place: int, coded: PartlyCoded) -> CodingCost:
    layers = (*bench.net.layers[:place], coded.layer, *bench.net.layers[place + 1 :])
    return CodingCost(bench.loss(replace(bench.net, layers=layers)) / coded.share, coded.bits)
