"""A hundred kills of the server at random moments, many within one run: no round is lost and no result differs."""

import random
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from broken_runs import assert_same, kill, recorded_rounds, said_rounds, start, tiny_fleet

KILLS = 100
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]  # about ten minutes on a core of its own


def moments(longest_s: float) -> Iterator[float]:
    """When to kill, in seconds after the start."""
    rng = random.Random(0)
    while True:
        yield rng.uniform(0, longest_s)


def break_and_finish(run: Path, when: Iterator[float], most: int) -> int:
    """Kill it and go on with it until it comes to its end; how often it was killed, `most` times at most."""
    for kills in count():
        process, kept = start(run), recorded_rounds(run)
        try:
            said = process.communicate(timeout=next(when) if kills < most else None)[1]
        except TimeoutExpired:
            said = kill(process)
            assert recorded_rounds(run) >= max(kept, said_rounds(said)), said
        else:
            assert process.returncode == 0, said
            return kills
    raise AssertionError


def test_a_hundred_kills_at_random_moments_lose_no_round_and_change_no_result(tmp_path):
    tiny_fleet(tmp_path)
    began = time.monotonic()
    break_and_finish(tmp_path / "unbroken", iter(()), most=0)
    when = moments(0.6 * (time.monotonic() - began))  # most are killed before their end, half before their first step
    killed = 0
    for number in count():
        killed += break_and_finish(tmp_path / str(number), when, most=KILLS - killed)
        assert_same(tmp_path / str(number), tmp_path / "unbroken")
        print(f"{killed} kills in {number + 1} runs, {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
        if killed == KILLS:
            break
