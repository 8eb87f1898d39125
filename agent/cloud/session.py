"""The MQTT 5 session with AWS IoT Core, through the AWS device SDK.

Owns the SDK client and the hop from its native threads to the event loop. Knows topics and bytes
only: what is published and what an incoming message means is decided elsewhere. The SDK reconnects
by itself with full jitter; this module re-subscribes when the broker lost the session, bounds what
waits, and acknowledges an incoming QoS 1 message only after its handler returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from agent.cloud.failures import disconnect_text, error_text, failure_text
from agent.cloud.inbound_gate import InboundGate
from agent.cloud.nagle import disable_nagle
from agent.cloud.publish_window import Message, PublishWindow
from agent.cloud.session_values import Incoming, LinkState, SessionCounters
from certs.errors import ConfigurationError, LinkError, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from agent.cloud.session_values import SessionOptions

log = structlog.get_logger(__name__)

RECEIVE_MAXIMUM = 50
# QoS 0 messages that the SDK holds and has not written to the socket; beyond it the newest is
# dropped and counted.
MAX_UNSENT_QOS0 = 1000
_MAX_COMPLAINTS = 64
_FIRST_ATTEMPT_S = 1.0
# What a call into the SDK may raise; errors of later steps come as AwsCrtError in a future.
_REFUSALS = (AwsCrtError, RuntimeError, ValueError, OSError)


class CloudSession:
    """One MQTT 5 connection to the broker, usable from one event loop.

    Args:
        options: How to connect.
        filters: Topic filters to keep subscribed, each with its QoS.
        on_message: Called on the event loop for each incoming message.
        on_state: Called on the event loop when the link state changes, with a short reason.
        on_ready: Called on the event loop once a connection, after `on_state`, when the broker has
            answered every subscription: what is published to the agent from now on arrives.

    Attributes:
        counters: What happened since the start.
        state: The connection, as far as it is known.
        last_failure: Why the last attempt or connection failed; empty before the first failure.
        owed_since_s: Monotonic time since which acknowledgements are out and none has come, or
            `None` when the broker owes nothing. A dead network shows here long before the pings
            find out.
    """

    def __init__(
        self,
        options: SessionOptions,
        filters: Mapping[str, int],
        on_message: Callable[[Incoming], None],
        on_state: Callable[[LinkState, str], None],
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.counters = SessionCounters()
        self.state = LinkState.STOPPED
        self.last_failure = ""
        self._options = options
        self._filters = dict(filters)
        self._on_message = on_message
        self._on_state = on_state
        self._on_ready = on_ready
        self._window = PublishWindow(options.in_flight, options.waiting_bytes)
        self._reported_drops = 0
        self._gate = InboundGate()
        # The loop's thread counts what it handed to the SDK, the SDK's thread what is written.
        self._qos0_sent = 0
        self._qos0_done = 0
        # Topics whose failure was logged on this connection.
        self._complained: set[str] = set()
        self._subscribed = asyncio.Event()
        self._stopping = False
        self._attempted = asyncio.Event()
        self._stopped = asyncio.Event()
        self._settled: asyncio.Event | None = None
        self.owed_since_s: float | None = None
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
            reason = self.last_failure.rstrip(".")
            if not reason and self.state is LinkState.CONNECTING:
                # The SDK keeps a failed handshake to itself for 10 to 30 s (s2n-tls, "blinding").
                reason = (
                    "the TCP or TLS handshake is not finished; a broker.ca that did not sign the"
                    " broker's certificate looks like this"
                )
            raise LinkError(
                f"no MQTT session with {where} within {timeout_s:g} s"
                + (f": {reason}" if reason else ""),
                "run `morai-agent check` to see which step fails",
            ) from error

    def publish(self, message: Message) -> None:
        """Hand a message over; it is sent when the window allows.

        QoS 1 waits through an outage inside the byte cap; QoS 0 while disconnected is dropped and
        counted, because stale QoS 0 data has no reader.
        """
        if message.qos == 0:
            if self.state is not LinkState.CONNECTED:
                self.counters.drop("offline_qos0")
            elif self._qos0_sent - self._qos0_done >= MAX_UNSENT_QOS0:
                self.counters.drop("unsent_qos0")
            else:
                self._send(message)
            return
        self._window.offer(message)
        fresh = self._window.dropped - self._reported_drops
        if fresh:
            self.counters.drop("window_full", fresh)
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
        """Send DISCONNECT and release the client. The broker then does not send the will.

        An attempt to connect that is under way cannot be cut short; after `timeout_s` it is left
        to end by itself.
        """
        if self._client is None:
            return
        self._stopping = True
        # Told to stop before its first attempt, the SDK reports neither, and would be waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_s, _FIRST_ATTEMPT_S)):
                await self._attempted.wait()
        # Without a packet the SDK only closes the socket, and the broker publishes the will.
        self._client.stop(mqtt5.DisconnectPacket())
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
                connack_timeout_ms=round(options.connack_timeout_s * 1000),
                # Given up only on a connection that lives: what is out when the network dies must
                # still be there when the pings have found out, to be sent again.
                ack_timeout_sec=round(2 * (options.keep_alive_s + options.ping_timeout_s)),
                session_expiry_interval_sec=options.session_expiry_s,
                receive_maximum=RECEIVE_MAXIMUM,
                session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
                retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
                min_reconnect_delay_ms=round(options.reconnect_min_s * 1000),
                max_reconnect_delay_ms=round(options.reconnect_max_s * 1000),
                # min_connected_time_to_reset_reconnect_delay_ms is left at its default of 30 s:
                # awscrt 0.36 stores a given value as the minimum delay, which ends the backoff.
                will=None if will is None else _packet(will),
                on_publish_received=self._publish_received,
                on_lifecycle_attempting_connect=self._attempting,
                on_lifecycle_connection_success=self._succeeded,
                on_lifecycle_connection_failure=self._failed,
                on_lifecycle_disconnection=self._disconnected,
                on_lifecycle_stopped=self._stopped_by_client,
            )
        except _REFUSALS as error:
            files = ", ".join(
                str(path) for path in (options.certificate, options.private_key, options.ca) if path
            )
            raise ConfigurationError(
                f"the TLS identity in {files} cannot be used: {error}",
                "check these files with `morai-agent check`",
            ) from error

    # -- outbound ---------------------------------------------------------------------------

    def _send_waiting(self) -> None:
        if self.state is LinkState.CONNECTED:
            for message in self._window.take():
                self._send(message)

    def _send(self, message: Message) -> None:
        self.counters.published += 1
        try:
            future: Future[Any] = self._client.publish(_packet(message))
        except _REFUSALS as error:
            # The SDK takes no such packet. Settled on the next turn, as every other failure.
            if message.qos:
                self._hop(self._settle, message.topic, error_text(error), "")
            else:
                self._count_failure()
            return
        if message.qos == 0:
            self._qos0_sent += 1
            future.add_done_callback(self._on_qos0_done)
        else:
            if self.owed_since_s is None:
                self.owed_since_s = time.monotonic()
            future.add_done_callback(partial(self._on_qos1_done, message.topic))

    def _on_qos0_done(self, future: Future[Any]) -> None:
        # On an SDK thread. Success needs no hop: there is nothing to do.
        self._qos0_done += 1
        if future.exception() is not None:
            self._hop(self._count_failure)

    def _on_qos1_done(self, topic: str, future: Future[Any]) -> None:
        # On an SDK thread.
        error = future.exception()
        if error is not None:
            self._hop(self._settle, topic, error_text(error), "")
            return
        puback = future.result().puback
        refused = (
            puback is not None and puback.reason_code >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR
        )
        self._hop(self._settle, topic, "", puback.reason_code.name if refused else "")

    def _count_failure(self) -> None:
        self.counters.failed += 1

    def _settle(self, topic: str, failure: str, refusal: str) -> None:
        self._window.settle()
        if not failure:
            self.owed_since_s = time.monotonic()
        if not self._window.in_flight:
            self.owed_since_s = None
        if refusal:
            self.counters.refused += 1
            self._complain("publish_refused", topic, refusal)
        elif failure:
            self.counters.failed += 1
            self._complain("publish_failed", topic, failure)
        else:
            self.counters.acknowledged += 1
        self._send_waiting()
        self._wake_drain()

    def _complain(self, event: str, topic: str, reason: str) -> None:
        """Log a topic's first trouble on this connection; the counters tell how often."""
        if topic not in self._complained and len(self._complained) < _MAX_COMPLAINTS:
            self._complained.add(topic)
            log.warning(event, topic=topic, reason=reason)

    def _wake_drain(self) -> None:
        if self._settled is not None:
            self._settled.set()

    # -- inbound ----------------------------------------------------------------------------

    def _publish_received(self, data: Any) -> None:
        # On an SDK thread: take the acknowledgement over, copy, hop.
        packet = data.publish_packet
        if packet.retain:
            # Not every broker honours the retain handling that was asked for.
            self._hop(self.counters.drop, "retained")
            return
        payload = bytes(packet.payload or b"")
        if not self._gate.admit(len(payload), droppable=packet.qos == mqtt5.QoS.AT_MOST_ONCE):
            # Without a hop, which would itself wait for a loop that is behind.
            return
        acquire = data.acquire_publish_acknowledgement_control
        handle = acquire() if acquire is not None else None
        incoming = Incoming(
            packet.topic,
            payload,
            packet.message_expiry_interval_sec,
            packet.content_type,
            packet.response_topic,
            packet.correlation_data_bytes,
        )
        self._hop(self._handle, incoming, handle)

    def _handle(self, incoming: Incoming, handle: Any) -> None:
        self._gate.taken(len(incoming.payload))
        self.counters.received += 1
        if dropped := self._gate.take_dropped():
            self.counters.drop("inbound_full", dropped)
        try:
            self._on_message(incoming)
        except Exception:
            # A defect in a handler must not stop the session; it is loud in the log instead.
            log.exception("message_handler_failed", topic=incoming.topic)
        if handle is not None and self._options.acknowledge and self._client is not None:
            self._client.invoke_publish_acknowledgement(handle)

    # -- lifecycle --------------------------------------------------------------------------

    def _attempting(self, _data: Any) -> None:
        self._hop(self._on_attempt)

    def _succeeded(self, data: Any) -> None:
        self._hop(self._on_connected, bool(data.negotiated_settings.rejoined_session))

    def _failed(self, data: Any) -> None:
        self._hop(self._on_failure, failure_text(data))

    def _disconnected(self, data: Any) -> None:
        self._hop(self._on_disconnected, disconnect_text(data))

    def _stopped_by_client(self, _data: Any) -> None:
        self._hop(self._on_stopped)

    def _on_attempt(self) -> None:
        self._attempted.set()
        self._set_state(LinkState.CONNECTING, "")

    def _on_connected(self, rejoined: bool) -> None:
        self.counters.connects += 1
        self._complained.clear()
        disable_nagle(self._options.port)
        if not rejoined:
            # Also when the next connection resumes this session before SUBSCRIBE got through.
            self._subscribed.clear()
        if self._window.in_flight:
            # The SDK sends again what was out.
            self.owed_since_s = time.monotonic()
        self._set_state(LinkState.CONNECTED, "session resumed" if rejoined else "new session")
        # The first connection of a process subscribes even to a resumed session: the filters of
        # the previous run may have been others.
        if self._subscribed.is_set():
            self._report_ready()
        else:
            task = asyncio.create_task(
                self._subscribe(), name=f"subscribe:{self._options.client_id}"
            )
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        self._send_waiting()

    async def _subscribe(self) -> None:
        refused = False
        for topic_filter, qos in self._filters.items():
            try:
                await self._subscribe_one(topic_filter, qos)
            except PeerError as error:
                # One refusal must not cost the other subscriptions.
                refused = True
                self.last_failure = str(error)
                log.warning("subscription_refused", reason=str(error))
            except _REFUSALS as error:
                # The link went down again; the next connection subscribes anew.
                log.info("subscription_interrupted", reason=error_text(error))
                return
        if not refused:
            self._subscribed.set()
        self._report_ready()

    def _report_ready(self) -> None:
        try:
            self._on_ready()
        except Exception:
            log.exception("ready_handler_failed")

    async def _subscribe_one(self, topic_filter: str, qos: int) -> None:
        packet = mqtt5.SubscribePacket(
            subscriptions=[
                mqtt5.Subscription(
                    topic_filter=topic_filter,
                    qos=_qos(qos),
                    # A retained command or set point would act again with every new session.
                    retain_handling_type=mqtt5.RetainHandlingType.DONT_SEND,
                )
            ]
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
        self._note_failure(reason)
        self._set_state(LinkState.DISCONNECTED, reason)

    def _on_disconnected(self, reason: str) -> None:
        self._note_failure(reason)
        self._set_state(LinkState.DISCONNECTED, reason)

    def _note_failure(self, reason: str) -> None:
        # That the agent itself hangs up is no failure and must not hide the one before.
        if not self._stopping:
            self.last_failure = reason

    def _on_stopped(self) -> None:
        self._set_state(LinkState.STOPPED, "")
        self._stopped.set()

    def _set_state(self, state: LinkState, reason: str) -> None:
        if state is self.state:
            return
        self.state = state
        self._wake_drain()
        try:
            self._on_state(state, reason)
        except Exception:
            # As with messages: what follows a change of state must happen all the same.
            log.exception("state_handler_failed", state=state.value)

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
