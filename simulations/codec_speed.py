"""How fast updates are written and read: CPU time of one thread against copying the same numbers in the same run.

What is timed is a coder's `encode` and `decode`; the context is prepared before, as a server or device prepares it once
for many updates. Tensors are those of a convolutional network, their values normal, with a scale for each row.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt, prod
from statistics import median

import numpy as np

from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.server.progress import Progress
from fedtailor.simulations.codec_rows import SpeedRow
from fedtailor.strategies.codec.codec import Coder, Encoded, coder_of
from fedtailor.strategies.codec.context import Context

SIZES = (100_000, 1_000_000, 10_000_000)
REPEATS = 15
FEWEST_VALUES = 2_000_000  # in one timing: a shorter one says more of the clock
CONVOLUTIONS = 5


@dataclass(frozen=True, eq=False)
class _Turn:
    """One coder at work on one update."""

    method: str
    coder: Coder
    encoded: Encoded


def bench_speed(codecs: Mapping[str, CodecSpec], sizes: Sequence[int], progress: Progress) -> list[SpeedRow]:
    """A row for every size and codec, by the names given; all of one size take turns with memcpy.

    Raises:
        PlanError: a codec is not known.
    """
    rows: list[SpeedRow] = []
    for done, parameters in enumerate(sizes):
        progress("speed", done, len(sizes), f"{parameters:,} parameters")
        rows += _rows_of(codecs, parameters)
    progress("speed", len(sizes), len(sizes), "")
    return rows


def network_schema(parameters: int) -> Schema:
    """Five 3×3 convolutions of one width and a head, so many parameters in all (at least 100)."""
    width = max(1, isqrt(parameters // (9 * (CONVOLUTIONS + 1))))
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(CONVOLUTIONS):
        shapes[f"conv{layer}.weight"] = (width, width, 3, 3)
        shapes[f"conv{layer}.bias"] = (width,)
    left = parameters - sum(map(prod, shapes.values()))
    outputs = left // (width + 1)
    shapes["head.weight"] = (outputs, width)
    shapes["head.bias"] = (left - outputs * width,)
    return Schema(tuple(shapes), tuple(shapes.values()))


def made_up_update(schema: Schema, rng: np.random.Generator) -> list[Floats]:
    """Normal values with a log-normal scale for each row."""
    return [
        (rng.standard_normal(shape) * rng.lognormal(size=(shape[0], *[1] * (len(shape) - 1))) / 1000).astype(np.float32)
        for shape in schema.shapes
    ]


def _rows_of(codecs: Mapping[str, CodecSpec], parameters: int) -> list[SpeedRow]:
    rng = np.random.default_rng(parameters)
    schema = network_schema(parameters)
    update = made_up_update(schema, rng)
    steps = (rng.integers(-(2**22), 2**22, schema.size, np.int32), rng.integers(-(2**18), 2**18, schema.size, np.int32))
    context = Context(schema, *steps)
    turns = [_first_turn(name, codec, update, context) for name, codec in codecs.items()]
    copied = np.concatenate([tensor.ravel() for tensor in update])
    target = np.empty_like(copied)
    times: dict[str, list[list[float]]] = {turn.method: [] for turn in turns}
    calls = max(1, FEWEST_VALUES // parameters)
    for _ in range(REPEATS):
        for turn in turns:
            acts = (
                partial(np.copyto, target, copied),
                partial(turn.coder.encode, update, context, rng),
                partial(turn.coder.decode, turn.encoded, context),
            )
            times[turn.method].append([_seconds(act, calls) for act in acts])
    return [_row(turn, parameters, times[turn.method]) for turn in turns]


def _first_turn(method: str, codec: CodecSpec, update: Sequence[Floats], context: Context) -> _Turn:
    """Encode and decode once: what a context works out on first use is worked out then."""
    coder = coder_of(codec)
    encoded = coder.encode(update, context, np.random.default_rng(0))
    coder.decode(encoded, context)
    return _Turn(method, coder, encoded)


def _seconds(act: Callable[[], object], calls: int) -> float:
    began = time.thread_time()
    for _ in range(calls):
        act()
    return (time.thread_time() - began) / calls


def _row(turn: _Turn, parameters: int, times: Sequence[Sequence[float]]) -> SpeedRow:
    memcpy_s, encode_s, decode_s = zip(*times, strict=True)
    megabytes = 4 * parameters / 1e6
    return SpeedRow(
        method=turn.method,
        parameters=parameters,
        payload_bytes=len(turn.encoded.payload) + 4 * len(turn.encoded.scales),
        encode_mb_s=megabytes / median(encode_s),
        decode_mb_s=megabytes / median(decode_s),
        memcpy_mb_s=megabytes / median(memcpy_s),
        encode_of_memcpy=median(np.divide(memcpy_s, encode_s).tolist()),
        decode_of_memcpy=median(np.divide(memcpy_s, decode_s).tolist()),
    )
