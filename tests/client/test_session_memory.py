import mmap

import pytest

from fedtailor.client import session_memory as module
from fedtailor.client.session_memory import session_memory

MEBIBYTE = 2**20


def touched(mebibytes):
    """Memory of its own for as long as it is held."""
    pages = mmap.mmap(-1, mebibytes * MEBIBYTE)
    for at in range(0, len(pages), mmap.PAGESIZE):
        pages[at] = 1
    return pages


def test_what_a_session_holds_is_counted_once_for_each():
    def opened():
        held = touched(3)
        return lambda: held

    assert session_memory(opened, seconds=0.0) == pytest.approx(3 * MEBIBYTE, rel=0.1)


@pytest.mark.skipif(not module._CLEAR_REFS.exists(), reason="only Linux tells the height of a run")
def test_what_a_run_takes_for_a_while_is_counted_on_top():
    def opened():
        held = touched(2)
        return lambda: (held, touched(8))[0]

    assert session_memory(opened, seconds=0.0) == pytest.approx(10 * MEBIBYTE, rel=0.1)


def test_where_the_system_does_not_tell_the_height_what_is_held_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_CLEAR_REFS", tmp_path / "none" / "clear_refs")

    def opened():
        held = touched(2)
        return lambda: (held, touched(8))[0]

    assert session_memory(opened, seconds=0.0) == pytest.approx(2 * MEBIBYTE, rel=0.1)


def test_a_session_that_holds_nothing_costs_nothing():
    assert 0 <= session_memory(lambda: lambda: None, seconds=0.0) < MEBIBYTE


def test_tries_are_bounded_however_long_it_may_take():
    opened = []
    session_memory(lambda: opened.append(1) or (lambda: None), seconds=60.0)
    assert len(opened) == (1 + 12) * 4 + 1
