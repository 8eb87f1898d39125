"""The MQTT 5 session with AWS IoT Core, through the AWS device SDK.

Owns the SDK client and the hop from its native threads to the event loop. Knows topics and bytes
only: what is published and what an incoming message means is decided elsewhere. The SDK reconnects
by itself with full jitter; this module re-subscribes when the broker lost the session, bounds what
waits, and acknowledges an incoming QoS 1 message only after its handler returned.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import structlog
from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from agent.cloud.nagle import disable_nagle
from agent.cloud.publish_window import Message, PublishWindow
from certs.errors import ConfigurationError, LinkError, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

log = structlog.get_logger(__name__)

# Incoming messages that wait for the event loop. The broker holds back QoS 1 at receive_maximum;
# QoS 0 has no such brake, so beyond this bound it is dropped and counted.
MAX_WAITING_INBOUND = 1000
RECEIVE_MAXIMUM = 50
_CONNACK_TIMEOUT_S = 10
_ACK_TIMEOUT_S = 30
_STABLE_AFTER_S = 20


class LinkState(Enum):
    """What the session knows of its connection."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the broker.

    Attributes:
        topic: Topic it was published on.
        payload: Its bytes, at most 128 KB.
        message_expiry_s: Remaining lifetime the broker announced, or `None`.
        content_type: MIME type, or `None`.
        response_topic: Where the sender wants the answer, or `None`.
        correlation_data: To be returned with the answer, or `None`.
    """

    topic: str
    payload: bytes
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None


@dataclass(slots=True)
class SessionCounters:
    """What happened on the session since it was started."""

    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    failed: int = 0
    received: int = 0
    connects: int = 0
    connect_failures: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: str, count: int = 1) -> None:
        """Count messages dropped for `cause`."""
        self.dropped[cause] = self.dropped.get(cause, 0) + count


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to sign in and how patient to be.

    Attributes:
        endpoint: Host name of the broker; the server certificate must carry it.
        port: 8883, or 443 (then ALPN `x-amzn-mqtt-ca` is sent), or a stand-in's port.
        client_id: MQTT client id; on AWS the thing name.
        certificate: PEM file of the device certificate.
        private_key: PEM file of its key.
        ca: PEM file of the roots that sign the server, or `None` for the system's.
        keep_alive_s: MQTT keep-alive.
        ping_timeout_s: How long to wait for PINGRESP.
        session_expiry_s: How long the broker keeps the session after a loss.
        reconnect_min_s: First delay of the backoff.
        reconnect_max_s: Cap of the backoff.
        in_flight: QoS 1 publishes without PUBACK at once.
        waiting_bytes: Cap of what waits behind them; the oldest is dropped first.
        will: Last will, or `None`.
        acknowledge: Whether incoming QoS 1 messages are acknowledged after their handler returned.
            Without it the broker keeps them for the next connection.
    """

    endpoint: str
    port: int
    client_id: str
    certificate: Path
    private_key: Path
    ca: Path | None
    keep_alive_s: int = 30
    ping_timeout_s: float = 10
    session_expiry_s: int = 3600
    reconnect_min_s: float = 1
    reconnect_max_s: float = 120
    in_flight: int = 50
    waiting_bytes: int = 4 << 20
    will: Message | None = None
    acknowledge: bool = True


