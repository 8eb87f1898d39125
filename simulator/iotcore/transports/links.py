"""The open MQTT connections: their bytes into the broker, and what it says out to them.

One rhythm for all of them: bytes go into the core as they arrive, and once per turn of the event
loop everything the core wants to say leaves, one write per connection. A connection whose transport
is full is not written to; what waits for it is bounded by the core. Knows nothing about TLS or
WebSocket framing, only that a transport writes, pauses and closes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from simulator.iotcore.broker.connection import Connection, Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.broker.peer import Peer

log = structlog.get_logger(__name__)

READ_BYTES: Final = 64 * 1024
"""Size of the buffer that TCP connections share."""

_TURNS_MAX: Final = 10
"""Turns of the event loop in which it reports the end of an aborted transport."""


class Cuttable(Protocol):
    """Something that can be closed at once."""

    def abort(self) -> None:
        """Close at once."""
        ...


class MqttTransport(Cuttable, Protocol):
    """What carries the bytes of one MQTT connection. A transport of asyncio is one."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""
        ...

    def close(self) -> None:
        """Close after sending what was written."""
        ...

    def pause_reading(self) -> None:
        """Read no more for now."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...


async def cut_all(transports: Mapping[Any, Cuttable]) -> None:
    """Abort transports, and wait until the event loop has reported their ends.

    Args:
        transports: Those that are open. Their protocols take them out when they are lost.
    """
    for transport in list(transports.values()):
        transport.abort()
    for _ in range(_TURNS_MAX):
        if not transports:
            return
        await asyncio.sleep(0)


class Links:
    """All MQTT connections of a broker.

    Args:
        broker: The broker.
        now_s: The broker's time.

    Attributes:
        broker: The broker.
        now_s: The broker's time.
        buffer: Where the event loop puts what TCP connections send, one read at a time.
    """

    def __init__(self, broker: Broker, now_s: Callable[[], float]) -> None:
        self.broker = broker
        self.now_s = now_s
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._loop = asyncio.get_running_loop()
        self._transports: dict[int, MqttTransport] = {}
        self._is_flush_scheduled = False
        self._emptied: asyncio.Event | None = None

    def open(self, peer: Peer, transport: MqttTransport) -> Connection:
        """A client can speak MQTT now.

        Args:
            peer: Who it is.
            transport: The way back to it. Report its end with `lost`.
        """
        connection = self.broker.open(peer, self.now_s())
        self._transports[connection.connection_id] = transport
        return connection

    def receive(self, connection: Connection, data: bytes) -> None:
        """A client sent bytes."""
        try:
            self.broker.receive(connection, data, self.now_s())
        except Exception:
            # A defect of ours must cost one connection, not the process.
            log.exception("core.defect", client_id=connection.client_id)
            self.broker.abandon(connection, self.now_s())
        self.wake()

    def set_writable(self, connection: Connection, *, is_writable: bool) -> None:
        """A transport became full, or has room again."""
        self.broker.set_writable(connection, is_writable=is_writable)
        if is_writable:
            self.wake()

    def lost(self, connection: Connection) -> None:
        """A transport is gone."""
        self._transports.pop(connection.connection_id, None)
        self.broker.lost(connection, self.now_s())
        self.wake()
        if self._emptied is not None and not self._transports:
            self._emptied.set()

    def wake(self) -> None:
        """Write what the core has to say at the end of this turn of the event loop."""
        if self.broker.has_outputs and not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what the core has to say now."""
        self._is_flush_scheduled = False
        transports = self._transports
        for connection_id, data, ending, reading in self.broker.take_outputs():
            transport = transports.get(connection_id)
            if transport is None:
                continue
            if reading is not None:
                if reading:
                    transport.resume_reading()
                else:
                    transport.pause_reading()
            if data and ending is not Ending.AT_ONCE:
                transport.write(data)
            if ending is Ending.AFTER_SENDING:
                transport.close()
            elif ending is Ending.AT_ONCE:
                transport.abort()

    def drop(self, connection: Connection) -> bool:
        """Cut a connection without a word; False when it is gone already."""
        transport = self._transports.get(connection.connection_id)
        if transport is None:
            return False
        transport.abort()
        return True

    def drop_all(self) -> int:
        """Cut every connection without a word; returns how many."""
        transports = list(self._transports.values())
        for transport in transports:
            transport.abort()
        return len(transports)

    async def close(self, patience_s: float) -> None:
        """Say goodbye to everybody, and cut who has not gone by then.

        Args:
            patience_s: How long clients have to answer the end of TLS or of the WebSocket.
        """
        self.broker.close(self.now_s())
        self.flush()
        if self._transports:
            self._emptied = asyncio.Event()
            try:
                async with asyncio.timeout(patience_s):
                    await self._emptied.wait()
            except TimeoutError:
                await cut_all(self._transports)
