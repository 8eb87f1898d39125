"""A worker in a process of its own: the child that hosts it, and the parent's handle on it.

Owns the conversation over the pipe: the child says what it made and when it is ready, the parent
says when to go on, then snapshots flow until the last word. A child that dies at any point is
noticed. Messages are MessagePack between two processes of one program, so they are trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from certs.errors import ConfigurationError, EdgeError, LinkError, PeerError, StorageError
from certs.terminal import TRACEBACK_VARIABLE
from simulator.iotcore.process import prepare_for_many_connections
from simulator.load.assignment import Closing, Start
from simulator.load.child_process import (
    ended_within,
    ending_text,
    finish,
    read_in_thread,
    run_child,
    start_apart,
)
from simulator.load.records import Snapshot
from simulator.load.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from simulator.load.assignment import Assignment


T = TypeVar("T")


class Progress(msgspec.Struct, frozen=True, tag=True):
    """More identities are ready."""

    number: int


class Minted(msgspec.Struct, frozen=True, tag=True):
    """All identities are ready; these were made and must be registered."""

    entries: list[tuple[str, str]]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The applications have their subscriptions."""


class Report(msgspec.Struct, frozen=True, tag=True):
    """A snapshot."""

    snapshot: Snapshot


class Settled(msgspec.Struct, frozen=True, tag=True):
    """After the last phase: whether the worker waits for nothing now."""

    is_settled: bool


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot go on; the process ends.

    Attributes:
        kind: Name of a class of `certs.errors`, or `bug`.
        what: What was wrong.
        remedy: What to do about it.
    """

    kind: str
    what: str
    remedy: str


FromWorker: TypeAlias = Progress | Minted | Ready | Report | Settled | Closing | Failed


class Proceed(msgspec.Struct, frozen=True, tag=True):
    """The identities are registered: connect the applications."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End the run now, in order."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """No worker waits for anything: end the drain."""


ToWorker: TypeAlias = Proceed | Start | Stop | Leave

_EXIT_S: Final = 5.0
_SETTLE_S: Final = 2.0
_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_WORKER: Final = msgspec.msgpack.Decoder(FromWorker)
_TO_WORKER: Final = msgspec.msgpack.Decoder(ToWorker)


# The child


def serve(pipe: Connection, assignment: Assignment) -> None:
    """The main function of the child process."""
    prepare_for_many_connections()
    run_child(_serve(pipe, assignment))


async def _serve(pipe: Connection, assignment: Assignment) -> None:
    inbox: asyncio.Queue[Proceed | Start] = asyncio.Queue()
    worker: Worker | None = None
    current = asyncio.current_task()
    if current is None:  # pragma: no cover - run_child runs a task
        raise TypeError("the worker has no task")
    task = current

    def take(wire: bytes) -> None:
        message = _TO_WORKER.decode(wire)
        if isinstance(message, Leave):
            if worker is not None:
                worker.leave()
        elif not isinstance(message, Stop):
            inbox.put_nowait(message)
        elif worker is not None and worker.is_running:
            worker.stop()
        else:
            task.cancel()

    def orphaned() -> None:
        task.cancel()

    def send(message: FromWorker) -> None:
        pipe.send_bytes(_ENCODER.encode(message))

    read_in_thread(pipe, take, orphaned, dies_with_peer=True)
    # A parent that is gone needs no last word, and a cancelled child has none.
    with contextlib.suppress(asyncio.CancelledError, OSError):
        try:
            worker = Worker(assignment)
            send(Minted(await worker.mint(lambda number: send(Progress(number)))))
            await inbox.get()
            await worker.open_applications()
            send(Ready())
            start = await inbox.get()
            if isinstance(start, Start):
                settled_s = worker.last_arrival_s + _SETTLE_S
                async for snapshot in worker.run(start, lambda now: send(Settled(now))):
                    send(Report(snapshot))
                    if snapshot.end_s >= settled_s:
                        # The cars are there to stay. With ten thousand of them, one full collection
                        # would hold everything up for a third of a second and find nothing.
                        gc.freeze()
                        settled_s = math.inf
                send(worker.closing())
        except Exception as error:
            send(_failed(error))
            if not isinstance(error, EdgeError) and os.environ.get(TRACEBACK_VARIABLE):
                raise


