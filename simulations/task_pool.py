"""Tasks in worker processes; results as they come."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from fedtailor.simulations.lifeline import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")

_spawn = multiprocessing.get_context("spawn")


def in_processes(function: Callable[[Task], Result], tasks: Sequence[Task], count: int) -> Iterator[Result]:
    """The result of every task, from at most `count` processes; they end with the last, or when the caller stops.

    `function` is pickled by reference, so it stands in a module. What it raises is raised here.

    Raises:
        RuntimeError: a process died.
    """
    busy = dict(_started(function) for _ in range(min(count, len(tasks))))
    processes = dict(busy)
    waiting = list(reversed(tasks))
    try:
        for connection in busy:
            connection.send(waiting.pop())
        while busy:
            ready = set(wait(list(busy)))
            for connection in [each for each in busy if each in ready]:
                yield _received(connection, busy[connection])
                if waiting:
                    connection.send(waiting.pop())
                else:
                    del busy[connection]
    finally:
        for connection, process in processes.items():
            process.terminate()
            process.join()
            connection.close()


def _started(function: Callable[[Any], Any]) -> tuple[Connection, SpawnProcess]:
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=_serve, args=(theirs, function), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _received(connection: Connection, process: SpawnProcess) -> Any:
    try:
        result, error = connection.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"a worker process ended with exit code {process.exitcode}") from None
    if error is not None:
        raise error
    return result


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """The child: answer until the pipe closes, and at most as long as there is a parent."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends its children itself
    with suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(_answer(function, connection.recv()))


def _answer(function: Callable[[Any], Any], task: Any) -> tuple[Any, Exception | None]:
    try:
        return function(task), None
    except Exception as error:  # the parent raises it
        return None, error
