"""The IoT Core stand-in, started for a run in a process of its own: the parent's side.

Owns the life of that process: start, requests over a pipe, a death that is noticed, a stop that
does not hang. Never blocks the event loop. What the process does is in
`simulator.load.target.stand_in_process`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar

from certs.errors import LinkError, PeerError
from simulator.load.child_process import (
    ended_within,
    ending_text,
    finish,
    read_in_thread,
    start_apart,
)
from simulator.load.target.quota_books import CLIENTS_SHOWN
from simulator.load.target.stand_in_process import (
    ANSWERS,
    ENCODER,
    LOOPBACK,
    Ask,
    Failed,
    Listening,
    NotStarted,
    Register,
    Request,
    Role,
    Setup,
    Status,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import TracebackType

T = TypeVar("T")

_START_S: Final = 60.0
_ANSWER_S: Final = 30.0
_STOP_S: Final = 15.0
_EXIT_S: Final = 5.0
_BATCH: Final = 2_000
"""Certificates in one request, so that the stand-in serves its connections in between."""


class StandIn:
    """The stand-in of one run. Use it as `async with StandIn(setup) as stand_in`; once only.

    Every method raises `LinkError` when the process is gone or does not answer in 30 s; none of
    them waits longer.

    Args:
        setup: What it is started with.

    Attributes:
        host: The address it listens on.
        port: The port it listens on, once entered.
        pid: Its process, once entered.
    """

    def __init__(self, setup: Setup) -> None:
        self.host = LOOPBACK
        self.port = 0
        self.pid = 0
        self._setup = setup
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Status]] = {}
        self._sends: set[asyncio.Future[None]] = set()
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[Listening] = loop.create_future()
        self._lost: asyncio.Future[LinkError] = loop.create_future()
        self._ended = asyncio.Event()
        self._sending = asyncio.Lock()
        # Starting an interpreter takes its time; the terminal is not to freeze meanwhile.
        starting = asyncio.ensure_future(asyncio.to_thread(_start, self._setup))
        try:
            self._process, self._pipe = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await finish((await starting)[0], 0.0)
            raise
        read_in_thread(self._pipe, self._take, self._end)
        try:
            listening = await _within(self._started, _START_S, "did not start")
        except BaseException:
            await self._clear_away(0.0)
            raise
        self.port, self.pid = listening.port, listening.pid
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is asyncio.CancelledError:
            # Who is cancelled is in a hurry.
            await self._kill()
        else:
            await self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return not self._ended.is_set()

    async def lost(self) -> LinkError:
        """Wait until the process is gone without having been told to; why.

        It may be awaited by several tasks, and cancelled.
        """
        return await asyncio.shield(self._lost)

    async def register(self, entries: Sequence[tuple[str, str]], role: Role) -> int:
        """Register certificates, ACTIVE and with the policy of their role.

        Args:
            entries: Certificate id and thing name of each.
            role: What they belong to.

        Returns:
            How many were registered.

        Raises:
            LinkError: The process is gone.
            PeerError: It refused, for example an id that is none.
        """
        for start in range(0, len(entries), _BATCH):
            batch = list(entries[start : start + _BATCH])
            await self._request(Register(next(self._numbers), role, batch))
        return len(entries)

    async def status(self, clients: int = CLIENTS_SHOWN) -> Status:
        """What it has done so far, and what its process used.

        Args:
            clients: How many clients to name for each quota that refused something.
        """
        return await self._request(Ask(next(self._numbers), "status", clients))

    async def drop_all(self) -> int:
        """Cut every connection without a word; how many."""
        return (await self._ask("drop-all")).affected

    async def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        await self._ask("stop-listening")

    async def start_listening(self) -> None:
        """Accept connections again, on the same port."""
        await self._ask("start-listening")

    async def stop(self) -> Status | None:
        """Stop it in order, and by force if that takes too long. Stopping again does nothing.

        Returns:
            Its last word; None when it was gone or had to be killed.
        """
        if self._is_stopping:
            return None
        self._is_stopping = True
        last = None
        with contextlib.suppress(LinkError):
            last = await self._ask("stop", patience_s=_STOP_S)
        await self._clear_away(_STOP_S if last is not None else 0.0)
        return last

    async def _kill(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            await self._clear_away(0.0)

    # Between the processes

    async def _ask(
        self,
        what: Literal["drop-all", "stop-listening", "start-listening", "stop"],
        patience_s: float = _ANSWER_S,
    ) -> Status:
        return await self._request(Ask(next(self._numbers), what), patience_s)

    async def _request(self, request: Request, patience_s: float = _ANSWER_S) -> Status:
        if self._ended.is_set():
            raise self._lost.result() if self._lost.done() else _lost("it was stopped")
        answer: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = answer
        # Not awaited: a pipe that nobody reads would block until the process is killed.
        sending = asyncio.ensure_future(self._send(ENCODER.encode(request)))
        self._sends.add(sending)
        sending.add_done_callback(self._sends.discard)
        try:
            return await _within(answer, patience_s, f"gave no answer within {patience_s:g} s")
        finally:
            self._waiting.pop(request.number, None)

    async def _send(self, wire: bytes) -> None:
        # That the process is gone is said by the reader.
        with contextlib.suppress(OSError):
            async with self._sending:
                await asyncio.to_thread(self._pipe.send_bytes, wire)

    def _take(self, wire: bytes) -> None:
        answer = ANSWERS.decode(wire)
        if isinstance(answer, Listening):
            if not self._started.done():
                self._started.set_result(answer)
        elif isinstance(answer, NotStarted):
            if not self._started.done():
                self._started.set_exception(PeerError(answer.what, answer.remedy))
        else:
            waiting = self._waiting.get(answer.number)
            if waiting is None or waiting.done():
                return
            if isinstance(answer, Failed):
                waiting.set_exception(PeerError(answer.what, answer.remedy))
            else:
                waiting.set_result(answer)

    def _end(self) -> None:
        """The other end of the pipe is closed, so the process has ended or is about to."""
        self._ending = asyncio.ensure_future(self._conclude())

    async def _conclude(self) -> None:
        await ended_within(self._process, _EXIT_S)
        self._ended.set()
        error = _lost(ending_text(self._process.exitcode))
        if not self._started.done():
            self._started.set_exception(error)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
        if not self._is_stopping and not self._lost.done():
            self._lost.set_result(error)

    async def _clear_away(self, patience_s: float) -> None:
        await finish(self._process, patience_s)
        # The reader is done with the pipe before it is closed under its feet.
        await self._ended.wait()
        self._pipe.close()


def _start(setup: Setup) -> tuple[SpawnProcess, Connection]:
    return start_apart(serve, setup, name="iot-core-stand-in")


async def _within(future: asyncio.Future[T], patience_s: float, otherwise: str) -> T:
    try:
        async with asyncio.timeout(patience_s):
            return await future
    except TimeoutError:
        raise LinkError(
            f"the IoT Core stand-in {otherwise}",
            "look whether this machine has run out of processor time or memory",
        ) from None


def _lost(why: str) -> LinkError:
    return LinkError(
        f"the IoT Core stand-in is gone: {why}",
        "read what it wrote above; if the system ended it, it may have run out of memory",
    )
