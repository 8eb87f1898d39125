"""What the machine itself takes for a way there and back between two processes.

A child process returns every datagram at once. Measured in the same seconds as an agent, its
percentiles say how much of the agent's is the machine and whatever else runs on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import time
from typing import TYPE_CHECKING

from tests.bench.timing import Latencies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection as Pipe

_HOST = "127.0.0.1"
_BYTES = 8


class Echo(asyncio.DatagramProtocol):
    """This end of the way.

    Attributes:
        latencies: Of the datagrams that came back.
    """

    def __init__(self, port: int) -> None:
        self.latencies = Latencies()
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment] # uvloop's do not derive from asyncio's

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One came back; it carries its start."""
        del addr
        self.latencies.record(time.perf_counter_ns() - int.from_bytes(data, "little"))

    def ping(self) -> None:
        """Send one."""
        if self._transport is not None:
            stamp = time.perf_counter_ns().to_bytes(_BYTES, "little")
            self._transport.sendto(stamp, (_HOST, self._port))


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """A child process that echoes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    transport: asyncio.DatagramTransport | None = None
    try:
        port = int(await asyncio.to_thread(ours.recv))
        transport, here = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Echo(port), local_addr=(_HOST, 0)
        )
        yield here
    finally:
        if transport is not None:
            transport.close()
        process.terminate()
        await asyncio.to_thread(process.join)


def _serve(pipe: Pipe) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((_HOST, 0))
        pipe.send(sock.getsockname()[1])
        while True:
            data, source = sock.recvfrom(_BYTES)
            sock.sendto(data, source)
