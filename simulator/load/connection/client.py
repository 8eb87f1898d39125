"""One MQTT 5 client on one link: connect, publish with a window, subscribe, stay alive, end.

Owns the client's side of the protocol (MQTT 5.0 sections 3 and 4): nothing is sent between CONNECT
and CONNACK, QoS 1 publishes are bounded by the smaller of the client's window and the server's
Receive Maximum, what is unacknowledged when a connection ends is sent again on the next one, under
its old packet ids if the session lives on. It has no timers: the worker calls `look_after` now and
then. It does not decide when to connect or what to publish, and records nothing itself; its role
hears of everything.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import mqtt5

from simulator.iotcore.broker.framing import Framer
from simulator.iotcore.broker.wire import MalformedPacket
from simulator.load.connection.link import BACKLOG_BYTES_MAX, Link
from simulator.load.connection.reason_codes import FAILURE, SUCCESS, reason_name
from simulator.load.connection.server_packets import decoded

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from simulator.load.connection.tls_client import ClientContext
    from simulator.load.target.identities import KeyPair
    from simulator.load.target.reachability import Address

PACKET_BYTES_MAX: Final = 1024 * 1024
"""Largest packet that is taken from a server; a larger one ends the connection."""

CONNECT_TIMEOUT_S: Final = 30.0
_PING: Final = mqtt5.PingReqPacket().write()
_PING_AFTER: Final = 0.75
# Of the Keep Alive: this long without a packet to send a ping, and as long again for an answer.
BACKLOG_ROOM_BYTES: Final = BACKLOG_BYTES_MAX // 4
"""Backlog above which nothing more should be published."""
_PACKET_ID_MAX: Final = 65_535
_AT_LEAST_ONCE: Final = mqtt5.QoS.AT_LEAST_ONCE
_PUBACK_BYTES: Final = 4
_PUBACK_PACKET: Final = struct.Struct(">BBH")
_PUBACK: Final = 0x40
_FIRST_PACKETS: Final = {0x20, 0xE0}
# CONNACK; and DISCONNECT, which is wrong there (MQTT 5.0 section 3.14) but says what is the matter.


class Endpoint(NamedTuple):
    """Where and how clients connect.

    Attributes:
        addresses: Numeric addresses; clients are spread over them.
        tls: TLS, or None for plain TCP.
    """

    addresses: tuple[Address, ...]
    tls: ClientContext | None


class Settings(NamedTuple):
    """What the clients of a group have in common.

    Attributes:
        keep_alive_s: Keep Alive of the CONNECT; 0 turns it off.
        window: QoS 1 publishes in flight at most.
        is_persistent: Clean Start 0 and a session that outlives the connection.
        session_expiry_s: Session Expiry Interval of a persistent session.
        max_packet_bytes: Maximum Packet Size of the CONNECT.
    """

    keep_alive_s: int = 60
    window: int = 100
    is_persistent: bool = False
    session_expiry_s: int = 3600
    max_packet_bytes: int = PACKET_BYTES_MAX


class Pending(NamedTuple):
    """A QoS 1 publish that is not acknowledged.

    Attributes:
        due_s: Its intended send time.
        sink: Where its latency goes.
        topic: Its topic.
        payload: Its payload.
        lane: Whose message it is; given back to the role.
        number: Its number in that.
        expiry_s: Message Expiry Interval.
    """

    due_s: float
    sink: list[float]
    topic: str
    payload: bytes
    lane: object = None
    number: int = 0
    expiry_s: int | None = None


class Role(Protocol):
    """Who a client works for. `client.index` says which of its clients it is.

    Attributes:
        bytes_in: Bytes its clients read.
        bytes_out: Bytes its clients wrote, other than publishes it wrote itself.
    """

    bytes_in: int
    bytes_out: int

    def client_linked(self, client: Client, now_s: float, /) -> None:
        """TCP and TLS stand; CONNECT is on its way."""

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """CONNACK with success."""

    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """A PUBLISH came in; its PUBACK, if any, has been sent."""

    def client_acknowledged(self, client: Client, pending: Pending, reason: int, /) -> None:
        """A PUBACK came for a publish; a reason of 0x80 and above is a refusal."""

    def client_subscribed(self, client: Client, reasons: list[int], /) -> None:
        """A SUBACK came."""

    def client_resent(self, client: Client, count: int, /) -> None:
        """Publishes of the last connection were sent again on this one."""

    def client_ended(self, client: Client, cause: str, /, *, was_connected: bool) -> None:
        """The connection ended, or never came to be, other than by `disconnect`."""


class Client:
    """One client; it can connect again and again.

    Args:
        role: Who it works for.
        index: Its number within the role.
        client_id: Its client id.
        settings: What its group has in common.
        loop: The event loop.
        clock: Seconds on the clock of the run.
        identity: Its client certificate.

    Attributes:
        is_connected: Between CONNACK and the end of a connection.
        link: The connection in use, if any.
        in_flight: Packet id to publish that waits for a PUBACK.
        waiting: Publishes that wait for room in the window.
        attempts: Consecutive attempts that failed.
    """

    __slots__ = (
        "_clock",
        "_framer",
        "_is_connecting",
        "_keep_alive_s",
        "_last_id",
        "_last_read_s",
        "_last_write_s",
        "_loop",
        "_ping_sent_s",
        "_rewrites",
        "_window",
        "attempts",
        "client_id",
        "identity",
        "in_flight",
        "index",
        "is_connected",
        "link",
        "role",
        "settings",
        "started_s",
        "waiting",
    )

    def __init__(
        self,
        role: Role,
        index: int,
        client_id: str,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        identity: KeyPair | None = None,
    ) -> None:
        self.role = role
        self.index = index
        self.client_id = client_id
        self.settings = settings
        self.identity = identity
        self.is_connected = False
        self.attempts = 0
        self.started_s = 0.0
        self.in_flight: dict[int, Pending] = {}
        self.waiting: deque[Pending] | None = None
        # How many of them, at the front, were written on an earlier connection.
        self._rewrites = 0
        self._loop = loop
        self._clock = clock
        self.link: Link | None = None
        self._framer: Framer | None = None
        self._is_connecting = False
        self._last_id = 0
        self._window = settings.window
        self._keep_alive_s = settings.keep_alive_s
        self._last_write_s = 0.0
        self._last_read_s = 0.0
        self._ping_sent_s: float | None = None

    # Connecting

    @property
    def is_idle(self) -> bool:
        """Whether it neither has a connection nor tries to."""
        return self.link is None

    def connect(self, endpoint: Endpoint, identity: KeyPair | None = None) -> None:
        """Begin to connect; `client_connected` or `client_ended` follows.

        Args:
            endpoint: Where to.
            identity: A certificate to use this once instead of its own.
        """
        if self.link is not None:
            return
        self.started_s = self._clock()
        self._is_connecting = True
        link = self.link = Link(self._loop, self, endpoint.tls, identity or self.identity)
        address = endpoint.addresses[self.index % len(endpoint.addresses)]
        link.connect(address.family, address.sockaddr)

    def linked(self) -> None:
        """TCP and TLS stand."""
        now_s = self._clock()
        self._framer = Framer(PACKET_BYTES_MAX)
        self._last_read_s = now_s
        settings = self.settings
        packet = mqtt5.ConnectPacket(
            self.client_id,
            clean_start=not settings.is_persistent,
            keep_alive=settings.keep_alive_s,
            session_expiry_interval=settings.session_expiry_s if settings.is_persistent else 0,
            receive_max=100,
            max_packet_size=settings.max_packet_bytes,
        )
        self.role.client_linked(self, now_s)
        self._write(packet.write(), now_s)

    # Publishing

    @property
    def is_window_full(self) -> bool:
        """Whether a further QoS 1 publish would have to be given up."""
        return self.waiting is not None and len(self.waiting) >= self.settings.window

    def write_publish(self, packet: bytes, now_s: float) -> bool:
        """Write an encoded QoS 0 PUBLISH; False when the link is too far behind to take it."""
        link = self.link
        if link is None or (link.backlog is not None and len(link.backlog) > BACKLOG_ROOM_BYTES):
            return False
        self._last_write_s = now_s
        return link.write(packet)

    def publish(self, pending: Pending, now_s: float) -> int:
        """Publish at QoS 1, or let it wait for room in the window and on the link.

        Returns:
            Bytes written; 0 when it waits.
        """
        if self.is_connected and not self.waiting and len(self.in_flight) < self._window:
            size = self._send(pending, now_s)
            if size:
                return size
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(pending)
        return 0

    def never_written(self) -> list[Pending]:
        """The publishes that waited for room and were not written on any connection."""
        return list(self.waiting or ())[self._rewrites :]

    def shift(self, by_s: float) -> None:
        """Move every time it remembers, when the clock is set to another zero."""
        self.started_s += by_s
        self._last_write_s += by_s
        self._last_read_s += by_s
        if self._ping_sent_s is not None:
            self._ping_sent_s += by_s

    def subscribe(self, filters: list[tuple[str, int]], now_s: float) -> None:
        """Send one SUBSCRIBE with up to 8 filters, each with its QoS."""
        entries = [mqtt5.TopicFilter(name, max_qos=mqtt5.QoS(qos)) for name, qos in filters]
        self._write(mqtt5.SubscribePacket(self._next_id(), entries).write(), now_s)

    def write_raw(self, data: bytes) -> None:
        """Write any bytes, for faults."""
        if self.link is not None:
            self.link.write(data)

    def _send(self, pending: Pending, now_s: float, resent_as: int | None = None) -> int:
        """Write a publish; 0 when the link does not take it, and then nothing has happened.

        Args:
            pending: The publish.
            now_s: The time now.
            resent_as: Its packet id in a session that knows it already.
        """
        packet_id = self._next_id() if resent_as is None else resent_as
        packet = mqtt5.PublishPacket(
            pending.topic,
            pending.payload,
            qos=_AT_LEAST_ONCE,
            packet_id=packet_id,
            duplicate=resent_as is not None,
            message_expiry_interval=pending.expiry_s,
        ).write()
        link = self.link
        if link is None or not link.write(packet):
            return 0
        self._last_write_s = now_s
        self.in_flight[packet_id] = pending
        return len(packet)

    def _send_waiting(self, now_s: float) -> None:
        waiting = self.waiting
        while waiting and len(self.in_flight) < self._window:
            size = self._send(waiting[0], now_s)
            if not size:
                return
            waiting.popleft()
            self._rewrites = max(0, self._rewrites - 1)
            self.role.bytes_out += size

    def _resend(
        self, unacknowledged: dict[int, Pending], now_s: float, *, is_same_session: bool
    ) -> None:
        """Send what the last connection left unacknowledged, in its order, before anything new."""
        for packet_id in unacknowledged:
            del self.in_flight[packet_id]
        left: deque[Pending] = deque()
        for packet_id, pending in unacknowledged.items():
            size = 0
            if not left and len(self.in_flight) < self._window:
                size = self._send(pending, now_s, packet_id if is_same_session else None)
            if size:
                self.role.bytes_out += size
            else:
                left.append(pending)
        if left:
            self.waiting = left + (self.waiting or deque())
            self._rewrites += len(left)
        self.role.client_resent(self, len(unacknowledged) - len(left))

    def _next_id(self) -> int:
        packet_id = self._last_id
        while True:
            packet_id = packet_id % _PACKET_ID_MAX + 1
            if packet_id not in self.in_flight:
                self._last_id = packet_id
                return packet_id

    def _write(self, data: bytes, now_s: float) -> None:
        self._last_write_s = now_s
        if self.link is not None:
            self.link.write(data)
            self.role.bytes_out += len(data)

    # Receiving

    def received(self, data: bytes) -> None:
        """Take bytes from the link."""
        now_s = self._last_read_s = self._clock()
        framer = self._framer
        if framer is None:
            return
        self.role.bytes_in += len(data)
        for packet in framer.feed(data):
            if not self.is_connected:
                self._take_first(packet, now_s)
            elif packet[0] == _PUBACK:
                self._acknowledged(packet, now_s)
            else:
                self._take(packet, now_s)
            if self._framer is not framer:
                return
        if framer.fault is not None:
            self._give_up("MQTT: the server's bytes are no MQTT")

    def _acknowledged(self, packet: bytes, now_s: float) -> None:
        if len(packet) < _PUBACK_BYTES:
            self._give_up("MQTT: malformed packet from the server")
            return
        pending = self.in_flight.pop(packet[2] << 8 | packet[3], None)
        if pending is None:
            return
        reason = packet[4] if len(packet) > _PUBACK_BYTES else SUCCESS
        if reason < FAILURE:
            pending.sink.append(now_s - pending.due_s)
        self.role.client_acknowledged(self, pending, reason)
        if self.waiting:
            self._send_waiting(now_s)

    def _take_first(self, data: bytes, now_s: float) -> None:
        if data[0] in _FIRST_PACKETS:
            self._take(data, now_s)
        else:
            self._give_up("MQTT: the server's first packet is no CONNACK")

    def _take(self, data: bytes, now_s: float) -> None:
        try:
            packet = decoded(data)
        except MalformedPacket:
            self._give_up("MQTT: malformed packet from the server")
            return
        match packet:
            case mqtt5.PublishPacket():
                if packet.packet_id is not None:
                    if packet.qos != _AT_LEAST_ONCE:
                        self._give_up("MQTT: a QoS from the server that nobody asked for")
                        return
                    self._write(_PUBACK_PACKET.pack(_PUBACK, 2, packet.packet_id), now_s)
                self.role.client_message(self, packet)
            case mqtt5.ConnAckPacket():
                self._connack(packet, now_s)
            case mqtt5.PingRespPacket():
                self._ping_sent_s = None
            case mqtt5.SubAckPacket():
                self.role.client_subscribed(self, [int(code) for code in packet.reason_codes])
            case mqtt5.DisconnectPacket():
                code = int(packet.reason_code)
                self._give_up(f"DISCONNECT 0x{code:02X} {reason_name(code)}")

    def _connack(self, packet: mqtt5.ConnAckPacket, now_s: float) -> None:
        if not self._is_connecting:
            self._give_up("MQTT: a second CONNACK from the server")
            return
        code = int(packet.reason_code)
        if code != SUCCESS:
            self._give_up(f"CONNACK 0x{code:02X} {reason_name(code)}")
            return
        self._is_connecting = False
        self.is_connected = True
        self.attempts = 0
        self._window = min(self.settings.window, packet.receive_max)
        # The server's word replaces the client's for this connection (MQTT 5.0 section 3.2.2.3.14).
        asked, told = self.settings.keep_alive_s, packet.server_keep_alive
        self._keep_alive_s = asked if told is None else told
        unacknowledged = dict(self.in_flight)
        self.role.client_connected(self, now_s)
        if unacknowledged:
            self._resend(unacknowledged, now_s, is_same_session=packet.session_present)
        self._send_waiting(now_s)

    # Staying alive and ending

    def look_after(self, now_s: float) -> None:
        """Ping in time, and give up on a connection that is slow to come or dead.

        To be called often against the keep-alive, at least every second.
        """
        if self._is_connecting:
            if now_s - self.started_s > CONNECT_TIMEOUT_S:
                what = "TCP or TLS" if self._framer is None else "CONNACK"
                self._give_up(f"timed out: no {what} within {CONNECT_TIMEOUT_S:.0f} s")
            return
        if not self.is_connected:
            return
        if self.waiting:
            self._send_waiting(now_s)
        keep_alive_s = self._keep_alive_s
        if not keep_alive_s:
            return
        if self._ping_sent_s is not None:
            # Half-open: the socket takes bytes, and nobody answers.
            silent_s = now_s - max(self._ping_sent_s, self._last_read_s)
            if silent_s > _PING_AFTER * keep_alive_s:
                self._give_up("timed out: no PINGRESP")
        # A client that only reads must ping as well, and one that only writes must hear something.
        elif now_s - min(self._last_write_s, self._last_read_s) > _PING_AFTER * keep_alive_s:
            self._ping_sent_s = now_s
            self._write(_PING, now_s)

    def disconnect(self) -> None:
        """End the connection in order: DISCONNECT, then close. The role hears nothing of it."""
        link = self.link
        if link is None:
            return
        if self.is_connected:
            link.write(mqtt5.DisconnectPacket().write())
        self._forget()
        link.close()

    def abort(self) -> None:
        """Close the connection without DISCONNECT. The role hears nothing of it."""
        link = self.link
        if link is not None:
            self._forget()
            link.abort()

    def unlinked(self, cause: str) -> None:
        """The link ended by itself."""
        was_connected = self.is_connected
        self._forget()
        if not was_connected:
            self.attempts += 1
        self.role.client_ended(self, cause, was_connected=was_connected)

    def _give_up(self, cause: str) -> None:
        link = self.link
        if link is not None:
            link.abort()
        self.unlinked(cause)

    def _forget(self) -> None:
        self.link = None
        self._framer = None
        self._is_connecting = False
        self.is_connected = False
        self._ping_sent_s = None
