"""What it costs to merge a cohort: CPU time of one thread against reading the same numbers, and memory.

Reading is adding up a reply's numbers in float64, the precision that the merge keeps (numpy's `sum`); beside it stands
the same in float32, a quarter to a third of the time. Replies are made up: normal values in the tensors of a
convolutional network, as they leave the codec; masks cover about half of the coordinates. In a round all replies are of
one kind, so the kinds take turns of some replies each. A cohort reuses a few made-up replies: a thousand of them would
take gigabytes.
"""

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fedtailor.protos.schema import Floats, Schema
from fedtailor.server.progress import Progress
from fedtailor.simulations.codec_speed import made_up_update, network_schema
from fedtailor.strategies.merge.merge import Merge
from fedtailor.strategies.merge.sparse import Kept, Sparse

POOL = 8  # made-up replies; more than the caches hold, of a million numbers each
TURN = 100  # replies of one kind before the next kind's turn: long enough for its sums to come back to the caches
KINDS = ("read", "read_float32", "dense", "masked", "sparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeBench:
    """Times are those of the median reply. `…_over_…`: how many times as long; `sparse_over_dense`: how many
    times faster. peak_bytes: what the merge of `replies` and its mean take at most beside the replies themselves, as
    tracemalloc counts it, dense; `…_masked`: with masks; `…_small_cohort`: dense, of a tenth as many replies.
    """

    parameters: int
    replies: int
    density: float
    seed: int
    read_ms: float
    read_float32_ms: float
    dense_ms: float
    masked_ms: float
    sparse_ms: float
    dense_over_read: float
    dense_over_read_float32: float
    masked_over_dense: float
    sparse_over_dense: float
    peak_bytes: int
    peak_bytes_small_cohort: int
    peak_bytes_masked: int


@dataclass(frozen=True, eq=False, slots=True)
class MadeUp:
    """One reply in all its forms."""

    tensors: list[Floats]
    masks: list[Kept]
    sparse: Sparse


def bench_merge(parameters: int, replies: int, density: float, seed: int, progress: Progress) -> MergeBench:
    """Fold `replies` of each kind; a sparse one has a share `density`, above 0 and at most 1, of the coordinates."""
    schema, rng = network_schema(parameters), np.random.default_rng(seed)
    pool = [made_up_reply(schema, density, rng) for _ in range(POOL)]
    ms = _milliseconds(schema, pool, replies, progress)
    return MergeBench(
        parameters=parameters,
        replies=replies,
        density=density,
        seed=seed,
        **{f"{kind}_ms": ms[kind] for kind in KINDS},
        dense_over_read=ms["dense"] / ms["read"],
        dense_over_read_float32=ms["dense"] / ms["read_float32"],
        masked_over_dense=ms["masked"] / ms["dense"],
        sparse_over_dense=ms["dense"] / ms["sparse"],
        peak_bytes=_peak_bytes(schema, pool, replies, "dense"),
        peak_bytes_small_cohort=_peak_bytes(schema, pool, max(1, replies // 10), "dense"),
        peak_bytes_masked=_peak_bytes(schema, pool, replies, "masked"),
    )


def made_up_reply(schema: Schema, density: float, rng: np.random.Generator) -> MadeUp:
    """A delta, masks over about half of it, and another of which a share `density` was sent."""
    count = max(1, round(density * schema.size))
    positions = np.sort(rng.choice(schema.size, count, replace=False)).astype(np.int64)
    return MadeUp(
        tensors=made_up_update(schema, rng),
        masks=[rng.random(shape) < 0.5 for shape in schema.shapes],
        sparse=Sparse(positions, rng.standard_normal(count).astype(np.float32)),
    )


def _milliseconds(schema: Schema, pool: Sequence[MadeUp], replies: int, progress: Progress) -> dict[str, float]:
    """By kind, what the median reply takes."""
    acts = {kind: _act(kind, Merge(schema)) for kind in KINDS}
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for first in range(0, replies, TURN):
        turn = [pool[at % POOL] for at in range(first, min(first + TURN, replies))]
        for kind, act in acts.items():
            taken[kind] += [_seconds(act, reply) for reply in turn]
        progress("merge", first + len(turn), replies, "replies of each kind")
    return {kind: 1000 * median(times) for kind, times in taken.items()}


def _seconds(act: Callable[[MadeUp], object], reply: MadeUp) -> float:
    began = time.thread_time()
    act(reply)
    return time.thread_time() - began


def _act(kind: str, merge: Merge) -> Callable[[MadeUp], object]:
    return {
        "read": lambda reply: [tensor.sum(dtype=np.float64) for tensor in reply.tensors],
        "read_float32": lambda reply: [tensor.sum() for tensor in reply.tensors],
        "dense": lambda reply: merge.fold(reply.tensors, 37.0, sender="made up"),
        "masked": lambda reply: merge.fold(reply.tensors, 37.0, sender="made up", masks=reply.masks),
        "sparse": lambda reply: merge.fold_sparse(reply.sparse, 37.0, sender="made up"),
    }[kind]


def _peak_bytes(schema: Schema, pool: Sequence[MadeUp], replies: int, kind: str) -> int:
    tracemalloc.start()
    try:
        merge = Merge(schema)
        act = _act(kind, merge)
        for at in range(replies):
            act(pool[at % POOL])
        merge.mean()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
