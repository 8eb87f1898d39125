"""The asyncio and TLS shell around the broker: sockets, the clock, logs.

One rhythm: bytes go into the core as they arrive, and once per turn of the event loop everything
the core wants to say leaves, one write per connection. One timer serves all connections. A
connection whose transport is full is not written to; what waits for it is bounded by the core.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, cast

import structlog

from certs.errors import ConfigurationError, LinkError
from simulator.iotcore.broker import Broker, ClientSummary
from simulator.iotcore.connection import Connection, Ending
from simulator.iotcore.identity import ClientCertificate, Peer
from simulator.iotcore.message import Message
from simulator.iotcore.topics import topic_fault

if TYPE_CHECKING:
    from types import TracebackType

    from simulator.iotcore.authorization import Account
    from simulator.iotcore.joints import Quotas, ReservedTopics
    from simulator.iotcore.limits import Limits
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.tls import ServerTls

log = structlog.get_logger(__name__)

DEFAULT_PORT = 8883
_BACKLOG = 2_048
_READ_BYTES = 64 * 1024
_TRANSPORT_HIGH_WATER_BYTES = 256 * 1024
_HANDSHAKE_TIMEOUT_S = 15.0
_SHUTDOWN_TIMEOUT_S = 3.0
_TICK_MAX_S = 1.0
_TICK_MIN_S = 0.01


class CoreServer:
    """The stand-in, listening. Use it as `async with CoreServer(...) as core`.

    Reusable one after the other, not nested. Sessions and retained messages live as long as the
    object, also over an outage made with `stop_listening` and `drop_all`.

    Args:
        registry: Certificates, policies and things; may change while it runs.
        tls: Server certificate and trusted CAs.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        account: Region and account number in ARNs.
        limits: Bounds.
        quotas: Rates and counts of the account; none by default.
        reserved: Services behind `$` topics; none by default.

    Attributes:
        port: The port in use, once entered.
    """

    def __init__(
        self,
        registry: Registry,
        tls: ServerTls,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        account: Account | None = None,
        limits: Limits | None = None,
        quotas: Quotas | None = None,
        reserved: ReservedTopics | None = None,
    ) -> None:
        self.registry = registry
        self.host = host
        self.port = port
        self._tls = tls
        self._broker_options: dict[str, Any] = {
            "account": account,
            "limits": limits,
            "quotas": quotas,
            "reserved": reserved,
        }
        self._links: dict[int, _Link] = {}
        self._listener: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_flush_scheduled = False
        self._reported: dict[str, int] = {}
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.accepted = 0
        self.handshaken = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._context = self._tls.context()
        self.broker = Broker(
            self.registry,
            new_id=lambda: str(uuid.uuid4()),
            choose=secrets.randbelow,
            unix_s_at_zero=time.time() - self._loop.time(),
            **self._broker_options,
        )
        await self.start_listening()
        self._tick()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        if self._timer is not None:
            self._timer.cancel()
        self.broker.close(self._loop.time())
        self._flush()
        closing = [link.is_lost.wait() for link in self._links.values()]
        if closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_TIMEOUT_S):
                    await asyncio.gather(*closing)
        for link in list(self._links.values()):
            link.transport.abort()
        log.info("core.stopped", **self.counters())

    async def start_listening(self) -> None:
        """Accept connections, on the same port as before if there was one.

        Raises:
            LinkError: The port is taken or the address does not exist.
            ConfigurationError: The port needs privileges.
        """
        try:
            self._listener = await self._loop.create_server(
                lambda: _Link(self),
                self.host,
                self.port,
                ssl=self._context,
                backlog=_BACKLOG,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            raise _bind_error(error, self.host, self.port) from error
        self.port = self._listener.sockets[0].getsockname()[1]
        log.info("core.listening", host=self.host, port=self.port)

    async def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            # The sockets leave the event loop on its next turn.
            await asyncio.sleep(0)

    def drop(self, client_id: str) -> bool:
        """Cut a client's connection without a word, as a broken network would."""
        connection = self.broker.connection_of(client_id)
        link = self._links.get(connection.connection_id) if connection is not None else None
        if link is None:
            return False
        link.transport.abort()
        return True

    def drop_all(self) -> int:
        """Cut every connection without a word; returns how many."""
        links = list(self._links.values())
        for link in links:
            link.transport.abort()
        return len(links)

    def disconnect(self, client_id: str) -> bool:
        """End a client's connection with DISCONNECT 0x98; False when it has none."""
        found = self.broker.disconnect(client_id, self._loop.time())
        self.wake()
        return found

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        content_type: str | None = None,
        message_expiry_s: int | None = None,
    ) -> None:
        """Publish a message of the process itself; policies do not apply.

        Raises:
            ConfigurationError: The topic is not a valid topic name, or the QoS is above 1.
        """
        fault = topic_fault(topic)
        if fault is not None or qos not in {0, 1}:
            raise ConfigurationError(
                f"cannot publish to {topic!r} at QoS {qos}: {fault or 'the highest QoS is 1'}",
                "use a topic name without wildcards and QoS 0 or 1",
            )
        now_s = self._loop.time()
        message = Message(
            topic,
            payload,
            qos,
            now_s,
            retain=retain,
            expiry_s=message_expiry_s,
            content_type=content_type,
        )
        self.broker.publish(message, now_s)
        self.wake()
        await asyncio.sleep(0)

    def counters(self) -> dict[str, int]:
        """Totals since the start, and how many connections are open.

        `tls_pending` counts handshakes that are running or did not complete.
        """
        return {
            "connections": self.broker.connections,
            "tls_pending": self.accepted - self.handshaken,
            **self.broker.counters.as_dict(),
        }

    def quota_report(self) -> dict[str, dict[str, Any]]:
        """What quotas refused, or would have, and to whom; see `Counters.quota_report`."""
        return self.broker.quota_report()

    def clients(self) -> list[ClientSummary]:
        """All sessions, online and stored."""
        return self.broker.clients()

    # Between the links and the core

    def wake(self) -> None:
        """Write what the core has to say at the end of this turn of the event loop."""
        if self.broker.has_outputs and not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._loop.call_soon(self._flush)

    def opened(self, link: _Link) -> None:
        """A handshake is complete."""
        self._links[link.connection.connection_id] = link

    def lost(self, link: _Link) -> None:
        """A transport is gone."""
        self._links.pop(link.connection.connection_id, None)
        self.broker.lost(link.connection, self._loop.time())
        self.wake()

    def _flush(self) -> None:
        self._is_flush_scheduled = False
        links = self._links
        for connection_id, data, ending, reading in self.broker.take_outputs():
            link = links.get(connection_id)
            if link is None:
                continue
            if reading is not None:
                if reading:
                    link.transport.resume_reading()
                else:
                    link.transport.pause_reading()
            if data and ending is not Ending.AT_ONCE:
                link.transport.write(data)
            if ending is Ending.AFTER_SENDING:
                link.transport.close()
            elif ending is Ending.AT_ONCE:
                link.transport.abort()

    def _tick(self) -> None:
        now_s = self._loop.time()
        self.broker.advance(now_s)
        self.wake()
        self._report()
        deadline_s = self.broker.next_deadline_s
        wait_s = _TICK_MAX_S if deadline_s is None else deadline_s - now_s
        self._timer = self._loop.call_later(min(max(wait_s, _TICK_MIN_S), _TICK_MAX_S), self._tick)

    def _report(self) -> None:
        """At most one line a second for each cause, however often it happened."""
        causes = self.broker.counters.causes
        if sum(causes.values()) == sum(self._reported.values()):
            return
        for cause, total in causes.items():
            more = total - self._reported.get(cause, 0)
            if more:
                self._reported[cause] = total
                log.info("core.refused", cause=cause.value, count=more, total=total)


