"""MQTT over WebSocket: the upgrade, who may ask for it, and packets in binary frames.

AWS IoT Core developer guide, "MQTT over the WebSocket protocol": `GET /mqtt` with the subprotocol
`mqtt`, signed with Signature Version 4 in the query or a header, or with a custom authorizer named
in headers, query or CONNECT. Packets may span frames and frames may hold several packets (MQTT 5.0
section 6). A close frame of the client counts as its DISCONNECT, a text frame ends the connection.
Frames are not compressed.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.lifecycle import DisconnectReason
from simulator.iotcore.broker.peer import Lapse
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.transports.custom_authorizer import HttpRequest, Presented
from simulator.iotcore.transports.first_packet import HeldPacket
from simulator.iotcore.transports.http_entry import query_of, refusal
from simulator.iotcore.transports.peers import address_of, peer_by_principal

if TYPE_CHECKING:
    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.permissions.identity import Principal
    from simulator.iotcore.tls import LiveTls
    from simulator.iotcore.transports.authentication import Admission, CustomAuthentication
    from simulator.iotcore.transports.links import Links
    from simulator.iotcore.transports.signing import Signatures

log = structlog.get_logger(__name__)

SUBPROTOCOL: Final = "mqtt"
LIFETIME_S: Final = 86_400
"""Developer guide, "AWS IoT Core message broker and protocol limits": WebSocket connection."""
MESSAGE_BYTES_MAX: Final = 256 * 1024
"""Longest message of a client. Longer: closed with 1009."""

_FRAME_BYTES: Final = 64 * 1024
_HEADER_BYTES: Final = 6
"""Of the shortest frame of a client."""
_HIGH_WATER_BYTES: Final = 256 * 1024
_CLOSE_PATIENCE_S: Final = 1.0
_TURN_BYTES: Final = 16 * 1024
"""Messages longer than this together are all that a connection gets in one turn of the loop."""


class WebSocketEntry:
    """Serves upgrades.

    Args:
        links: Where the connections belong.
        signatures: Who signed a request.
        authentication: Custom authorizers.
        tls: Knows the server name a client asked for.
        patience_s: How long a client may take to send CONNECT.
        packet_bytes_max: Largest MQTT packet.
    """

    def __init__(
        self,
        links: Links,
        signatures: Signatures,
        authentication: CustomAuthentication,
        tls: LiveTls,
        patience_s: float,
        packet_bytes_max: int,
    ) -> None:
        self._links = links
        self._signatures = signatures
        self._authentication = authentication
        self._tls = tls
        self._patience_s = patience_s
        self._packet_bytes_max = packet_bytes_max

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Upgrade a request and carry its connection until it ends."""
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest
        if request.method != "GET" or request.body_exists:
            # RFC 6455, section 4.1. A body would be read as the first frames.
            raise web.HTTPBadRequest
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (each.strip() for each in offered.split(",")):
            return refusal(400, f"The subprotocol must be {SUBPROTOCOL}")
        try:
            signer = self._signatures.signer(request, b"", address_of(transport)[0])
        except ServiceFailure as failure:
            self._links.broker.counters.count(Cause.SIGNATURE_REFUSED)
            return refusal(403, failure.message, failure.code)
        if signer is None and not self._authentication.exists:
            return refusal(403, "Forbidden")
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=MESSAGE_BYTES_MAX,
            timeout=_CLOSE_PATIENCE_S,
            decode_text=False,
        )
        await socket.prepare(request)
        framed = FramedTransport(socket, transport, self._links)
        try:
            if signer is not None:
                await self._carry(framed, self._signed(transport, signer))
            else:
                await self._carry_unproven(framed, request, transport)
        finally:
            framed.gone()
        return socket

    def _signed(self, transport: asyncio.BaseTransport, signer: Principal) -> Peer:
        lapse = Lapse(LIFETIME_S, DisconnectReason.WEBSOCKET_TTL_EXPIRATION)
        return peer_by_principal(transport, signer, lapse)

    async def _carry(self, framed: FramedTransport, peer: Peer, data: bytes = b"") -> None:
        framed.join(self._links.open(peer, framed))
        if data:
            framed.receive(data)
        while (received := await framed.read()) is not None:
            framed.receive(received)

    async def _carry_unproven(
        self, framed: FramedTransport, request: web.BaseRequest, transport: asyncio.BaseTransport
    ) -> None:
        """Hold CONNECT back until the custom authorizer has answered."""
        held = HeldPacket(self._packet_bytes_max)
        try:
            async with asyncio.timeout(self._patience_s):
                while (received := await framed.read()) is not None:
                    if held.feed(received):
                        break
                else:
                    return
        except TimeoutError:
            self._links.broker.counters.count(Cause.CONNECT_TIMEOUT)
            framed.abort()
            return
        presented = Presented(
            str(uuid.uuid4()),
            self._tls.server_name(transport.get_extra_info("ssl_object")),
            HttpRequest(dict(request.headers), query_of(request)),
            held.credentials(),
        )
        if presented.mqtt is None or not self._authentication.is_wanted(presented):
            await self._carry(framed, peer_by_principal(transport, None), held.data)
            return
        admission: Admission = await self._authentication.admit(presented)
        peer = peer_by_principal(transport, admission.principal, admission.lapse)
        connection = self._links.open(peer, framed)
        framed.join(connection)
        self._authentication.watch(connection, presented, admission)
        framed.receive(held.data)
        while (received := await framed.read()) is not None:
            framed.receive(received)


