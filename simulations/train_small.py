"""What pruning has to beat: a network of the pruned sizes, trained from the start."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod, sqrt

import numpy as np

from fedtailor.client.train import cosine, fit
from fedtailor.protos.mask import Mask
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.net import Conv, Embedding, Layer, LayerNorm, Linear, Net, Positions
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import Samples
from fedtailor.protos.variant import Rung
from fedtailor.strategies.graph.groups import Group, Indices, channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.realise import realise, trace_back


def middle_rung(rungs: Sequence[Rung]) -> Rung | None:
    """The middle one, by payload, of the rungs that lost channels but no whole layer: it gives the sizes."""
    narrow = [rung for rung in rungs if rung.mask.layers and all(layer.kept for layer in rung.mask.layers)]
    by_size = sorted(narrow, key=lambda rung: rung.efficiency.payload_bytes)
    return by_size[len(by_size) // 2] if by_size else None


def train_small(net: Net, mask: Mask, rows: Samples, spec: ModelSpec, plan: TrainPlan, *, seed: int) -> Net:
    """`net` with as many channels as the mask left, drawn anew and trained on `rows` as a base is."""
    kept = {entry.layer: entry.kept for entry in mask.layers}
    groups = [group for group in channel_groups(net) if group.name in kept]
    narrow, _ = narrowed(net, [(group, _channels(group, kept[group.name])) for group in groups])
    start = fresh(narrow, seed)
    module = realise(start)
    fit(module, rows, spec, plan, seed=seed, schedule=cosine)
    return trace_back(module, start)


def fresh(net: Net, seed: int) -> Net:
    """The same layers with freshly drawn weights, as the built-in models start: He's for all but the last one.

    Source: He et al. 2015, arXiv:1502.01852, section 2.2.
    """
    rng = np.random.default_rng(seed)
    head = next((layer.name for layer in reversed(net.layers) if isinstance(layer, Conv | Linear)), None)
    return replace(net, layers=tuple(_drawn(layer, rng, last=layer.name == head) for layer in net.layers))


def _channels(group: Group, kept: tuple[int, ...]) -> Indices:
    """Which channels of the group these outputs of its first layer are."""
    return np.flatnonzero(np.isin(group.rows[group.name][:, 0], kept))


def _drawn(layer: Layer, rng: np.random.Generator, *, last: bool) -> Layer:
    if isinstance(layer, Conv | Linear):
        spread = sqrt((1 / 3 if last else 2) / prod(layer.weight.shape[1:]))
        weight = rng.normal(scale=spread, size=layer.weight.shape).astype(np.float32)
        return replace(layer, weight=weight, bias=np.zeros_like(layer.bias), scales=None)
    if isinstance(layer, Embedding | Positions):
        spread = 1.0 if isinstance(layer, Embedding) else 0.02  # positions shift what the embedding says a little
        return replace(layer, table=rng.normal(scale=spread, size=layer.table.shape).astype(np.float32))
    if isinstance(layer, LayerNorm):
        return replace(layer, scale=np.ones_like(layer.scale), shift=np.zeros_like(layer.shift))
    return layer
