"""What the bench of codecs finds: one run of one method, a method over its seeds, a speed, and a match with a peer."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from fedtailor.server.report.wording import NBSP, UNKNOWN

FP32 = "fp32"  # the method all others are held against
OURS = "ours"  # how the names of our profiles begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method from one seed. Bytes are means over the messages that were counted, envelopes included.

    Uplink: an update. Downlink: what brought a device that was asked to the public base. Broadcast: what would bring
    one there that had missed nothing. Scores are on all rows of a split, the mean over the last rounds' bases.
    """

    method: str
    seed: int
    metric: str
    better: str
    parameters: int
    uplink_bytes: float
    downlink_bytes: float
    broadcast_bytes: float
    validation_score: float
    test_score: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """A method's means over its seeds. Ratios are 4 bytes a parameter over the bytes.

    Deltas are against fp32 of the same seed, above 0 is better: points for accuracy, else percent of fp32's score; None
    where there is no fp32 run of any of the seeds. Deviations are of one seed's delta from the mean.
    """

    name: str
    uplink_bytes_per_client_round: float
    ratio: float
    downlink_bytes_per_client_round: float
    downlink_ratio: float
    broadcast_bytes: float
    broadcast_ratio: float
    metric: str
    validation_score: float
    test_score: float
    validation_delta_points: float | None
    final_delta_points: float | None
    final_delta_deviation: float | None
    seeds: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """MB of fp32 input in a second of CPU time, one thread: medians, and of the ratios to memcpy paired by repeat."""

    method: str
    parameters: int
    payload_bytes: int
    encode_mb_s: float
    decode_mb_s: float
    memcpy_mb_s: float
    encode_of_memcpy: float
    decode_of_memcpy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """A peer's bytes for an update and ours for the same update at no larger error ‖x − x̂‖ / ‖x‖.

    `setting` is the peer's, `ours` the codec of ours with the fewest bytes. Figures are None where there are none;
    `note` then says why.
    """

    peer: str
    setting: str = ""
    update: str = ""
    error: float | None = None
    peer_bytes: int | None = None
    our_error: float | None = None
    our_bytes: int | None = None
    ours: str = ""
    note: str = ""


def method_rows(runs: Sequence[Run]) -> list[MethodRow]:
    """One row for each method, in order of appearance."""
    references = {run.seed: run for run in runs if run.method == FP32}
    names = dict.fromkeys(run.method for run in runs)
    return [_row([run for run in runs if run.method == name], references) for name in names]


def delta_text(row: MethodRow) -> str:
    """What a method's test score is against fp32's, and by how much its seeds differ: +0.3 ±0.2 points."""
    spread = f" ±{row.final_delta_deviation:.1f}" if row.final_delta_deviation else ""
    return points_text(row.final_delta_points, row.metric, spread)


def points_text(points: float | None, metric: str, spread: str = "") -> str:
    """+0.3 points; percent for metrics other than accuracy; a dash where nothing is known."""
    if points is None:
        return UNKNOWN
    return f"{points:+.1f}{spread}{NBSP}{'points' if metric == 'accuracy' else '%'}"


def _row(runs: Sequence[Run], references: dict[int, Run]) -> MethodRow:
    fp32_bytes = 4 * runs[0].parameters
    uplink = mean(run.uplink_bytes for run in runs)
    downlink = mean(run.downlink_bytes for run in runs)
    broadcast = mean(run.broadcast_bytes for run in runs)
    paired = [(run, references[run.seed]) for run in runs if run.seed in references]
    on_test = [_points(run, run.test_score, reference.test_score) for run, reference in paired]
    on_validation = [_points(run, run.validation_score, reference.validation_score) for run, reference in paired]
    return MethodRow(
        name=runs[0].method,
        uplink_bytes_per_client_round=uplink,
        ratio=fp32_bytes / uplink,
        downlink_bytes_per_client_round=downlink,
        downlink_ratio=fp32_bytes / downlink,
        broadcast_bytes=broadcast,
        broadcast_ratio=fp32_bytes / broadcast,
        metric=runs[0].metric,
        validation_score=mean(run.validation_score for run in runs),
        test_score=mean(run.test_score for run in runs),
        validation_delta_points=mean(on_validation) if paired else None,
        final_delta_points=mean(on_test) if paired else None,
        final_delta_deviation=stdev(on_test) if len(paired) > 1 else 0.0 if paired else None,
        seeds=len(runs),
        runs=tuple(runs),
    )


def _points(run: Run, score: float, reference: float) -> float:
    gained = score - reference if run.better == "higher" else reference - score
    return 100 * gained / (1.0 if run.metric == "accuracy" else abs(reference))
