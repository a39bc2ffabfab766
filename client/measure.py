"""What an artefact costs on this machine, measured in the runtime that would serve it: batch 1, one thread."""

import contextlib
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import numpy as np
import onnxruntime as ort
import psutil
from numpy.typing import NDArray

from fedtailor.client.runtime import open_session
from fedtailor.protos.efficiency import Efficiency

_WARM_UP_RUNS = 20
_BLOCK_NS = 1_000_000  # thread clocks may tick coarsely, so that CPU time is taken over blocks of runs
_MAX_BLOCK_RUNS = 200
_MIN_BLOCKS = 3
_MAX_BLOCKS = 200
_SESSIONS = 8  # held at once for memory: one alone drowns in the allocator's page rounding
_MIN_SESSIONS = 2


def measure(
    model: bytes,
    payload: bytes,
    sample: NDArray[np.generic],
    macs: int,
    *,
    slowdown: float = 1.0,
    energy_pj_per_mac: float | None = None,
    seconds: float = 0.3,
) -> Efficiency:
    """Latency, load time and memory of a serialised ONNX model, beside its bytes.

    Latencies are taken in blocks for about half of `seconds`, at least three; memory takes the rest, at least two
    sessions. Memory is what private memory (USS) grows by per open session that has run once, with freed pages handed
    back before and after where the allocator can (glibc); elsewhere it may read low.

    Args:
        payload: The artefact as it is sent and kept.
        sample: One row as stored, with or without its batch axis.
        macs: Multiply-accumulates of one row.
        slowdown: How much slower a simulated device class is than this machine; 1 is this machine, nothing modelled.
        energy_pj_per_mac: Modelled energy of one multiply-accumulate in picojoule.
        seconds: Wall-clock time this may take, loosely.
    """
    started = time.perf_counter_ns()
    runner = _runner(open_session(model), sample)
    runner()
    load_ns = time.perf_counter_ns() - started
    memory_bytes = min(_session_memory(model, sample, seconds / 4) for _ in range(2))  # the first also fills pools
    blocks = _Blocks(runner)
    _repeat([blocks], seconds / 2)
    p50, p99 = np.percentile(blocks.wall_ns, (50, 99)) / 1e3
    return Efficiency(
        payload_bytes=len(payload),
        file_bytes=len(model),
        macs=macs,
        latency_p50_us_measured=float(p50),
        latency_p99_us_measured=float(p99),
        cpu_p50_us_measured=blocks.cpu_us,
        load_ms_measured=load_ns / 1e6,
        memory_bytes_measured=memory_bytes,
        latency_ms_modelled=None if slowdown == 1.0 else float(p50) / 1e3 * slowdown,
        energy_mj_modelled=None if energy_pj_per_mac is None else macs * energy_pj_per_mac * 1e-9,
    )


def latency_ratio(reference: bytes, candidate: bytes, sample: NDArray[np.generic], *, seconds: float = 0.3) -> float:
    """Median CPU time of the reference over that of the candidate: above 1 the candidate is faster.

    Both run in this thread in alternating blocks, so that a change of clock or of neighbours meets both; CPU time of
    the thread leaves out what other processes take.
    """
    pair = [_Blocks(_runner(open_session(model), sample)) for model in (reference, candidate)]
    _repeat(pair, seconds)
    return pair[0].cpu_us / pair[1].cpu_us


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


def _session_memory(model: bytes, sample: NDArray[np.generic], seconds: float) -> int:
    """Private bytes per open session that has run once."""
    process = psutil.Process()
    end = time.perf_counter() + seconds
    before = _private_bytes(process)
    held: list[Callable[[], object]] = []
    while len(held) < _MIN_SESSIONS or (len(held) < _SESSIONS and time.perf_counter() < end):
        held.append(_runner(open_session(model), sample))
        held[-1]()
    return max(_private_bytes(process) - before, 0) // len(held)


def _private_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)  # else a session moves into freed memory and seems to cost nothing
    return int(process.memory_full_info().uss)
