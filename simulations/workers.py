"""Worker processes, one thread each: a device's message goes in, its reply comes out, both as Flower's own bytes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from flwr.app import Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.common.serde import context_from_proto, context_to_proto, message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Context as ContextProto
from flwr.proto.message_pb2 import Message as MessageProto

from fedtailor.server.problem import one_line
from fedtailor.simulations.lifeline import end_with_parent

MakeApp = Callable[[], ClientApp]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GRACE_S = 5.0

_environment = threading.Lock()
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message and the context of the node it belongs to, both serialised."""

    message: bytes
    context: bytes


class WorkerDied(Exception):  # noqa: N818 - an event the pool answers, never one a caller sees
    """The process ended while it held a message."""


class Workers:
    """At most `count` processes, each running `make_app()` for one device at a time; started when first needed.

    `make_app` is pickled by reference: a module-level function, or a `functools.partial` of one.
    A process that dies is replaced, and only the message it held is answered with an Error.
    """

    def __init__(self, make_app: MakeApp, count: int) -> None:
        if count < 1:
            raise ValueError(f"Workers.count must be at least 1, got {count}")
        self._make_app = make_app
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="fedtailor-worker")
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._alive: list[_Process] = []
        self._closed = False

    def submit(self, parcel: Parcel) -> Future[Parcel]:
        """Reply, and the node's context after it. Once the pool is closed every future is cancelled or has failed."""
        with self._lock:
            if not self._closed:
                return self._threads.submit(self._carry, parcel)
        late: Future[Parcel] = Future()
        late.cancel()
        return late

    def close(self) -> None:
        """End every process, busy or not, and wait until it is gone."""
        with self._lock:
            self._closed = True
        for process in self._alive:
            process.stop()
        self._threads.shutdown(cancel_futures=True)
        for process in self._alive:
            process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _carry(self, parcel: Parcel) -> Parcel:
        process = self._take()
        try:
            answer = process.ask(parcel)
        except WorkerDied:
            self._forget(process)
            reason = f"its worker process ended with exit code {process.end()}"
            return _refused(parcel, ErrorCode.CLIENT_APP_CRASHED, reason)
        with self._lock:
            self._idle.append(process)
        return answer

    def _take(self) -> "_Process":
        with self._lock:
            if self._closed:
                raise WorkerDied
            if self._idle:
                return self._idle.pop()
            process = _Process(self._make_app)
            self._alive.append(process)
            return process

    def _forget(self, process: "_Process") -> None:
        with self._lock:
            if self._closed:
                raise WorkerDied
            self._alive.remove(process)


class _Process:
    """One spawned process and the pipe to it."""

    def __init__(self, make_app: MakeApp) -> None:
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(theirs, make_app), daemon=True)
        with _single_threaded(), _deaf():
            self._process.start()
        theirs.close()

    def ask(self, parcel: Parcel) -> Parcel:
        try:
            self._connection.send(parcel)
            answer: Parcel = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDied from error
        return answer

    def stop(self) -> None:
        self._process.kill()  # nothing is lost: a device's store is whole at every moment

    def end(self) -> int | None:
        """Wait until a process that is ending is gone, and say with what exit code; one that lingers is killed."""
        self._process.join(GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()
        return self._process.exitcode


@contextmanager
def _single_threaded() -> Iterator[None]:
    """BLAS and OpenMP read the environment when they load, so it must stand before the child imports anything."""
    with _environment:
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """Who is started meanwhile never hears Ctrl-C and SIGTERM, which may go to a whole group of processes: the parent
    hears them and ends its children itself.
    """
    resource_tracker.ensure_running()  # starting it would make this thread hear them again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, make_app: MakeApp) -> None:
    """The child: answer until the pipe closes, and at most as long as there is a parent."""
    end_with_parent()
    load = cache(make_app)
    while True:
        try:
            parcel = connection.recv()
        except EOFError:
            return
        connection.send(_answer(load, parcel))


def _answer(load: MakeApp, parcel: Parcel) -> Parcel:
    message = message_from_proto(MessageProto.FromString(parcel.message))
    context = context_from_proto(ContextProto.FromString(parcel.context))
    try:
        app = load()
    except Exception as error:
        return _refused(parcel, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, one_line(f"{type(error).__name__}: {error}"))
    try:
        reply = message_to_proto(app(message, context))
        return Parcel(reply.SerializeToString(), context_to_proto(context).SerializeToString())
    except Exception as error:  # whatever a device raises is its answer, and never ends the run
        return _refused(parcel, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, one_line(f"{type(error).__name__}: {error}"))


def _refused(parcel: Parcel, code: int, reason: str) -> Parcel:
    message = message_from_proto(MessageProto.FromString(parcel.message))
    reply = Message(Error(code, reason), reply_to=message)
    return Parcel(message_to_proto(reply).SerializeToString(), parcel.context)
