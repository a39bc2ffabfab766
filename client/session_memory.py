"""What an open session takes of this process's private memory, at the height of a run.

Pages are counted, not allocations: an artefact is held against memory that a device has or has not.
"""

import contextlib
import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil

_SESSIONS = 4  # held at once: one alone drowns in the allocator's rounding
_MIN_TRIES, _MAX_TRIES = 3, 12
_RUNS = 3
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5)

Run = Callable[[], object]


def session_memory(opened: Callable[[], Run], seconds: float) -> int:
    """Bytes that private memory (USS) grows by for each open session, and what one run takes on top for a while.

    The median of several tries in about `seconds`, three at least, after one that fills pools which all sessions share:
    an allocator now and then takes or gives back pages of its own. Freed pages are handed back before each reading
    where the allocator can (glibc), elsewhere it may read low; what a run takes is known on Linux alone.

    Args:
        opened: Opens one more session and answers its run, which has run once.
    """
    end = time.perf_counter() + seconds
    _growth(opened)
    growths: list[int] = []
    while len(growths) < _MIN_TRIES or (len(growths) < _MAX_TRIES and time.perf_counter() < end):
        growths.append(_growth(opened))
    run = opened()
    return max(int(median(growths)), 0) + int(median(_height(run) for _ in range(_RUNS)))


def _growth(opened: Callable[[], Run]) -> int:
    process = psutil.Process()
    before = _private_bytes(process)
    held = [opened() for _ in range(_SESSIONS)]
    return (_private_bytes(process) - before) // len(held)


def _height(run: Run) -> int:
    """By how much resident memory rises while it runs; 0 where the system does not tell."""
    _hand_back()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _peak_bytes()
        run()
        return _peak_bytes() - before
    except (OSError, ValueError, StopIteration):
        return 0


def _peak_bytes() -> int:
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def _private_bytes(process: psutil.Process) -> int:
    _hand_back()
    return int(process.memory_full_info().uss)


def _hand_back() -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)  # else a session moves into freed memory and seems to cost nothing
