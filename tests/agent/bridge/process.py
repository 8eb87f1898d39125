"""The real `morai-agent run` as a child process, and a car on real UDP sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from tests.agent.bridge import datagrams as wire
from tests.agent.bridge.rig import write_configuration
from tests.agent.cloud.rig import HOST, PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from certs.store import Store

_REPORT_PERIOD_S = 0.02


class AgentProcess:
    """`morai-agent run`, whose log events can be waited for."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self.pid = process.pid
        self._process = process
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.noise.append(line.decode())
            self._changed.set()
        self._changed.set()

    async def event(self, name: str) -> dict[str, Any]:
        """Wait for a log event of this name; the first one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = next((e for e in self.events if e["event"] == name), None)
                if found is not None:
                    return found
                assert not self._reader.done(), (self.events, self.noise)
                self._changed.clear()
                await self._changed.wait()

    def close_log(self) -> None:
        """Close the reading end of its log, as a log collector that crashes does."""
        self._reader.cancel()
        transport = self._process._transport.get_pipe_transport(2)  # type: ignore[attr-defined] # no public way
        transport.close()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        await asyncio.gather(self._reader, return_exceptions=True)
        return code

    async def kill(self) -> None:
        """End it without any chance to clean up, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def agent(configuration: Path, **environment: str) -> AsyncIterator[AgentProcess]:
    """A running agent; killed when the block is left, unless it has ended by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agent", "run", "--config", str(configuration)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    running = AgentProcess(process)
    try:
        yield running
    finally:
        await running.kill()


class UdpCar(asyncio.DatagramProtocol):
    """A car that goes to external mode when told to, and never moves.

    Attributes:
        controls: Ego controls received.
        port: Where it listens for them.
    """

    def __init__(self) -> None:
        self.controls: list[wire.Control] = []
        self.mode = 1
        self.port = 0
        self._changed = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # datagram protocols get this kind
        """Remember the socket."""
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a control command."""
        del addr
        control = wire.control(data)
        self.mode = control.mode or self.mode
        self.controls.append(control)
        self._changed.set()

    async def until_controls(self, count: int) -> None:
        """Wait until `count` control commands have arrived."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.controls) < count:
                self._changed.clear()
                await self._changed.wait()

    @contextlib.asynccontextmanager
    async def reporting(self, port: int) -> AsyncIterator[None]:
        """Send ego statuses to an agent's port at 50 Hz until the block is left."""

        async def report_for_ever() -> None:
            while True:
                if self._transport is not None:
                    self._transport.sendto(wire.ego_status(mode=self.mode), (HOST, port))
                await asyncio.sleep(_REPORT_PERIOD_S)

        task = asyncio.create_task(report_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def udp_car() -> AsyncIterator[UdpCar]:
    """A car on a free port."""
    loop = asyncio.get_running_loop()
    transport, car = await loop.create_datagram_endpoint(UdpCar, local_addr=(HOST, 0))
    try:
        yield car
    finally:
        transport.close()


def process_configuration(folder: Path, store: Store, port: int, car: UdpCar) -> Path:
    """An agent.toml whose receiving ports are any free ones; the log tells which."""
    return write_configuration(
        folder,
        store,
        port,
        f"""
[simulator.receive]
ego_status = 0
objects = 0
collision = 0
traffic_light = 0
imu = 0
gps = 0

[simulator.send]
ego_control = {car.port}

[log]
format = "json"
""",
    )


SIGNALS = [signal.SIGTERM, signal.SIGINT]
