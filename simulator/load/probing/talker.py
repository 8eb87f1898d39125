"""One MQTT 5 client that hides nothing: what it wrote is known to the byte, what came is kept.

Unlike `simulator.load.connection.client` it holds to no rule of its own accord: no window, no
keep-alive, no reconnect, so that it can do what a quota forbids. Owns one connection and what was
heard on it. Bounds: `RECEIVED_MAX` messages are kept, whose payloads are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

import mqtt5

from simulator.iotcore.broker.framing import Framer
from simulator.iotcore.broker.wire import MalformedPacket
from simulator.load.connection.server_packets import decoded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from simulator.load.target.reachability import Address

PATIENCE_S: Final = 15.0
"""How long an answer may take that every broker gives."""

RECEIVED_MAX: Final = 10_000
FAILURE: Final = 0x80
_READ_BYTES: Final = 64 * 1024
_PACKET_BYTES_MAX: Final = 1024 * 1024
_LINK_S: Final = 15.0
_AT_LEAST_ONCE: Final = mqtt5.QoS.AT_LEAST_ONCE
_PING: Final = mqtt5.PingReqPacket().write()
_PUBACK: Final = 0x40
_PUBACK_BYTES: Final = 4
_UNSUBACK: Final = 0xB0


class ProbeError(Exception):
    """A probe cannot go on; the text says why."""


class Received:
    """A PUBLISH that arrived, without its payload."""

    __slots__ = ("at_s", "expiry_s", "packet_id")

    def __init__(self, at_s: float, packet: mqtt5.PublishPacket) -> None:
        self.at_s = at_s
        self.packet_id = packet.packet_id
        self.expiry_s = packet.message_expiry_interval


class Talker:
    """One client on one connection. Close it in the end.

    Args:
        address: Where to connect.
        context: TLS, with the client's certificate.
        server_name: Name the server's certificate must be for.

    Attributes:
        connack: The CONNACK, once it came.
        acknowledged: Packet id of a publish to the reason code of its PUBACK.
        granted: Packet id of a SUBSCRIBE to the reason codes of its SUBACK.
        received: The publishes that arrived, in order.
        end_code: Reason code of the DISCONNECT that the broker sent, if it sent one.
        is_closed: Whether the connection has ended.
        acknowledges: Whether publishes that arrive at QoS 1 are acknowledged at once.
    """

    def __init__(self, address: Address, context: ssl.SSLContext, server_name: str) -> None:
        self._address = address
        self._context = context
        self._server_name = server_name
        self._ids = itertools.count(1)
        self._pongs = 0
        self._pings = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.connack: mqtt5.ConnAckPacket | None = None
        self.acknowledged: dict[int, int] = {}
        self.granted: dict[int, list[int]] = {}
        self.received: list[Received] = []
        self.end_code: int | None = None
        self.is_closed = False
        self.acknowledges = True

    # Connecting

    async def link(self) -> None:
        """Open the connection: TCP and TLS, nothing of MQTT.

        Raises:
            ProbeError: It cannot be opened.
        """
        host, port = self._address.sockaddr
        try:
            async with asyncio.timeout(_LINK_S):
                reader, self._writer = await asyncio.open_connection(
                    host, port, ssl=self._context, server_hostname=self._server_name
                )
        except (OSError, TimeoutError) as error:
            raise ProbeError(f"no connection: {str(error) or 'it took too long'}") from error
        self._reading = asyncio.create_task(self._read(reader))

    def send_connect(
        self,
        client_id: str,
        *,
        keep_alive_s: int = 60,
        session_expiry_s: int = 0,
        packet_bytes_max: int | None = None,
        is_new: bool = True,
    ) -> None:
        """Write a CONNECT.

        Args:
            client_id: Client id.
            keep_alive_s: Keep Alive.
            session_expiry_s: Session Expiry Interval.
            packet_bytes_max: Maximum Packet Size to announce.
            is_new: Clean Start.
        """
        self.write(
            mqtt5.ConnectPacket(
                client_id,
                clean_start=is_new,
                keep_alive=keep_alive_s,
                session_expiry_interval=session_expiry_s,
                receive_max=65_535,
                max_packet_size=packet_bytes_max,
            ).write()
        )

    async def connack_code(self) -> int:
        """Wait for the CONNACK; its reason code.

        Raises:
            ProbeError: None came.
        """
        await self.until(lambda: self.connack is not None)
        if self.connack is None:
            raise ProbeError("closed without a CONNACK")
        return int(self.connack.reason_code)

    # Talking

    def write(self, data: bytes) -> None:
        """Write any bytes; nothing happens on a connection that has ended."""
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.write(data)

    def publish(self, topic: str, payload: bytes = b"", **properties: Any) -> int:
        """Write a QoS 1 PUBLISH; its packet id.

        Args:
            topic: Topic name.
            payload: Payload.
            properties: Further arguments of `mqtt5.PublishPacket`.
        """
        packet_id = next(self._ids)
        packet = mqtt5.PublishPacket(
            topic, payload, qos=_AT_LEAST_ONCE, packet_id=packet_id, **properties
        )
        self.write(packet.write())
        return packet_id

    def subscribe(self, filters: Sequence[str], qos: int = 0) -> int:
        """Write one SUBSCRIBE; its packet id."""
        packet_id = next(self._ids)
        entries = [mqtt5.TopicFilter(name, max_qos=mqtt5.QoS(qos)) for name in filters]
        self.write(mqtt5.SubscribePacket(packet_id, entries).write())
        return packet_id

    def unsubscribe(self, name: str) -> None:
        """Write an UNSUBSCRIBE."""
        self.write(mqtt5.UnsubscribePacket(next(self._ids), [name]).write())

    def acknowledge_all(self) -> None:
        """Send the PUBACK of everything that arrived so far, and of what arrives from now on."""
        self.acknowledges = True
        for each in self.received:
            self._acknowledge(each)

    async def heard_out(self) -> None:
        """Wait until the broker has answered everything written so far.

        A broker takes the packets of a connection in order, so it has when it answers a PINGREQ
        that was written after them; or when the connection has ended.

        Raises:
            ProbeError: It does neither.
        """
        self._pings += 1
        wanted = self._pings
        self.write(_PING)
        await self.until(lambda: self._pongs >= wanted)

    async def until(self, is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so, or the connection has ended.

        Raises:
            ProbeError: Neither comes true in time.
        """
        try:
            async with asyncio.timeout(patience_s):
                while not is_so() and not self.is_closed:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise ProbeError(f"no answer within {patience_s:g} s") from None

    async def until_quiet(self, number: int, quiet_s: float) -> None:
        """Wait until so many publishes have arrived, or none has for a while."""
        while len(self.received) < number and not self.is_closed:
            before = len(self.received)
            with contextlib.suppress(ProbeError):
                await self.until(self._more_than(before), quiet_s)
            if len(self.received) == before:
                return

    def _more_than(self, before: int) -> Callable[[], bool]:
        return lambda: len(self.received) > before

    async def leave(self) -> None:
        """Disconnect and leave the session behind."""
        await self._close(mqtt5.DisconnectPacket().write())

    async def close(self) -> None:
        """Disconnect, if it still is connected, and let the session end with that."""
        await self._close(mqtt5.DisconnectPacket(session_expiry_interval=0).write())

    async def _close(self, disconnect: bytes) -> None:
        writer, self._writer = self._writer, None
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if writer is None:
            return
        with contextlib.suppress(OSError):
            if self.connack is not None and not self.is_closed:
                writer.write(disconnect)
                async with asyncio.timeout(1.0):
                    await writer.drain()
        writer.close()
        self.is_closed = True

    # Hearing

    async def _read(self, reader: asyncio.StreamReader) -> None:
        framer = Framer(_PACKET_BYTES_MAX)
        with contextlib.suppress(OSError, MalformedPacket):
            while data := await reader.read(_READ_BYTES):
                for packet in framer.feed(data):
                    self._take(packet)
                self._news.set()
        self.is_closed = True
        self._news.set()

    def _take(self, wire: bytes) -> None:
        if wire[0] == _PUBACK and len(wire) >= _PUBACK_BYTES:
            code = wire[_PUBACK_BYTES] if len(wire) > _PUBACK_BYTES else 0
            self.acknowledged[wire[2] << 8 | wire[3]] = code
            return
        if wire[0] == _UNSUBACK:
            return
        match packet := decoded(wire):
            case mqtt5.PublishPacket():
                self._take_publish(packet)
            case mqtt5.ConnAckPacket():
                self.connack = packet
            case mqtt5.SubAckPacket():
                self.granted[packet.packet_id] = [int(code) for code in packet.reason_codes]
            case mqtt5.DisconnectPacket():
                self.end_code = int(packet.reason_code)
            case _:
                self._pongs += 1

    def _take_publish(self, packet: mqtt5.PublishPacket) -> None:
        if len(self.received) >= RECEIVED_MAX:
            return
        found = Received(asyncio.get_running_loop().time(), packet)
        self.received.append(found)
        if self.acknowledges:
            self._acknowledge(found)

    def _acknowledge(self, found: Received) -> None:
        if found.packet_id is not None:
            self.write(mqtt5.PubAckPacket(found.packet_id).write())
            found.packet_id = None
