"""One peer at work in a process and on a core of its own: what it prints, patches or breaks stays there."""

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from fedtailor.server.problem import one_line
from fedtailor.simulations.peers.peer import Peer, PeerTask

LIMIT_S = 900.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """The model a peer made and the CPU seconds it took, or None and the problem in a line."""

    model: bytes | None
    cpu_s: float
    problem: str = ""


def run_peer(peer: Peer, task: PeerTask, *, limit_s: float = LIMIT_S) -> Outcome:
    """Let a peer quantise; importing it is not timed. What it printed is in `<name>.log` in the task's folder.

    Whatever happens is an outcome: not installed, an exception, the death of its process, no answer in `limit_s`.
    """
    if not peer.installed:
        return Outcome(None, 0.0, f"not installed: {peer.install}")
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(peer, task, sender), daemon=True)
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(limit_s) else Outcome(None, limit_s, f"no answer in {limit_s:g} s")
    except EOFError:
        process.join()
        found = Outcome(None, 0.0, f"its process ended with code {process.exitcode}")
    finally:
        process.kill()
        process.join()
    return found if isinstance(found, Outcome) else Outcome(None, 0.0, "its process answered something else")


def _work(peer: Peer, task: PeerTask, sender: Connection) -> None:
    _print_to(task.folder / f"{peer.name}.log")
    with suppress(AttributeError):  # only Linux can
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ.update(peer.environment)
    began = time.process_time()
    try:
        import_module(peer.package)
        began = time.process_time()
        found = Outcome(peer.quantise(task), time.process_time() - began)
    except Exception as error:  # whatever a peer breaks on is its row in the table
        found = Outcome(None, time.process_time() - began, _line(error))
    sender.send(found)


def _print_to(path: Path) -> None:
    """Everything, native code's output included."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def _line(error: Exception) -> str:
    kind, words = type(error).__name__, str(error)
    return one_line(f"{kind}: {words}" if words else kind)
