"""Whole runs inside a test: somebody who listens, processes to end, a network to break."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.load.records import Event, Header, Snapshot
from simulator.load.run import Listener, Plan, run
from simulator.report.result import Result
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.process import BaseProcess

    from simulator.load.records import Record

PATIENCE_S = 45.0
_SPARED = 2
NOWHERE = Path("no such folder")

T = TypeVar("T")


def small(**changes: Any) -> Scenario:
    """Four cars that connect at once and publish five times a second for two seconds."""
    document: dict[str, Any] = {
        "name": "small",
        "description": "for a test",
        "vehicles": [{"name": "cars", "count": 4, "streams": {"state": {"rate_hz": 5, "qos": 1}}}],
        "arrival": {"kind": "at-once"},
        "phases": [{"name": "hold", "duration": 2}],
        "drain": 1,
        "applications": {"observers": [{"qos": 1}]},
    }
    return Scenario.model_validate(document | changes)


def child(name: str) -> BaseProcess:
    """The child of this process with this name: `load worker 1`, `iot-core-stand-in`."""
    [found] = [each for each in multiprocessing.active_children() if each.name == name]
    return found


class Course:
    """One run, and everything that is heard of it.

    Attributes:
        records: Every record so far.
        stages: What was prepared so far.
        stop: Set it to end the run.
    """

    def __init__(self, scenario: Scenario, base: Path = NOWHERE, workers: int = 1) -> None:
        self.records: list[Record] = []
        self.stages: list[str] = []
        self.steps = 0
        self.stop = asyncio.Event()
        self.stop_at = ""
        self._plan = Plan(scenario, base, workers, "0")
        self._news = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        """Run to the end; what is known then."""
        async with asyncio.timeout(PATIENCE_S):
            await run(self._plan, Listener(self._record, self._stage, self._step), self.stop)
        return self.result()

    def result(self) -> Result:
        """What is known so far."""
        result = Result()
        for record in self.records:
            result.add(record)
        return result

    async def heard(self, kind: type[T], number: int = 1) -> T:
        """Wait for the record of a kind with this number, from 1."""

        def found() -> list[T]:
            return [record for record in self.records if isinstance(record, kind)]

        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(found()) >= number)
        return found()[number - 1]

    async def snapshot_of(self, worker: int, online: int) -> Snapshot:
        """Wait until a worker says that so many of its cars are online."""

        def found() -> list[Snapshot]:
            snapshots = [each for each in self.records if isinstance(each, Snapshot)]
            return [
                each
                for each in snapshots
                if each.worker == worker and sum(each.online.values()) == online
            ]

        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(found)
        return found()[0]

    def events(self, kind: str) -> list[Event]:
        """The events of a kind."""
        return [each for each in self.records if isinstance(each, Event) and each.kind == kind]

    @property
    def header(self) -> Header:
        """What was planned."""
        header = self.records[0]
        assert isinstance(header, Header)
        return header

    def _record(self, record: Record) -> None:
        self.records.append(record)
        task = asyncio.ensure_future(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _stage(self, text: str, steps: int) -> None:
        del steps
        self.stages.append(text)
        if text == self.stop_at:
            self.stop.set()

    def _step(self, number: int) -> None:
        self.steps += number


class Network:
    """A TCP proxy in front of a broker, whose connections to the cars can be broken.

    The first connection of a run only looks whether the broker is there, the second is that of the
    one observer, and both are spared.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, broker_port: int) -> None:
        self.port = 0
        self._broker_port = broker_port
        self._frozen: list[asyncio.Event] = []
        self._writers: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """From now on nothing passes on the open connections, in either direction."""
        for frozen in self._frozen[_SPARED:]:
            frozen.set()

    def cut(self) -> None:
        """Close the open connections without a word, and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for pair in self._writers[_SPARED:]:
            for writer in pair:
                writer.transport.abort()

    async def close(self) -> None:
        """End everything."""
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The rest of both directions.
        for pair in self._writers:
            for writer in pair:
                writer.transport.abort()

    async def _accept(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        frozen = asyncio.Event()
        self._frozen.append(frozen)
        self._writers.append((near_writer, far_writer))
        for reader, writer in ((near_reader, far_writer), (far_reader, near_writer)):
            task = asyncio.ensure_future(self._pass(reader, writer, frozen))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frozen: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if not frozen.is_set():
                    writer.write(data)
        if not frozen.is_set():
            writer.transport.abort()


@asynccontextmanager
async def network(broker_port: int) -> AsyncIterator[Network]:
    """A network in front of a broker."""
    found = Network(broker_port)
    await found.open()
    try:
        yield found
    finally:
        await found.close()
