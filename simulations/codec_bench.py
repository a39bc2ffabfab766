"""The bench of codecs as a whole: accuracy against bytes, a peer on the same updates, and speed."""

from dataclasses import dataclass

from fedtailor.protos.plan import CodecSpec
from fedtailor.server.progress import Progress
from fedtailor.simulations.codec_accuracy import Terms, bench_accuracy
from fedtailor.simulations.codec_peers import Match, match_peers
from fedtailor.simulations.codec_rows import FP32, OURS, MethodRow, PeerRow, SpeedRow, method_rows
from fedtailor.simulations.codec_speed import SIZES, bench_speed
from fedtailor.simulations.federation import RAW
from fedtailor.simulations.fleet import Fleet
from fedtailor.strategies.codec.profile import Statistics, profile

OFTEN = profile(0.25, Statistics(rounds=80, parameters=10**6, skewed=True))
TIMED = {OURS: OFTEN.codec, "int8": CodecSpec(name="uniform", version=1, args={"bits": 8}), FP32: RAW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Which of the two are asked for."""

    accuracy: bool
    speed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Rows of both halves; empty where one was not asked for."""

    methods: tuple[MethodRow, ...] = ()
    peers: tuple[PeerRow, ...] = ()
    speed: tuple[SpeedRow, ...] = ()


def bench_codec(fleet: Fleet, terms: Terms, halves: Halves, progress: Progress) -> Found:
    """The halves that are asked for.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    methods, peers = _accuracy(fleet, terms, progress) if halves.accuracy else ((), ())
    speed = bench_speed(TIMED, SIZES, progress) if halves.speed else []
    return Found(methods=methods, peers=peers, speed=tuple(speed))


def _accuracy(fleet: Fleet, terms: Terms, progress: Progress) -> tuple[tuple[MethodRow, ...], tuple[PeerRow, ...]]:
    methods = method_rows(bench_accuracy(fleet, terms, progress))
    progress("peer", 0, 1, "")
    peers = match_peers(Match(fleet=fleet, per_round=terms.per_round))
    progress("peer", 1, 1, "")
    return tuple(methods), tuple(peers)
