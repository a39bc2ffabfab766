"""What an artefact costs on this machine, measured in the runtime that would serve it: batch 1, one thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import geometric_mean, median

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fedtailor.client.energy import EnergyCounter, energy_mj
from fedtailor.client.runtime import open_session
from fedtailor.client.session_memory import session_memory
from fedtailor.protos.efficiency import Efficiency

_WARM_UP_RUNS = 20
_BLOCK_NS = 1_000_000  # thread clocks may tick coarsely, so that CPU time is taken over blocks of runs
_MAX_BLOCK_RUNS = 200
_MIN_BLOCKS = 3
_MAX_BLOCKS = 200
_CLOSE, _EQUAL = 0.05, 0.015  # how far from 1 a ratio of latencies may be luck, once and after further turns
_TURNS = 4


def measure(
    model: bytes,
    payload: bytes,
    sample: NDArray[np.generic],
    macs: int | None,
    *,
    slowdown: float = 1.0,
    energy_pj_per_mac: float | None = None,
    counter: EnergyCounter | None = None,
    seconds: float = 0.3,
) -> Efficiency:
    """Latency, load time, memory and energy of a model that ONNX Runtime can open, beside its bytes.

    Latencies are taken in blocks for about half of `seconds`, at least three; sessions are opened for the rest: the
    least time to a first answer counts, since neighbours can only add to it, and what `session_memory` says of them.

    Args:
        payload: The artefact as it is sent and kept.
        sample: One row as stored, with or without its batch axis.
        macs: Multiply-accumulates of one row; None where they are not known, and their energy is not then.
        slowdown: How much slower a simulated device class is than this machine; 1 is this machine, nothing modelled.
        energy_pj_per_mac: Modelled energy of one multiply-accumulate in picojoule.
        counter: Measures energy, in twice its window and beyond `seconds`.
        seconds: Wall-clock time this may take, loosely.
    """
    loads_ns: list[int] = []

    def opened() -> Callable[[], object]:
        started = time.perf_counter_ns()
        run = _runner(open_session(model), sample)
        run()
        loads_ns.append(time.perf_counter_ns() - started)
        return run

    run = opened()
    memory_bytes = max(session_memory(opened, seconds / 2), len(model))  # it holds its weights, whatever pages say
    blocks = _Blocks(run)
    _repeat([blocks], seconds / 2)
    p50, p99 = np.percentile(blocks.wall_ns, (50, 99)) / 1e3
    return Efficiency(
        payload_bytes=len(payload),
        file_bytes=len(model),
        macs=macs,
        latency_p50_us_measured=float(p50),
        latency_p99_us_measured=float(p99),
        cpu_p50_us_measured=blocks.cpu_us,
        load_ms_measured=min(loads_ns) / 1e6,
        memory_bytes_measured=memory_bytes,
        latency_ms_modelled=None if slowdown == 1.0 else float(p50) / 1e3 * slowdown,
        energy_mj_modelled=None if energy_pj_per_mac is None or macs is None else macs * energy_pj_per_mac * 1e-9,
        energy_mj_measured=None if counter is None else energy_mj(counter, run),
    )


def latency_ratio(reference: bytes, candidate: bytes, sample: NDArray[np.generic], *, seconds: float = 0.3) -> float:
    """CPU time of the reference over that of the candidate: above 1 the candidate is faster.

    Two sessions of one model differ by up to 3 %: by where their memory lies, and by which was opened first. So a ratio
    within 5 % of 1 is measured four times more, in new sessions and in turn with either first; the geometric mean of
    these counts, and where it is within 1.5 % of 1 the two are equally fast and the ratio is 1.

    Args:
        seconds: Wall-clock time of one measurement.
    """
    ratio = _ratio(reference, candidate, sample, seconds)
    if abs(ratio - 1) > _CLOSE:
        return ratio
    turns = [_ratio(reference, candidate, sample, seconds) for _ in range(_TURNS // 2)]
    turns += [1 / _ratio(candidate, reference, sample, seconds) for _ in range(_TURNS // 2)]
    ratio = geometric_mean(turns)
    return ratio if abs(ratio - 1) > _EQUAL else 1.0


def _ratio(first: bytes, second: bytes, sample: NDArray[np.generic], seconds: float) -> float:
    first_us, second_us = latencies_us((first, second), sample, seconds=seconds)
    return first_us / second_us


def latencies_us(models: Sequence[bytes], sample: NDArray[np.generic], *, seconds: float) -> tuple[float, ...]:
    """The median CPU time of each model in microseconds; as `alternating`."""
    return alternating([_runner(open_session(model), sample) for model in models], seconds=seconds)


def alternating(runs: Sequence[Callable[[], object]], *, seconds: float) -> tuple[float, ...]:
    """The median CPU time of each in microseconds, measured side by side for about `seconds` in all.

    They run in this thread in alternating blocks, so that a change of clock or of neighbours meets all of them; CPU
    time of the thread leaves out what other processes take.
    """
    all_blocks = [_Blocks(run) for run in runs]
    _repeat(all_blocks, seconds)
    return tuple(blocks.cpu_us for blocks in all_blocks)


def _runner(session: ort.InferenceSession, sample: NDArray[np.generic]) -> Callable[[], object]:
    described = session.get_inputs()[0]
    row = np.ascontiguousarray(sample).reshape(1, *described.shape[1:])
    return partial(session.run, None, {described.name: row})


@dataclass
class _Blocks:
    """Timings of one artefact, a block of runs at a time."""

    run: Callable[[], object]
    wall_ns: list[int] = field(default_factory=list)
    block_cpu_ns: list[float] = field(default_factory=list)
    block_runs: int = 1

    def warm_up(self) -> None:
        """Fill caches, and size blocks by the fastest run seen."""
        fastest = min(self._timed() for _ in range(3))
        for _ in range(min(_WARM_UP_RUNS, 20 * _BLOCK_NS // fastest)):
            fastest = min(fastest, self._timed())
        self.block_runs = min(max(_BLOCK_NS // fastest, 1), _MAX_BLOCK_RUNS)

    def add(self) -> None:
        """Time one more block."""
        before = time.thread_time_ns()
        self.wall_ns += [self._timed() for _ in range(self.block_runs)]
        self.block_cpu_ns.append((time.thread_time_ns() - before) / self.block_runs)

    @property
    def cpu_us(self) -> float:
        """Median over blocks of one run's CPU time."""
        return max(median(self.block_cpu_ns), 1.0) / 1e3

    def _timed(self) -> int:
        before = time.perf_counter_ns()
        self.run()
        return max(time.perf_counter_ns() - before, 1)


def _repeat(all_blocks: list[_Blocks], seconds: float) -> None:
    """Add blocks in turn until the time has passed."""
    end = time.perf_counter() + seconds
    for blocks in all_blocks:
        blocks.warm_up()
    for count in range(_MAX_BLOCKS):
        if count >= _MIN_BLOCKS and time.perf_counter() > end:
            return
        for blocks in all_blocks:
            blocks.add()
        all_blocks = all_blocks[::-1]  # neither always follows the other
