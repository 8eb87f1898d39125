"""A client whose server says what a test writes down, byte by byte, and whose clock a test sets.

The bytes are those of the tables in MQTT 5.0 section 3, in hexadecimal.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from simulator.load.connection.client import Client, Endpoint, Pending, Settings
from simulator.load.target.reachability import Address
from tests.simulator.load.connection.servers import HOST, PATIENCE_S, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import mqtt5

    from tests.simulator.load.connection.servers import Peer, Server

CONNACK = "20 03 00 00 00"
"""Success, no session, no properties (section 3.2)."""
CONNACK_SESSION = "20 03 01 00 00"
"""Success, and the session is still there."""
PINGREQ = "c0 00"
PINGRESP = "d0 00"
DISCONNECT = "e0 00"


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.now_s


class Driver:
    """A role that writes down what it hears.

    Attributes:
        heard: What happened, in order.
        messages: Messages that came.
    """

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.heard: list[tuple[Any, ...]] = []
        self.messages: list[tuple[str, bytes]] = []
        self._changed = asyncio.Event()

    def _hear(self, *what: Any) -> None:
        self.heard.append(what)
        self._changed.set()

    def client_linked(self, _client: Client, now_s: float, /) -> None:
        """Connected on TCP."""
        self._hear("linked", now_s)

    def client_connected(self, _client: Client, now_s: float, /) -> None:
        """CONNACK came."""
        self._hear("connected", now_s)

    def client_message(self, _client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """A message came."""
        self.messages.append((packet.topic, packet.payload))
        self._hear("message", packet.topic)

    def client_acknowledged(self, _client: Client, pending: Pending, reason: int, /) -> None:
        """A PUBACK came."""
        self._hear("acknowledged", pending.number, reason)

    def client_subscribed(self, _client: Client, reasons: list[int], /) -> None:
        """A SUBACK came."""
        self._hear("subscribed", reasons)

    def client_resent(self, _client: Client, count: int, /) -> None:
        """Some were sent again."""
        self._hear("resent", count)

    def client_ended(self, _client: Client, cause: str, /, *, was_connected: bool) -> None:
        """It ended."""
        self._hear("ended", cause, was_connected)

    async def hears(self, kind: str, times: int = 1) -> tuple[Any, ...]:
        """Wait until something was heard so many times; the last of them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [each for each in self.heard if each[0] == kind]) < times:
                self._changed.clear()
                await self._changed.wait()
        return found[-1]


class Stage:
    """A client and its scripted server."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.clock = Hands()
        self.driver = Driver()
        self.client = Client(
            self.driver, 0, "car", settings, asyncio.get_running_loop(), self.clock
        )
        self._endpoint = Endpoint((Address(socket.AF_INET, (HOST, server.port)),), None)
        self._server = server
        self.peer: Peer
        self.connect_packet = b""

    async def open(self) -> None:
        """Let the client connect, and read its CONNECT."""
        self.client.connect(self._endpoint)
        self.peer = await self._server.accepted()
        self.connect_packet = await self.packet()

    async def begin(self, connack: str = CONNACK) -> None:
        """Open, and let the client in."""
        times = sum(each[0] == "connected" for each in self.driver.heard)
        await self.open()
        self.say(connack)
        await self.driver.hears("connected", times + 1)

    def say(self, text: str | bytes) -> None:
        """Send bytes."""
        self.peer.writer.write(bytes.fromhex(text) if isinstance(text, str) else text)

    async def packet(self) -> bytes:
        """The next packet of the client, of less than 16 KB."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.peer.reader.readexactly(2)
            size = head[1]
            if size & 0x80:
                head += await self.peer.reader.readexactly(1)
                size = size & 0x7F | head[2] << 7
            return head + await self.peer.reader.readexactly(size)

    async def packets(self, count: int) -> list[str]:
        """The next packets of the client as hexadecimal text."""
        return [(await self.packet()).hex(" ") for _ in range(count)]

    async def ends(self) -> bytes:
        """Everything until the client closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.peer.reader.read()

    def publish(self, number: int, sink: list[float] | None = None) -> int:
        """Publish `t/a` with one byte, the number."""
        pending = Pending(
            self.clock.now_s, [] if sink is None else sink, "t/a", bytes([number]), None, number
        )
        return self.client.publish(pending, self.clock.now_s)


def publication(packet_id: int, number: int, first: str = "32") -> str:
    """That publish on the wire (section 3.3): `t/a`, a packet id, no properties, one byte."""
    return f"{first} 09 00 03 74 2f 61 {packet_id >> 8:02x} {packet_id & 255:02x} 00 {number:02x}"


def puback(packet_id: int, reason: int | None = None) -> str:
    """A PUBACK (section 3.4), in its short form without a reason."""
    identity = f"{packet_id >> 8:02x} {packet_id & 255:02x}"
    return f"40 02 {identity}" if reason is None else f"40 03 {identity} {reason:02x}"


@asynccontextmanager
async def staged(settings: Settings | None = None) -> AsyncIterator[Stage]:
    """A client that has not connected yet."""
    async with serving() as server:
        stage = Stage(server, settings or Settings())
        try:
            yield stage
        finally:
            stage.client.abort()


@asynccontextmanager
async def begun(settings: Settings | None = None, connack: str = CONNACK) -> AsyncIterator[Stage]:
    """A client that is connected."""
    async with staged(settings) as stage:
        await stage.begin(connack)
        yield stage