class FramedTransport:
    """A WebSocket as the broker's connections see it: something that takes bytes.

    What the broker says waits here while the socket is full; from `_HIGH_WATER_BYTES` on the broker
    keeps what is to be said, within its own bounds.

    Args:
        socket: The WebSocket, open.
        transport: What carries it.
        links: Where the connection belongs.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, links: Links
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._links = links
        self._connection: Connection | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._turn_bytes = 0
        self._is_full = False
        self._is_ending = False
        self._sender: asyncio.Task[None] | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()

    def join(self, connection: Connection) -> None:
        """Name the connection this carries."""
        self._connection = connection

    # What the client sends

    async def read(self) -> bytes | None:
        """The next bytes; None when there are no more, whoever ended it."""
        if self._turn_bytes > _TURN_BYTES:
            # Messages that have arrived are given without a turn of the loop in between.
            self._turn_bytes = 0
            await asyncio.sleep(0)
        await self._may_read.wait()
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            self._turn_bytes += len(message.data) + _HEADER_BYTES
            return bytes(message.data)
        if message.type is WSMsgType.TEXT:
            self._links.broker.counters.count(Cause.TEXT_FRAME)
            self._end(DisconnectReason.CLIENT_ERROR)
            await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
        elif message.type is WSMsgType.CLOSE:
            self._end(DisconnectReason.CLIENT_INITIATED_DISCONNECT)
        elif message.type is WSMsgType.ERROR:
            self._links.broker.counters.count(Cause.FRAME_INVALID)
            self._end(DisconnectReason.CLIENT_ERROR)
        return None

    def receive(self, data: bytes) -> None:
        """Give bytes to the broker."""
        if self._connection is not None:
            self._links.receive(self._connection, data)

    def _end(self, reason: DisconnectReason) -> None:
        if self._connection is not None:
            self._links.broker.end(self._connection, reason, self._links.now_s())

    def gone(self) -> None:
        """The socket is closed."""
        self._is_ending = True
        if self._sender is not None:
            self._sender.cancel()
        if self._connection is not None:
            self._links.lost(self._connection)

    # What the broker says: `MqttTransport`

    def write(self, data: bytes, /) -> None:
        """Send bytes, in one or more frames."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _HIGH_WATER_BYTES and not self._is_full:
            self._is_full = True
            self._tell_broker()
        self._send()

    def close(self) -> None:
        """Close after sending what was written."""
        self._is_ending = True
        self._send()

    def abort(self) -> None:
        """Close at once."""
        self._is_ending = True
        self._transport.abort()

    def pause_reading(self) -> None:
        """Take no more from the socket, which then takes no more from the client."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Go on."""
        self._may_read.set()

    def _tell_broker(self) -> None:
        if self._connection is not None:
            self._links.set_writable(self._connection, is_writable=not self._is_full)

    def _send(self) -> None:
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                data = b"".join(self._waiting)
                self._waiting.clear()
                for start in range(0, len(data), _FRAME_BYTES):
                    await self._socket.send_bytes(data[start : start + _FRAME_BYTES])
                    self._waiting_bytes -= min(_FRAME_BYTES, len(data) - start)
                if self._is_full:
                    self._is_full = False
                    self._tell_broker()
            if self._is_ending:
                async with asyncio.timeout(_CLOSE_PATIENCE_S):
                    await self._socket.close(code=WSCloseCode.OK)
        except (ConnectionError, TimeoutError):
            self._transport.abort()
        finally:
            self._sender = None
