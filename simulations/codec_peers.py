"""NNCodec on the same updates at equal relative error ‖x − x̂‖ / ‖x‖: a process of its own does the work.

NNCodec 2 (Becking et al. 2023, the ISO/IEC 15938-17 reference; a licence without patent grants, for comparison only)
asks for numpy below 2 in its metadata. It codes tensors with numpy 2 all the same, so it stands in no extra.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats
from fedtailor.protos.wire import to_bytes
from fedtailor.server.problem import one_line
from fedtailor.simulations.codec_methods import METHODS
from fedtailor.simulations.codec_rows import FP32, OURS, PeerRow
from fedtailor.simulations.course import course_of
from fedtailor.simulations.federation import Federation, Sent
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.task_pool import in_processes
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import Address, decode_update, encode_update

NNCODEC = "nncodec"
INSTALL = (
    "pip install --no-deps nncodec && pip install pandas scikit-learn h5py opencv-python-headless torchvision ptflops"
)
STEPS = tuple(range(-30, -5, 2))  # NNCodec's qp: the finer, the lower
AFTER_ROUNDS = 20
DEVICES = 2  # whose updates are coded, of each kind

CANDIDATES = (
    *(CodecSpec(name="uniform", version=1, args={"bits": bits}) for bits in range(2, 9)),
    *(CodecSpec(name="deadzone", version=1, args={"step": round(0.125 * 1.2**step, 3)}) for step in range(30)),
    *(CodecSpec(name="ternary", version=1, args={"tau": tau / 20}) for tau in range(2, 18)),
    *(
        CodecSpec(name="topk", version=1, args={"share": round(0.002 * 1.35**step, 4), "levels": levels})
        for step in range(20)
        for levels in (1, 2, 4, 8, 16)
    ),
)


@dataclass(frozen=True, eq=False)
class Vector:
    """An update to code, and what both sides know of it."""

    name: str
    tensors: list[Floats]
    context: Context


@dataclass(frozen=True, slots=True)
class Coded:
    """What a setting made of a vector: bytes as sent, and the relative error."""

    setting: str
    size_bytes: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What to compare on: updates of a fleet's first seed after some rounds."""

    fleet: Fleet
    per_round: int
    rounds: int = AFTER_ROUNDS


def match_peers(match: Match) -> list[PeerRow]:
    """A row for each update and setting of the peer; a single row with the reason where the peer cannot be used."""
    if find_spec(NNCODEC) is None:
        return [PeerRow(peer=NNCODEC, note=f"not installed: {INSTALL}")]
    return list(next(in_processes(matched, [match], 1)))


def matched(match: Match) -> list[PeerRow]:
    """As `match_peers`, in this process and on one thread."""
    torch.set_num_threads(1)
    with redirect_stdout(io.StringIO()), TemporaryDirectory() as folder:
        try:
            peer = import_module("nncodec.nn")
            return [
                row
                for vector in vectors_of(match)
                for row in _rows(vector.name, _peer_points(peer, vector, folder), our_points(vector))
            ]
        except Exception as error:  # whatever a peer breaks on is its row in the table
            return [PeerRow(peer=NNCODEC, note=one_line(f"{type(error).__name__}: {error}"))]


def vectors_of(match: Match) -> list[Vector]:
    """Updates of the last round: fresh ones, and ones that carry a residual."""
    course = course_of(match.fleet, match.per_round, seed=0)
    found = []
    for method in (METHODS[FP32], METHODS[OURS]):
        federation = Federation(course, method)
        sent: list[Sent] = []
        for _ in range(match.rounds):
            sent = federation.round()
        kind = "fresh" if method.name == FP32 else "with residual"
        found += [Vector(f"{kind} {at}", each.total, each.context) for at, each in enumerate(sent[:DEVICES])]
    return found


def our_points(vector: Vector) -> list[Coded]:
    """What each of our codecs makes of it, the envelope included."""
    return [_coded(vector, spec) for spec in CANDIDATES]


def relative_error(tensors: Sequence[Floats], decoded: Sequence[Floats]) -> float:
    """‖x − x̂‖ / ‖x‖ over all tensors; 0 for zeros that come back."""
    wide = [(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(tensors, decoded, strict=True)]
    off = sum(float(((x - y) ** 2).sum()) for x, y in wide)
    return float(np.sqrt(off / (sum(float((x**2).sum()) for x, _ in wide) or 1.0)))


def _coded(vector: Vector, spec: CodecSpec) -> Coded:
    address = Address(device_id="device-00", round=2, base_version=2, context_version=1, codec=spec)
    rng = np.random.default_rng(0)
    update = encode_update(vector.tensors, vector.context, address, num_examples=1000, rng=rng)
    decoded = decode_update(update, vector.context, expected=address).deltas
    words = ", ".join(f"{name} {value:g}" for name, value in spec.args.items())
    return Coded(f"{spec.name} {words}", len(to_bytes(update)), relative_error(vector.tensors, decoded))


def _peer_points(peer: Any, vector: Vector, folder: str) -> Iterator[Coded]:
    """Tensors get short names: the peer writes them into its bytes."""
    named = {str(at): tensor for at, tensor in enumerate(vector.tensors)}
    for qp in STEPS:
        settings = {"qp": qp, "nonweight_qp": qp, "results": folder, "verbose": False}
        written = peer.encode(dict(named), settings, incremental=True)
        read: Mapping[str, Floats] = peer.decode(written)
        decoded = [np.asarray(read[name]).reshape(tensor.shape) for name, tensor in named.items()]
        yield Coded(f"qp {qp}", len(written), relative_error(vector.tensors, decoded))


def _rows(update: str, theirs: Iterable[Coded], ours: Sequence[Coded]) -> list[PeerRow]:
    return [_row(update, their, [our for our in ours if our.error <= their.error]) for their in theirs]


def _row(update: str, their: Coded, as_good: Sequence[Coded]) -> PeerRow:
    row = PeerRow(peer=NNCODEC, setting=their.setting, update=update, error=their.error, peer_bytes=their.size_bytes)
    if not as_good:
        return replace(row, note="none of our codecs is as exact")
    best = min(as_good, key=lambda our: our.size_bytes)
    return replace(row, our_error=best.error, our_bytes=best.size_bytes, ours=best.setting)
