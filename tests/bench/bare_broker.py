"""What answering costs without any broker: the floor under the stand-in's cost per publish.

A TLS server on the same event loop that looks at the first byte of what arrives and answers with
fixed bytes: CONNACK to a CONNECT, PUBACK to a PUBLISH at QoS 1. `tests.bench.broker_load` puts it
in the stand-in's place; what the stand-in costs is to be read as a multiple of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from certs.store import Store
from simulator.iotcore.process import prepare_for_many_connections
from simulator.iotcore.tls import LiveTls, ServerTls
from tests.bench import broker_load

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

_CONNECT: Final = 0x10
_PUBLISH_QOS_1: Final = 0x32
_CONNACK: Final = b"\x20\x03\x00\x00\x00"
_PUBACK: Final = b"\x40\x02\x00\x01"
"""The clients of the load use packet id 1 only."""


class _Counts:
    """What all connections share."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(64 * 1024))
        self.publishes = 0


class _Link(asyncio.BufferedProtocol):
    """One connection."""

    __slots__ = ("_counts", "_transport")

    def __init__(self, counts: _Counts) -> None:
        self._counts = counts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        return self._counts.buffer

    def buffer_updated(self, nbytes: int) -> None:
        first = self._counts.buffer[:nbytes].tobytes()[0]
        if first == _CONNECT:
            self._transport.write(_CONNACK)
            return
        self._counts.publishes += 1
        if first == _PUBLISH_QOS_1:
            self._transport.write(_PUBACK)

    def eof_received(self) -> None:
        """Close."""


def serve(folder: str, _quotas: str, pipe: Pipe) -> None:
    """Serve until told to stop; takes the place of the stand-in in `broker_load.run`."""
    import uvloop  # noqa: PLC0415 - absent on Windows

    prepare_for_many_connections()
    uvloop.run(_serve_until_told(folder, pipe))


async def _serve_until_told(folder: str, pipe: Pipe) -> None:
    import resource  # noqa: PLC0415 - absent on Windows

    store = Store(folder)
    identity = store.server_identity()
    files = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    counts = _Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Link(counts), "127.0.0.1", 0, ssl=LiveTls(files, require_sni=False).context
    )
    async with server:
        pipe.send(server.sockets[0].getsockname()[1])
        while await asyncio.to_thread(pipe.recv) != "stop":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            totals = {"publishes_in": counts.publishes, "publishes_out": 0}
            pipe.send((usage.ru_utime + usage.ru_stime, broker_load.resident_kb(), totals))
