"""MQTT directly on TLS: one protocol object for each connection, and the fast path of telemetry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.transports.links import Links

log = structlog.get_logger(__name__)

_TRANSPORT_HIGH_WATER_BYTES: Final = 256 * 1024
_TURN_BYTES: Final = 16 * 1024
"""A read longer than this is all that a connection gets in one turn of the event loop."""


class MqttLink(asyncio.BufferedProtocol):
    """One connection that speaks MQTT, from its first bytes on.

    Args:
        links: Where it belongs.
        transport: Its transport, whose protocol this becomes.
        peer: Who it is.
        data: What it has sent already.
    """

    __slots__ = ("_broker", "_buffer", "_links", "_now_s", "_transport", "connection")

    def __init__(
        self, links: Links, transport: asyncio.Transport, peer: Peer, data: bytes = b""
    ) -> None:
        self._links = links
        self._broker = links.broker
        # One buffer serves all connections: the loop fills it and hands it over in one go.
        self._buffer = links.buffer
        self._now_s = links.now_s
        self._transport = transport
        transport.set_write_buffer_limits(high=_TRANSPORT_HIGH_WATER_BYTES)
        self.connection = links.open(peer, transport)
        transport.set_protocol(self)
        if data:
            links.receive(self.connection, data)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        """The shared buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived. Does what `Links.receive` does, without the call."""
        data = self._buffer[:nbytes].tobytes()
        try:
            self._broker.receive(self.connection, data, self._now_s())
        except Exception:
            # A defect of ours must cost one connection, not the process.
            log.exception("core.defect", client_id=self.connection.client_id)
            self._broker.abandon(self.connection, self._now_s())
        self._links.wake()
        if nbytes > _TURN_BYTES:
            self._give_way()

    def _give_way(self) -> None:
        """Let the other connections have their turn.

        The loop reads on for as long as there is something, which with a client that never pauses
        is megabytes of the smallest packets and seconds for everybody else.
        """
        self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._read_on, self._transport)

    def _read_on(self, transport: asyncio.Transport) -> None:
        if not self.connection.is_held and not self.connection.is_behind:
            transport.resume_reading()

    def eof_received(self) -> None:
        """Close; MQTT has no half-open connections."""

    def pause_writing(self) -> None:
        """The transport is full."""
        self._links.set_writable(self.connection, is_writable=False)

    def resume_writing(self) -> None:
        """The transport has room."""
        self._links.set_writable(self.connection, is_writable=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """The transport is gone."""
        self._links.lost(self.connection)
        # Both hold the other. OpenSSL lets the session of TLS 1.2 be resumed until it is freed.
        del self._transport
