"""Envelopes damaged in every way, their checksum made right again: one exception type, bounded time and memory.

Half are damaged as bytes on the wire and half field by field, so that much damage reaches the codecs.
"""

import re
import signal
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from envelopes import LARGER, Case, all_cases

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Update
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.codec.codec import CODECS
from fedtailor.strategies.codec.envelope import checksum

LONGEST_CPU_S = 20  # far above the millisecond that a decode takes: what is caught is one that does not end
MEMORY_BYTES = 16 * 2**10 + 100 * LARGER.size  # the delta takes 4 bytes a parameter, the envelope up to 8
CASES = all_cases()


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    broken = bytearray(data)
    for at in rng.integers(8 * len(data), size=rng.integers(1, 6)) if data else ():
        broken[at // 8] ^= 1 << at % 8
    return bytes(broken)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = sorted(rng.integers(len(data) + 1, size=2).tolist())
    return data[:begin] + data[end:] if rng.random() < 0.5 else data[:begin]


def grown(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 12))) + data[at:]


def saturated(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of ones or zeros: the longest runs and the largest numbers that a code can say."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2).tolist())
    return data[:begin] + bytes([rng.choice([0, 255])]) * (end - begin) + data[end:]


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(len(data))


DAMAGE = (flipped, cut, grown, saturated, noise)


def wild_scales(scales: tuple[float, ...], rng: np.random.Generator) -> tuple[float, ...]:
    """Any 32 bits as float32, in one place."""
    values = np.array(scales, "<f4")
    if values.size:
        values.view("<u4")[rng.integers(values.size)] = rng.integers(2**32)
    return tuple(values.tolist())


def damaged_field(update: Update, other: Update, rng: np.random.Generator) -> Update:
    """One field damaged, or taken from another envelope, or exchanged with another of its kind."""
    damage = DAMAGE[rng.integers(len(DAMAGE))]
    ways = (
        lambda: {"payload": damage(update.payload, rng)},
        lambda: {"payload": damage(update.payload, rng)},
        lambda: {"mask": damage(update.mask, rng)},
        lambda: {"mask_hash": damage(update.mask_hash, rng)},
        lambda: {"scales": wild_scales(update.scales, rng)},
        lambda: {"scales": update.scales[::-1]},
        lambda: {"payload": update.mask, "mask": update.payload},
        lambda: {name: getattr(other, name) for name in rng.choice(["payload", "scales", "mask", "mask_hash"], 2)},
        lambda: {"num_examples": int(rng.integers(-(2**63), 2**63 - 1))},
    )
    return replace(update, **ways[rng.integers(len(ways))]())


def damaged_bytes(update: Update, rng: np.random.Generator) -> Update:
    """The envelope damaged on the wire.

    Raises:
        DecodeError: it is no message any more.
    """
    return from_bytes(Update, DAMAGE[rng.integers(len(DAMAGE))](to_bytes(update), rng), sender="device till-1")


@contextmanager
def ending(case: Case, seed: tuple[int, int]):
    """Fails where the block takes longer than any envelope may, by the processor's time."""

    def fail(*_):
        raise AssertionError(f"{case.name}, mutation {seed}: not decoded after {LONGEST_CPU_S} s")

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def tried(case: Case, seed: tuple[int, int]) -> str:
    """Decode one damaged envelope: `no message` any more, `refused` or `decoded`."""
    rng = np.random.default_rng(seed)
    other = CASES[rng.integers(len(CASES))].update
    with ending(case, seed):
        try:
            broken = damaged_bytes(case.update, rng) if rng.random() < 0.3 else damaged_field(case.update, other, rng)
            broken = replace(broken, crc32=checksum(broken))
        except DecodeError:
            return "no message"
        try:
            theirs = case.decode(broken)
        except DecodeError as error:
            line = str(error)
        else:
            line = ""
    if line:
        assert re.fullmatch("device till-1, round 1004: .*; this update is skipped", line)
        return "refused"
    assert [each.shape for each in theirs.deltas] == list(LARGER.shapes)
    assert all(np.isfinite(each).all() for each in theirs.deltas)
    return "decoded"


def mutate(name: str, count: int) -> Counter:
    """Try `count` mutations of a codec's envelopes, and hold their memory against the schema's."""
    cases, found = [case for case in CASES if case.name == name], Counter()
    for index in range(count):
        seed = (sorted(CODECS).index(name), index)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        found[tried(cases[index % len(cases)], seed)] += 1
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak <= MEMORY_BYTES, f"{name}, mutation {seed}: {peak} bytes, expected at most {MEMORY_BYTES}"
    return found


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", CODECS)
def test_ten_thousand_damaged_envelopes_raise_one_exception_type_in_bounded_memory(name):
    found = mutate(name, 10_000 // len(CODECS) + 1)
    assert found["refused"] > found.total() / 4
    assert found["decoded"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", CODECS)
def test_a_million_damaged_envelopes_raise_one_exception_type_in_bounded_memory(name):
    assert mutate(name, 1_000_000 // len(CODECS) + 1)["refused"] > 0