class CloudSession:
    """One MQTT 5 connection to the broker, usable from one event loop.

    Args:
        options: How to connect.
        filters: Topic filters to keep subscribed, each with its QoS.
        on_message: Called on the event loop for each incoming message.
        on_state: Called on the event loop when the link state changes, with a short reason.
    """

    def __init__(
        self,
        options: SessionOptions,
        filters: Mapping[str, int],
        on_message: Callable[[Incoming], None],
        on_state: Callable[[LinkState, str], None],
    ) -> None:
        self.counters = SessionCounters()
        self.state = LinkState.STOPPED
        self.last_failure = ""
        self._options = options
        self._filters = dict(filters)
        self._on_message = on_message
        self._on_state = on_state
        self._window = PublishWindow(options.in_flight, options.waiting_bytes)
        self._reported_drops = 0
        # Written by the SDK's thread only; `counters.received` by the loop's only.
        self._inbound_seen = 0
        self._connected = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._settled: asyncio.Event | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None

    def start(self) -> None:
        """Begin to connect, and keep connected until `stop`.

        Raises:
            ConfigurationError: Certificate, key or root cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._client = self._build_client()
        self._client.start()

    async def ready(self, timeout_s: float) -> None:
        """Wait until connected and subscribed.

        Raises:
            LinkError: Not within `timeout_s`; the text carries the last failure seen.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._subscribed.wait()
        except TimeoutError as error:
            where = f"{self._options.endpoint}:{self._options.port}"
            raise LinkError(
                f"no MQTT session with {where} within {timeout_s:g} s"
                + (f": {self.last_failure}" if self.last_failure else ""),
                "run `morai-agent check` to see which step fails",
            ) from error

    def publish(self, message: Message) -> None:
        """Hand a message over; it is sent when the window allows.

        QoS 1 waits through an outage inside the byte cap; QoS 0 while disconnected is dropped and
        counted, because stale QoS 0 data has no reader.
        """
        if message.qos == 0:
            if self.state is LinkState.CONNECTED:
                self._send(message)
            else:
                self.counters.drop("offline_qos0")
            return
        self._window.offer(message)
        self.counters.drop("window_full", self._window.dropped - self._reported_drops)
        self._reported_drops = self._window.dropped
        self._send_waiting()

    @property
    def unacknowledged(self) -> int:
        """QoS 1 messages that were accepted and are not acknowledged yet."""
        return self._window.in_flight + self._window.waiting

    async def drain(self, timeout_s: float) -> bool:
        """Wait until every accepted QoS 1 message is acknowledged; `False` when time ran out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.unacknowledged and self.state is LinkState.CONNECTED:
                    self._settled = asyncio.Event()
                    await self._settled.wait()
        return self.unacknowledged == 0

    async def stop(self, timeout_s: float = 5) -> None:
        """Send DISCONNECT and release the client. The broker then does not send the will."""
        if self._client is None:
            return
        self._client.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._stopped.wait()
        self._client = None
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _build_client(self) -> Any:
        options = self._options
        will = options.will
        try:
            return mqtt5_client_builder.mtls_from_path(
                endpoint=options.endpoint,
                port=options.port,
                cert_filepath=str(options.certificate),
                pri_key_filepath=str(options.private_key),
                ca_filepath=str(options.ca) if options.ca else None,
                client_id=options.client_id,
                keep_alive_interval_sec=options.keep_alive_s,
                ping_timeout_ms=round(options.ping_timeout_s * 1000),
                connack_timeout_ms=_CONNACK_TIMEOUT_S * 1000,
                ack_timeout_sec=_ACK_TIMEOUT_S,
                session_expiry_interval_sec=options.session_expiry_s,
                receive_maximum=RECEIVE_MAXIMUM,
                session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
                retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
                min_reconnect_delay_ms=round(options.reconnect_min_s * 1000),
                max_reconnect_delay_ms=round(options.reconnect_max_s * 1000),
                min_connected_time_to_reset_reconnect_delay_ms=_STABLE_AFTER_S * 1000,
                will=None if will is None else _packet(will),
                on_publish_received=self._publish_received,
                on_lifecycle_attempting_connect=self._attempting,
                on_lifecycle_connection_success=self._succeeded,
                on_lifecycle_connection_failure=self._failed,
                on_lifecycle_disconnection=self._disconnected,
                on_lifecycle_stopped=self._stopped_by_client,
            )
        except (AwsCrtError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"the TLS identity cannot be used: {error}",
                "check the files named in [broker] with `morai-agent check`",
            ) from error

    # -- outbound ---------------------------------------------------------------------------

    def _send_waiting(self) -> None:
        if self.state is LinkState.CONNECTED:
            for message in self._window.take():
                self._send(message)

    def _send(self, message: Message) -> None:
        self.counters.published += 1
        future: Future[Any] = self._client.publish(_packet(message))
        if message.qos == 0:
            future.add_done_callback(self._qos0_done)
        else:
            future.add_done_callback(self._qos1_done)

    def _qos0_done(self, future: Future[Any]) -> None:
        # On an SDK thread. Success needs no hop: there is nothing to do.
        if future.exception() is not None:
            self._hop(self._count_failure)

    def _qos1_done(self, future: Future[Any]) -> None:
        # On an SDK thread.
        error = future.exception()
        puback = None if error else future.result().puback
        refused = (
            puback is not None and puback.reason_code >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR
        )
        reason = str(puback.reason_code) if refused and puback is not None else ""
        self._hop(self._settle, error is None, reason)

    def _count_failure(self) -> None:
        self.counters.failed += 1

    def _settle(self, acknowledged: bool, refusal: str) -> None:
        self._window.settle()
        if refusal:
            self.counters.refused += 1
            log.warning("publish_refused", reason=refusal)
        elif acknowledged:
            self.counters.acknowledged += 1
        else:
            self.counters.failed += 1
        self._send_waiting()
        if self._settled is not None:
            self._settled.set()

    # -- inbound ----------------------------------------------------------------------------

    def _publish_received(self, data: Any) -> None:
        # On an SDK thread: take the acknowledgement over, copy, hop.
        packet = data.publish_packet
        waiting = self._inbound_seen - self.counters.received
        if packet.qos == mqtt5.QoS.AT_MOST_ONCE and waiting >= MAX_WAITING_INBOUND:
            self._hop(self.counters.drop, "inbound_full")
            return
        acquire = data.acquire_publish_acknowledgement_control
        handle = acquire() if acquire is not None else None
        self._inbound_seen += 1
        incoming = Incoming(
            packet.topic,
            bytes(packet.payload or b""),
            packet.message_expiry_interval_sec,
            packet.content_type,
            packet.response_topic,
            packet.correlation_data_bytes,
        )
        self._hop(self._handle, incoming, handle)

    def _handle(self, incoming: Incoming, handle: Any) -> None:
        self.counters.received += 1
        try:
            self._on_message(incoming)
        except Exception:
            # A defect in a handler must not stop the session; it is loud in the log instead.
            log.exception("message_handler_failed", topic=incoming.topic)
        if handle is not None and self._options.acknowledge and self._client is not None:
            self._client.invoke_publish_acknowledgement(handle)

    # -- lifecycle --------------------------------------------------------------------------

    def _attempting(self, _data: Any) -> None:
        self._hop(self._set_state, LinkState.CONNECTING, "")

    def _succeeded(self, data: Any) -> None:
        self._hop(self._on_connected, bool(data.negotiated_settings.rejoined_session))

    def _failed(self, data: Any) -> None:
        self._hop(self._on_failure, _failure_text(data))

    def _disconnected(self, data: Any) -> None:
        self._hop(self._on_disconnected, _disconnect_text(data))

    def _stopped_by_client(self, _data: Any) -> None:
        self._hop(self._on_stopped)

    def _on_connected(self, rejoined: bool) -> None:
        self.counters.connects += 1
        disable_nagle(self._options.port)
        self._connected.set()
        self._set_state(LinkState.CONNECTED, "session resumed" if rejoined else "new session")
        # The first connection of a process subscribes even to a resumed session: the filters of
        # the previous run may have been others.
        if not rejoined or not self._subscribed.is_set():
            task = asyncio.create_task(
                self._subscribe(), name=f"subscribe:{self._options.client_id}"
            )
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        self._send_waiting()

    async def _subscribe(self) -> None:
        try:
            for topic_filter, qos in self._filters.items():
                await self._subscribe_one(topic_filter, qos)
        except PeerError as error:
            self.last_failure = str(error)
            log.warning("subscription_refused", reason=str(error))
            return
        except (AwsCrtError, AttributeError) as error:
            # The link went down again; the next connection subscribes anew.
            log.info("subscription_interrupted", reason=str(error))
            return
        self._subscribed.set()

    async def _subscribe_one(self, topic_filter: str, qos: int) -> None:
        packet = mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(topic_filter=topic_filter, qos=_qos(qos))]
        )
        suback = await asyncio.wrap_future(self._client.subscribe(packet))
        code = suback.reason_codes[0]
        if code >= mqtt5.SubackReasonCode.UNSPECIFIED_ERROR:
            raise PeerError(
                f"the broker refused the subscription {topic_filter}: {code.name}",
                "allow iot:Subscribe and iot:Receive for it in the policy of this certificate",
            )

    def _on_failure(self, reason: str) -> None:
        self.counters.connect_failures += 1
        self.last_failure = reason
        self._set_state(LinkState.DISCONNECTED, reason)

    def _on_disconnected(self, reason: str) -> None:
        self._connected.clear()
        self.last_failure = reason
        self._set_state(LinkState.DISCONNECTED, reason)

    def _on_stopped(self) -> None:
        self._set_state(LinkState.STOPPED, "")
        self._stopped.set()

    def _set_state(self, state: LinkState, reason: str) -> None:
        if state is self.state:
            return
        self.state = state
        self._on_state(state, reason)

    def _hop(self, function: Callable[..., None], *args: Any) -> None:
        # The loop may already be closed when a late SDK callback arrives at exit.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *args)


def _packet(message: Message) -> Any:
    return mqtt5.PublishPacket(
        topic=message.topic,
        payload=message.payload,
        qos=_qos(message.qos),
        retain=message.retain,
    )


def _qos(qos: int) -> Any:
    return mqtt5.QoS.AT_LEAST_ONCE if qos else mqtt5.QoS.AT_MOST_ONCE


def _failure_text(data: Any) -> str:
    connack = data.connack_packet
    if connack is not None:
        return f"the broker refused the connection: {connack.reason_code.name}"
    error = data.exception
    name = getattr(error, "name", "")
    if name == "AWS_ERROR_MQTT5_CONNACK_TIMEOUT":
        return "the broker accepted TLS but sent no CONNACK"
    if name in {"AWS_ERROR_MQTT_UNEXPECTED_HANGUP", "AWS_IO_SOCKET_CLOSED"}:
        return (
            "the broker closed the connection without a CONNACK: it does not know the certificate,"
            " or the policy does not allow iot:Connect for this client id"
        )
    return f"{name}: {getattr(error, 'message', error)}" if name else str(error)


def _disconnect_text(data: Any) -> str:
    packet = data.disconnect_packet
    if packet is not None:
        return f"the broker disconnected: {packet.reason_code.name}"
    return str(getattr(data.exception, "name", data.exception))