class _Link(asyncio.BufferedProtocol):
    """One transport connection."""

    __slots__ = ("_broker", "_buffer", "_server", "_time", "connection", "is_lost", "transport")

    connection: Connection
    transport: asyncio.Transport

    def __init__(self, server: CoreServer) -> None:
        self._server = server
        self._broker = server.broker
        # One buffer serves all connections: the loop fills it and hands it over in one go.
        self._buffer = server.buffer
        self._time = asyncio.get_running_loop().time
        self.is_lost = asyncio.Event()
        server.accepted += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self._server.handshaken += 1
        self.transport.set_write_buffer_limits(high=_TRANSPORT_HIGH_WATER_BYTES)
        ssl_object = transport.get_extra_info("ssl_object")
        der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        address = transport.get_extra_info("peername")
        peer = Peer(ClientCertificate(der) if der else None, address[0] if address else "")
        self.connection = self._broker.open(peer, self._time())
        self._server.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffer[:nbytes].tobytes()
        try:
            self._broker.receive(self.connection, data, self._time())
        except Exception:
            # A defect of ours must cost one connection, not the process.
            log.exception("core.defect", client_id=self.connection.client_id)
            self._broker.abandon(self.connection, self._time())
        self._server.wake()

    def eof_received(self) -> None:
        """Close; MQTT has no half-open connections."""

    def pause_writing(self) -> None:
        self._broker.set_writable(self.connection, is_writable=False)

    def resume_writing(self) -> None:
        self._broker.set_writable(self.connection, is_writable=True)
        self._server.wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        self.is_lost.set()
        self._server.lost(self)


def _bind_error(error: OSError, host: str, port: int) -> LinkError | ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return LinkError(
            f"port {port} on {host} is already in use",
            "stop the program that uses it (ss -ltnp shows it), or choose another port",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            f"port {port} needs administrator rights", "choose a port above 1023"
        )
    return LinkError(
        f"cannot listen on {host} port {port}: {error}", "check the address and the port"
    )
