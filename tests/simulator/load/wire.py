"""A bare MQTT 5 client over TLS, for tests of the stand-in and of targets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import mqtt5

from simulator.load.target.reachability import present

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.load.target.identities import KeyPair
    from simulator.load.target.opening import ClientTls

TIMEOUT_S = 20.0


class Wire:
    """One connection that speaks in packets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""

    def send(self, packet: Any) -> None:
        """Send a packet."""
        self._writer.write(packet.write())

    async def receive(self) -> Any:
        """The next packet; None at the end of the connection, however it came."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    packet, size = mqtt5.read(memoryview(self._rest))
                except IndexError:
                    data = b""
                    with suppress(OSError):
                        data = await self._reader.read(65_536)
                    if not data:
                        return None
                    self._rest += data
                else:
                    self._rest = self._rest[size:]
                    return packet

    async def ask(self, packet: Any) -> Any:
        """Send a packet and receive the next."""
        self.send(packet)
        return await self.receive()


@asynccontextmanager
async def connected(
    port: int, tls: ClientTls, pair: KeyPair, client_id: str | None = None
) -> AsyncIterator[Wire]:
    """A connection that has sent CONNECT; the CONNACK is the next packet."""
    context = tls.context()
    present(context, pair)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=tls.server_name
        )
    wire = Wire(reader, writer)
    try:
        wire.send(mqtt5.ConnectPacket(client_id or pair.thing, clean_start=True))
        yield wire
    finally:
        writer.transport.abort()


def publish(topic: str, payload: bytes = b"x") -> mqtt5.PublishPacket:
    """A QoS 1 publish."""
    return mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1)


def subscribe(topic_filter: str) -> mqtt5.SubscribePacket:
    """A subscription at QoS 0."""
    entry = mqtt5.TopicFilter(topic_filter, max_qos=mqtt5.QoS.AT_MOST_ONCE)
    return mqtt5.SubscribePacket(2, [entry])
