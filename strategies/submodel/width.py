"""Submodels by width: a window of every layer's channels, which moves on by one channel a round.

Source: Alam et al. 2022, FedRolex, arXiv:2212.01548, section 3.2.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build
from fedtailor.strategies.submodel.part import Part, checked, counted


def width_part(spec: ModelSpec, share: float, offset: int) -> Part:
    """The model with only `share` (above 0, at most 1) of its channels, at least one of each group, from `offset` on.

    Raises:
        PlanError: the model cannot be traced, or none of its channels can go.
    """
    model = build(spec)
    schema = counted(model)
    net = trace(model, spec)
    groups = channel_groups(net)
    if not groups:
        raise PlanError(f"model {spec.name!r} cannot be made narrower: none of its channels can go")
    kept = [(group, window(group.channels, share, offset)) for group in groups]
    return checked(Part(narrowed(net, kept)[0], schema))


def window(channels: int, share: float, offset: int) -> NDArray[np.int64]:
    """A share of so many channels, at least one, from `offset` on and around the end; ascending."""
    count = max(1, round(share * channels))
    return np.sort((offset + np.arange(count)) % channels)
