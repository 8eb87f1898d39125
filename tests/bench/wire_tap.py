"""The lightest MQTT 5 broker for one agent: it stamps what arrives and publishes what it is given.

It stands where the broker stands so that a latency to or from the agent is measured at the other
end of the agent's own TLS connection and holds as little as possible of anybody else's work. It
accepts everything and keeps nothing: it is no broker to build on.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self, cast

import mqtt5

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType


class WireTap:
    """Listens for one client on the loopback interface; an async context manager.

    Args:
        tls: Context for mutual TLS.
        on_publish: Called with topic, payload and the `perf_counter_ns` of the moment at which the
            bytes had been read from the socket and decrypted, before any other work on them.

    Attributes:
        port: The port in use, once entered.
        subscribed: Set once the client has asked for `filters_wanted` subscriptions.
        filters_wanted: How many subscriptions make a client ready.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        on_publish: Callable[[str, bytes, int], None],
        *,
        filters_wanted: int = 3,
    ) -> None:
        self.port = 0
        self.subscribed = asyncio.Event()
        self.filters_wanted = filters_wanted
        self.on_publish = on_publish
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._link: _Link | None = None
        self._filters = 0
        self._packet_id = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Link(self), "127.0.0.1", 0, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        if self._link is not None:
            self._link.transport.abort()

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Send a message to the client."""
        packet_id = None
        if qos:
            self._packet_id = self._packet_id % 65_535 + 1
            packet_id = self._packet_id
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS(qos), packet_id=packet_id)
        if self._link is not None:
            self._link.transport.write(packet.write())

    def connected(self, link: _Link) -> None:
        """A client is there; a second one replaces the first."""
        self._link = link

    def take(self, packet: mqtt5.Packet, at_ns: int, link: _Link) -> None:
        """Answer one packet."""
        answer: bytes | None = None
        match packet:
            case mqtt5.PublishPacket():
                self.on_publish(packet.topic, packet.payload, at_ns)
                if packet.packet_id is not None:
                    answer = mqtt5.PubAckPacket(packet.packet_id).write()
            case mqtt5.ConnectPacket():
                answer = mqtt5.ConnAckPacket(max_qos=mqtt5.QoS.AT_LEAST_ONCE).write()
            case mqtt5.SubscribePacket():
                granted = mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE
                count = len(packet.topic_filters)
                answer = mqtt5.SubAckPacket(packet.packet_id, [granted] * count).write()
                self._filters += count
                if self._filters >= self.filters_wanted:
                    self.subscribed.set()
            case mqtt5.PingReqPacket():
                answer = mqtt5.PingRespPacket().write()
            case _:
                pass
        if answer is not None:
            link.transport.write(answer)


class _Link(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, tap: WireTap) -> None:
        self._tap = tap
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self._tap.connected(self)

    def data_received(self, data: bytes) -> None:
        at_ns = time.perf_counter_ns()
        view = memoryview(self._rest + data)
        while view:
            try:
                packet, size = mqtt5.read(view)
            except IndexError:  # the rest of the packet is still on its way
                break
            self._tap.take(packet, at_ns, self)
            view = view[size:]
        self._rest = bytes(view)
