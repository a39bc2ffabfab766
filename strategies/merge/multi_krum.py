"""The mean of those updates that lie closest to their neighbours.

Source: Blanchard et al. 2017, NeurIPS, sections 3 (Krum's score) and 4 (Multi-Krum: the mean of the best m). Of k
replies, f of them hostile, m is k - f - 2 here: as many as a score counts neighbours.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fedtailor.protos.errors import PlanError, RoundError
from fedtailor.protos.schema import Doubles, Schema
from fedtailor.strategies.merge.aggregate import MakeAggregate, register
from fedtailor.strategies.merge.held import BLOCK, Held, Reply, check_share, most_hostile
from fedtailor.strategies.merge.merge import Merge
from fedtailor.strategies.merge.step import Step
from fedtailor.strategies.named import Named


def multi_krum(args: Mapping[str, float]) -> MakeAggregate:
    """Withstand a share `hostile` of a round's replies, f of them, if there are at least 2f + 3.

    Whole updates are compared, so all must cover the same coordinates.

    Raises:
        ValueError: `hostile` is not from 0 to below 0.5.
    """
    check_share(args["hostile"])
    return partial(Held, partial(_closest, args["hostile"]))


def _closest(hostile: float, replies: Sequence[Reply], schema: Schema, kappa: float) -> Step:
    count, most = len(replies), most_hostile(hostile, len(replies))
    if 0 < count < 2 * most + 3:
        raise RoundError(
            f"multi-krum: {count} replies came, at least {2 * most + 3} are needed to withstand {most} hostile"
        )
    _check_alike(replies, schema)
    neighbours = count - most - 2
    scores = np.sort(_distances(replies, schema), axis=1)[:, 1 : neighbours + 1].sum(axis=1)  # the nearest is itself
    best = sorted(range(count), key=lambda at: (scores[at], replies[at].sender))[: max(neighbours, 0)]
    flat = Schema(("all",), ((schema.size,),))
    merge = Merge(flat)
    for reply in (replies[at] for at in best):
        merge.fold([reply.values(0, schema.size)], 1.0, sender=reply.sender, masks=[reply.kept])
    return merge.mean(kappa)


def _distances(replies: Sequence[Reply], schema: Schema) -> Doubles:
    """The squared distance of every pair [replies, replies], each summed by itself: the same bits in any order."""
    squared = np.zeros((len(replies), len(replies)))
    for low in range(0, schema.size if replies else 0, BLOCK):
        block = np.stack([reply.values(low, min(low + BLOCK, schema.size)) for reply in replies]).astype(np.float64)
        for at in range(len(replies)):
            squared[at] += np.square(block - block[at]).sum(axis=1)
    return squared


def _check_alike(replies: Sequence[Reply], schema: Schema) -> None:
    for reply in replies[1:]:
        if not np.array_equal(reply.covered(0, schema.size), replies[0].covered(0, schema.size)):
            raise PlanError(
                f"multi-krum compares whole updates, and {reply.sender} covers other coordinates than "
                f"{replies[0].sender}; use trimmed-mean where devices train parts of the model"
            )


MULTI_KRUM = register(Named(name="multi-krum", version=1, defaults={"hostile": 0.2}, make=multi_krum))