def _failed(error: Exception) -> Failed:
    if isinstance(error, EdgeError):
        return Failed(type(error).__name__, error.what, error.remedy)
    if isinstance(error, OSError):
        return Failed(LinkError.__name__, str(error), "look at the limits of this machine")
    return Failed("bug", f"{type(error).__name__}: {error}", "")


# The parent


class WorkerProcess:
    """A worker process, as its parent sees it.

    Args:
        assignment: What it does.
        on_progress: Told how many more identities are ready.
        on_snapshot: Given every snapshot.

    Attributes:
        worker: Its number.
        cars: How many cars it has.
        minted: Done with the identities that must be registered.
        ready: Done when its applications are subscribed.
        closing: Done with its last word.
        is_settled: Whether it waits for nothing, after the last phase.
        on_settled: Called whenever that changes.

    The futures end with an error when the worker fails or its process ends before.
    """

    def __init__(
        self,
        assignment: Assignment,
        on_progress: Callable[[int], None],
        on_snapshot: Callable[[Snapshot], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.worker = assignment.worker
        self.cars = sum(share.stop - share.start for share in assignment.shares)
        self.minted: asyncio.Future[list[tuple[str, str]]] = loop.create_future()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.closing: asyncio.Future[Closing] = loop.create_future()
        self.is_settled = False
        self.on_settled: Callable[[], None] | None = None
        self._on_progress = on_progress
        self._on_snapshot = on_snapshot
        self._ended = asyncio.Event()
        for future in (self.minted, self.ready, self.closing):
            # Whoever awaits one of them hears of it; the others must not complain at the end.
            future.add_done_callback(_retrieve)
        self._process, self._pipe = start_apart(
            serve, assignment, name=f"load worker {assignment.worker}"
        )
        read_in_thread(self._pipe, self._take, self._end)

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    def proceed(self) -> None:
        """Let it connect its applications."""
        self._send(Proceed())

    def start(self, start: Start) -> None:
        """Let the run begin."""
        self._send(start)

    def stop(self) -> None:
        """Let it end the run in order."""
        self._send(Stop())

    def leave(self) -> None:
        """Let it end its drain: nobody waits for anything."""
        self._send(Leave())

    async def finish(self) -> None:
        """Wait for the process to end after its last word; kill it if it never had one."""
        has_closed = self.closing.done() and self.closing.exception() is None
        await finish(self._process, _EXIT_S if has_closed else 0.0)
        # The reader is done with the pipe before it is closed under its feet.
        await self._ended.wait()
        self._pipe.close()

    def _send(self, message: ToWorker) -> None:
        # That the process is gone is said by the reader. The messages are few and tiny.
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(_ENCODER.encode(message))

    def _take(self, wire: bytes) -> None:
        message = _FROM_WORKER.decode(wire)
        match message:
            case Report():
                self._on_snapshot(message.snapshot)
            case Progress():
                self._on_progress(message.number)
            case Settled():
                self.is_settled = message.is_settled
                if self.on_settled is not None:
                    self.on_settled()
            case Minted():
                _resolve(self.minted, message.entries)
            case Ready():
                _resolve(self.ready, None)
            case Closing():
                _resolve(self.closing, message)
            case Failed():
                self._fail(_error(message, self.worker))

    def _end(self) -> None:
        """The other end of the pipe is closed, so the process has ended or is about to."""
        self._concluding = asyncio.ensure_future(self._conclude())

    async def _conclude(self) -> None:
        await ended_within(self._process, _EXIT_S)
        self._ended.set()
        self._fail(
            LinkError(
                f"worker {self.worker} is gone: {ending_text(self._process.exitcode)}",
                "read what it wrote above; if the system ended it, it may have run out of memory",
            )
        )

    def _fail(self, error: Exception) -> None:
        for future in (self.minted, self.ready, self.closing):
            if not future.done():
                future.set_exception(error)


def _error(failed: Failed, worker: int) -> Exception:
    kind = _ERRORS.get(failed.kind)
    if kind is None:
        return RuntimeError(f"worker {worker}: {failed.what}")
    return kind(failed.what, failed.remedy)


_ERRORS: Final[dict[str, type[EdgeError]]] = {
    kind.__name__: kind for kind in (ConfigurationError, LinkError, PeerError, StorageError)
}


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
