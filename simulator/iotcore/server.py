"""The stand-in in a process: broker, clock, port and everything behind it, put together.

Owns the lifetime of all of them and the one timer that serves them. What comes in through the port
is `transports`' business.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import TYPE_CHECKING, Any, Self

import structlog

from certs.errors import ConfigurationError
from simulator.iotcore.api.sigv4 import Keyring
from simulator.iotcore.broker.broker import Broker
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.topics import topic_fault
from simulator.iotcore.clock import Clock
from simulator.iotcore.lambdas import Lambdas
from simulator.iotcore.tls import LiveTls
from simulator.iotcore.transports.arrival import Reception
from simulator.iotcore.transports.authentication import CustomAuthentication
from simulator.iotcore.transports.http_entry import HttpEntry
from simulator.iotcore.transports.https_publish import HttpsPublish
from simulator.iotcore.transports.links import Links
from simulator.iotcore.transports.listener import Listener
from simulator.iotcore.transports.signing import Signatures, is_signed
from simulator.iotcore.transports.websocket import WebSocketEntry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.joints import Quotas, ReservedTopics
    from simulator.iotcore.broker.summaries import ClientSummary
    from simulator.iotcore.cloud import Cloud
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.persistence.keeping import Persistence
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.tls import ServerTls
    from simulator.iotcore.transports.http_entry import Handler

log = structlog.get_logger(__name__)

DEFAULT_PORT = 8883
CLOSE_PATIENCE_S = 0.4
"""For clients to answer the end of TLS or of a WebSocket when the stand-in stops."""
HTTP_PATIENCE_S = 0.1
"""For HTTP handlers to come to an end after that, and the same again once they are cancelled."""
_TICK_MAX_S = 1.0
_TICK_MIN_S = 0.01


class CoreServer:
    """The stand-in, listening. Use it as `async with CoreServer(...) as core`.

    Reusable one after the other, not nested. Sessions and retained messages live as long as the
    object is entered, also over an outage made with `stop_listening` and `drop_all`.

    Args:
        registry: Certificates, policies and things; may change while it runs.
        tls: Server certificate and trusted CAs.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        account: Region and account number in ARNs; by default those of the cloud.
        limits: Bounds.
        quotas: Rates and counts of the account; none by default.
        reserved: Services behind `$` topics; by default those of the cloud.
        choices: Answers that AWS leaves open.
        cloud: The services of the account; none by default.
        clock: The broker's time; by default the machine's.
        lambdas: Functions that custom authorizers call; none by default.
        pages: HTTP path prefix to handler; see `serve`.
        keyring: Access keys for signed WebSockets; by default any is accepted.
        identities: Access key id to the Cognito identity it was made for; others stand for
            themselves when policies are attached.
        require_sni: Whether clients must name the server in TLS.
        persistence: Where sessions and messages are kept; by default they are forgotten.

    Attributes:
        port: The port in use, once entered.
        broker: The broker, once entered.
        cloud: The services.
        clock: The broker's time.
        keyring: The access keys.
    """

    broker: Broker

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
        choices: Choices | None = None,
        cloud: Cloud | None = None,
        clock: Clock | None = None,
        lambdas: Lambdas | None = None,
        pages: Mapping[str, Handler] | None = None,
        keyring: Keyring | None = None,
        identities: Mapping[str, str] | None = None,
        require_sni: bool = False,
        persistence: Persistence | None = None,
    ) -> None:
        self.registry = registry
        self.host = host
        self.port = port
        self.cloud = cloud
        self.clock = clock or Clock.of_machine()
        self.keyring = keyring or Keyring()
        self._tls_files = tls
        self._limits = limits or Limits()
        self._lambdas = lambdas or Lambdas()
        self._pages = dict(pages or {})
        self._identities = dict(identities or {})
        self._require_sni = require_sni
        self._persistence = persistence
        if cloud is not None:
            account = account or cloud.account
            reserved = reserved or cloud.desk
        self._broker_options: dict[str, Any] = {
            "account": account,
            "limits": self._limits,
            "quotas": quotas,
            "reserved": reserved,
            "choices": choices,
            "newcomers": cloud.just_in_time if cloud is not None else None,
        }
        self._timer: asyncio.TimerHandle | None = None
        self._reported: dict[str, int] = {}
        self._trusted_at: tuple[int, tuple[str, ...]] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._tls = LiveTls(self._tls_files, require_sni=self._require_sni)
        self._trusted_at = None
        self.broker = Broker(
            self.registry,
            new_id=lambda: str(uuid.uuid4()),
            choose=secrets.randbelow,
            unix_s_at_zero=self.clock.unix_s_at_zero,
            **self._broker_options,
        )
        self._join_transports()
        if self._persistence is not None:
            self._persistence.start(self.broker, self.clock)
        try:
            await self.start_listening()
        except BaseException:
            await self._keep_what_there_is()
            raise
        self._tick()
        return self

    def _join_transports(self) -> None:
        limits = self._limits
        patience_s, packet_bytes = limits.connect_timeout_s, limits.packet_bytes
        self._links = links = Links(self.broker, self.clock.now_s)
        self._authentication = asking = CustomAuthentication(self.registry, self._lambdas, links)
        signatures = Signatures(self.keyring, self._identities, self.clock.unix_s)
        websocket = WebSocketEntry(links, signatures, asking, self._tls, patience_s, packet_bytes)
        publish = HttpsPublish(links, asking, self._tls, limits)
        self._http = HttpEntry(
            websocket.serve,
            publish.serve,
            lambda request: not is_signed(request),
            self._pages,
            self.broker.counters,
        )
        self._reception = Reception(links, self._http, asking, self._tls, patience_s, packet_bytes)
        self._listener = Listener(self._tls.context, self._reception.arrival, self._renew_trust)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        if self._timer is not None:
            self._timer.cancel()
        await self._listener.give_up()
        self._reception.close()
        await self._authentication.close()
        await self._links.close(CLOSE_PATIENCE_S)
        await self._http.close(HTTP_PATIENCE_S)
        await self._keep_what_there_is()
        log.info("core.stopped", **self.counters())

    async def _keep_what_there_is(self) -> None:
        if self._persistence is not None:
            await self._persistence.stop()

    async def start_listening(self) -> None:
        """Accept connections, on the same port as before if there was one.

        Raises:
            LinkError: The port is taken or the address does not exist.
            ConfigurationError: The port needs privileges.
        """
        self.port = await self._listener.start(self.host, self.port)
        log.info("core.listening", host=self.host, port=self.port)

    async def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        await self._listener.stop()

    def serve(self, prefix: str, handler: Handler) -> None:
        """Give HTTP requests whose path begins with `prefix` to a handler.

        The longest prefix that fits decides; `/` serves what nobody else does. WebSockets on
        `/mqtt` and publishes with a certificate or custom authorizer on `/topics/` are the
        stand-in's own.
        """
        self._pages[prefix] = handler
        if self._timer is not None:
            self._http.serve(prefix, handler)

    def travel(self, seconds: float) -> None:
        """Move the broker's time ahead, and do at once what is due by then.

        Certificates are still judged by the machine's clock in TLS.

        Raises:
            ConfigurationError: The journey goes back, or further than ten years.
        """
        self.clock.travel(seconds)
        if self._timer is not None:
            self._timer.cancel()
            self._tick()

    def drop(self, client_id: str) -> bool:
        """Cut a client's connection without a word, as a broken network would."""
        connection = self.broker.connection_of(client_id)
        return connection is not None and self._links.drop(connection)

    def drop_all(self) -> int:
        """Cut every MQTT connection without a word; returns how many."""
        return self._links.drop_all()

    def disconnect(self, client_id: str) -> bool:
        """End a client's connection with DISCONNECT 0x98; False when it has none."""
        found = self.broker.disconnect(client_id, self.clock.now_s())
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
        now_s = self.clock.now_s()
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
        """Totals since the start, and how many MQTT connections are open.

        `tls_pending` counts handshakes that are under way; `tls_failed` those that did not
        complete, if there were any.
        """
        failed = self._listener.failed
        return {
            "connections": self.broker.connections,
            "tls_pending": self._listener.pending,
            **self.broker.counters.as_dict(),
            **({"tls_failed": failed} if failed else {}),
        }

    def transports(self) -> dict[str, int]:
        """How connections came in.

        `handshaken` and `requests` are totals since the start. `silent` counts connections past TLS
        that have not said yet what they want, `http` open HTTP connections, WebSockets included.
        """
        return {
            "handshaken": self._listener.handshaken,
            "silent": self._reception.waiting,
            "http": self._http.connections,
            "requests": self._http.requests,
        }

    def quota_report(self) -> dict[str, dict[str, Any]]:
        """What quotas refused, or would have, and to whom; see `Counters.quota_report`."""
        return self.broker.quota_report()

    def clients(self) -> list[ClientSummary]:
        """All sessions, online and stored."""
        return self.broker.clients()

    def wake(self) -> None:
        """Write what the broker has to say at the end of this turn of the event loop."""
        self._links.wake()

    def _renew_trust(self) -> None:
        """Trust the CAs and certificates that the registry has got since the last handshake."""
        newcomers = self.cloud.just_in_time if self.cloud is not None else None
        authorities = newcomers.authorities if newcomers is not None else ()
        state = (self.registry.trust_revision, authorities)
        if state != self._trusted_at:
            self._trusted_at = state
            self._tls.trust(self.registry.trust_anchors())
            if newcomers is not None:
                self._tls.trust(newcomers.authority_pems())

    def _tick(self) -> None:
        now_s = self.clock.now_s()
        try:
            self.broker.advance(now_s)
            self._authentication.advance(now_s)
            self._reception.advance()
        except Exception:
            # A defect of ours must not make time stand still.
            log.exception("core.defect")
            self.broker.counters.count(Cause.DEFECT)
        self.wake()
        self._report()
        wait_s = _TICK_MAX_S
        for deadline_s in (self.broker.next_deadline_s, self._authentication.next_deadline_s):
            if deadline_s is not None:
                wait_s = min(wait_s, deadline_s - now_s)
        self._timer = self._loop.call_later(max(wait_s, _TICK_MIN_S), self._tick)

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
