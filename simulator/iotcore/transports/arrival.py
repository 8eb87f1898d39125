"""The first bytes of a connection: who speaks what, and who must prove itself before it may.

ALPN decides where the client named a protocol (AWS IoT Core developer guide, "Protocols, port
mappings, and authentication"); else the first byte does, since a CONNECT begins with 0x10 and an
HTTP request with a letter. From then on this protocol object is out of the way: the connection has
the protocol that it would have on a port of its own.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final, cast

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.transports.custom_authorizer import Presented
from simulator.iotcore.transports.first_packet import CONNECT, HeldPacket
from simulator.iotcore.transports.links import READ_BYTES
from simulator.iotcore.transports.mqtt_link import MqttLink
from simulator.iotcore.transports.peers import alpn_of, peer_by_certificate, peer_by_principal

if TYPE_CHECKING:
    from simulator.iotcore.tls import LiveTls
    from simulator.iotcore.transports.authentication import CustomAuthentication
    from simulator.iotcore.transports.http_entry import HttpEntry
    from simulator.iotcore.transports.links import Links

ALPN_MQTT_CERTIFICATE: Final = "x-amzn-mqtt-ca"
ALPN_MQTT_AUTHORIZER: Final = "mqtt"
ALPN_HTTP: Final = ("x-amzn-http-ca", "http/1.1")


class Reception:
    """What all arrivals share.

    Args:
        links: Where MQTT goes.
        http: Where HTTP goes.
        authentication: Custom authorizers.
        tls: Knows the server name a client asked for.
        patience_s: How long a client may take to say what it wants.
        packet_bytes_max: Largest MQTT packet.
    """

    def __init__(
        self,
        links: Links,
        http: HttpEntry,
        authentication: CustomAuthentication,
        tls: LiveTls,
        patience_s: float,
        packet_bytes_max: int,
    ) -> None:
        self.links = links
        self.http = http
        self.authentication = authentication
        self.tls = tls
        self.packet_bytes_max = packet_bytes_max
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        # In the order of their deadlines, since all have the same patience.
        self._waiting: dict[Arrival, float] = {}

    def arrival(self) -> Arrival:
        """The protocol of a new connection."""
        return Arrival(self)

    @property
    def waiting(self) -> int:
        """Connections that have not said what they want."""
        return len(self._waiting)

    def wait_for(self, arrival: Arrival) -> None:
        """Cut an arrival that takes too long."""
        self._waiting[arrival] = self._loop.time() + self._patience_s

    def done_with(self, arrival: Arrival) -> None:
        """It has said what it wants, or is gone."""
        self._waiting.pop(arrival, None)

    def advance(self) -> None:
        """Cut those that took too long, by the machine's clock, which does not travel.

        Call it once a second.
        """
        now_s = self._loop.time()
        while self._waiting:
            arrival, deadline_s = next(iter(self._waiting.items()))
            if deadline_s > now_s:
                return
            del self._waiting[arrival]
            self.links.broker.counters.count(Cause.CONNECT_TIMEOUT)
            arrival.cut()

    def close(self) -> None:
        """Cut all."""
        for arrival in list(self._waiting):
            arrival.cut()
        self._waiting.clear()


class Arrival(asyncio.BufferedProtocol):
    """One connection past its TLS handshake."""

    __slots__ = ("_alpn", "_held", "_reception", "_task", "_transport")

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._alpn: str | None = None
        self._transport: asyncio.Transport | None = None
        self._held: HeldPacket | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is complete."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._alpn = alpn_of(transport)
        if self._alpn in ALPN_HTTP:
            self._reception.http.take(self._transport, b"")
        else:
            self._reception.wait_for(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        """The shared buffer."""
        return self._reception.links.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The first bytes, or more of a CONNECT."""
        data = self._reception.links.buffer[:nbytes].tobytes()
        transport = self._transport
        if transport is None or not data:
            return
        if self._held is not None:
            self._hold(self._held, transport, data)
        elif data[0] == CONNECT:
            self._begin_mqtt(transport, data)
        elif self._alpn is None and data[:1].isalpha():
            self._reception.done_with(self)
            self._reception.http.take(transport, data)
        else:
            self._reception.links.broker.counters.count(Cause.NOT_MQTT)
            self.cut()

    def _begin_mqtt(self, transport: asyncio.Transport, data: bytes) -> None:
        may_ask = self._reception.authentication.exists
        if self._alpn == ALPN_MQTT_AUTHORIZER:
            peer = peer_by_principal(transport, None)
        else:
            peer = peer_by_certificate(transport)
        if peer.principal is None and may_ask and self._alpn != ALPN_MQTT_CERTIFICATE:
            self._held = HeldPacket(self._reception.packet_bytes_max)
            self._hold(self._held, transport, data)
            return
        self._reception.done_with(self)
        MqttLink(self._reception.links, transport, peer, data)

    def _hold(self, held: HeldPacket, transport: asyncio.Transport, data: bytes) -> None:
        if len(held.data) > self._reception.packet_bytes_max + READ_BYTES:
            # Goes on sending although it has to wait for CONNACK.
            self.cut()
        elif held.feed(data) and self._task is None:
            self._reception.done_with(self)
            self._task = asyncio.get_running_loop().create_task(self._admit(held, transport))

    async def _admit(self, held: HeldPacket, transport: asyncio.Transport) -> None:
        reception = self._reception
        presented = Presented(
            str(uuid.uuid4()),
            reception.tls.server_name(transport.get_extra_info("ssl_object")),
            mqtt=held.credentials(),
        )
        authentication = reception.authentication
        if presented.mqtt is None or not authentication.is_wanted(presented):
            # The broker finds out what is wrong with it.
            self._pass_on(MqttLink(reception.links, transport, peer_by_certificate(transport)))
            return
        admission = await authentication.admit(presented)
        if self._transport is None:
            return
        peer = peer_by_principal(transport, admission.principal, admission.lapse)
        link = MqttLink(reception.links, transport, peer)
        authentication.watch(link.connection, presented, admission)
        self._pass_on(link)

    def _pass_on(self, link: MqttLink) -> None:
        if self._held is not None:
            self._reception.links.receive(link.connection, self._held.data)

    def cut(self) -> None:
        """Close without a word."""
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> None:
        """Close."""

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nothing is written here."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """Gone before it said what it wants, or while its authorizer was asked."""
        self._reception.done_with(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()
