"""Coordinate by coordinate, the mean of what is left without the largest and the smallest values.

Source: Yin et al. 2018, arXiv:1803.01498, definition 2; here over the devices that cover the coordinate.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fedtailor.protos.errors import RoundError
from fedtailor.protos.schema import Doubles, Schema
from fedtailor.strategies.merge.aggregate import MakeAggregate, register
from fedtailor.strategies.merge.held import BLOCK, Held, Reply, check_share, most_hostile
from fedtailor.strategies.merge.step import Step
from fedtailor.strategies.named import Named


def trimmed_mean(args: Mapping[str, float]) -> MakeAggregate:
    """Withstand a share `hostile` of a round's replies, b of them: the b largest and b smallest values go.

    A coordinate that fewer than 2b + 1 replies cover stays where it is: all that is said of it might be hostile. What a
    sparse codec leaves out counts as 0, so that a coordinate that few devices say anything of comes to 0 as well: this
    wants a codec that says all.

    Raises:
        ValueError: `hostile` is not from 0 to below 0.5.
    """
    check_share(args["hostile"])
    return partial(Held, partial(_trimmed, args["hostile"]))


def _trimmed(hostile: float, replies: Sequence[Reply], schema: Schema, kappa: float) -> Step:
    trim = most_hostile(hostile, len(replies))
    if 0 < len(replies) <= 2 * trim:
        raise RoundError(
            f"trimmed-mean: {len(replies)} replies came, at least {2 * trim + 1} are needed to withstand {trim} hostile"
        )
    values, covered = np.zeros(schema.size), np.zeros(schema.size, np.bool_)
    for low in range(0, schema.size if replies else 0, BLOCK):
        high = min(low + BLOCK, schema.size)
        block = _sorted(replies, low, high)
        count = np.isfinite(block).sum(axis=0)
        left = np.maximum(count - 2 * trim, 0)
        ranks = np.arange(len(replies))[:, None]
        total = np.where((ranks >= trim) & (ranks < trim + left), block, 0.0).sum(axis=0)
        shrinkage = count / np.maximum(count, max(1.0, kappa * len(replies)))  # as in `Merge`, min(1, C / (κ A))
        values[low:high] = total / np.maximum(left, 1) * shrinkage
        covered[low:high] = left > 0
    return Step(values, covered)


def _sorted(replies: Sequence[Reply], low: int, high: int) -> Doubles:
    """Each coordinate's values in ascending order [replies, high - low]; infinite, so last, where it is not covered."""
    block = np.full((len(replies), high - low), np.inf)
    for row, reply in zip(block, replies, strict=True):
        np.copyto(row, reply.values(low, high), where=reply.covered(low, high))
    block.sort(axis=0)
    return block


TRIMMED_MEAN = register(Named(name="trimmed-mean", version=1, defaults={"hostile": 0.2}, make=trimmed_mean))
