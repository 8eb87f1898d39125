"""One car's MQTT 5 client on the AWS IoT Device SDK, with the face of the engine's own client.

Owns the SDK client of one car: its options and the window of QoS 1 publishes. The SDK connects,
reconnects, pings and sends again by itself. Its callbacks come on a native thread; there they only
take the time and hop to the event loop. It decides nothing about when cars come or what they
publish.
"""

from __future__ import annotations

import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from awscrt import mqtt5

from simulator.load.connection.client import PACKET_BYTES_MAX, Pending
from simulator.load.connection.reason_codes import FAILURE
from simulator.load.sdk_causes import OWN_STOP, disconnect_cause, error_cause, failure_cause
from simulator.load.sdk_equipment import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from simulator.load.sdk_equipment import SdkEquipment
    from simulator.scenario.schema import Reconnect, VehicleGroup

MAX_UNSENT_QOS0: Final = 1000
"""QoS 0 publishes of a car that the SDK holds unwritten; above it the car counts as stalled."""

_RECEIVE_MAXIMUM: Final = 100
_SESSION_EXPIRY_S: Final = 3600
_PING_TIMEOUT_MAX_S: Final = 30.0
_HAMMER_FIRST_MS: Final = 100
_HAMMER_LONGEST_MS: Final = 1000
_NEVER_MS: Final = 3_600_000
_PUBACK_BYTES: Final = 4
_LENGTH_DIGIT: Final = 128
_AT_LEAST_ONCE: Final = mqtt5.QoS.AT_LEAST_ONCE
_AT_MOST_ONCE: Final = mqtt5.QoS.AT_MOST_ONCE


class SdkSettings(NamedTuple):
    """What the clients of a group have in common.

    Attributes:
        keep_alive_s: Keep Alive of the CONNECT; 0 turns it off.
        window: QoS 1 publishes at the SDK at once; as many may wait behind them.
        is_persistent: Clean Start 0 and a session that outlives the connection.
        first_delay_ms: Longest first wait before the SDK reconnects.
        longest_delay_ms: Longest wait.
        has_jitter: Whether it waits a random part of that.
    """

    keep_alive_s: int
    window: int
    is_persistent: bool
    first_delay_ms: int
    longest_delay_ms: int
    has_jitter: bool

    @classmethod
    def of(cls, group: VehicleGroup) -> SdkSettings:
        """The settings that a group asks for."""
        first_ms, longest_ms = _delays_ms(group.reconnect)
        return cls(
            group.keep_alive,
            group.in_flight,
            group.session == "persistent",
            first_ms,
            longest_ms,
            group.reconnect.policy == "backoff" and group.reconnect.jitter,
        )


def _delays_ms(reconnect: Reconnect) -> tuple[int, int]:
    if reconnect.policy == "none":
        # The SDK has no such policy: it is stopped after the first failure, long before this.
        return _NEVER_MS, _NEVER_MS
    if reconnect.policy == "immediate":
        # Even the rudest client does not hammer a server that refuses it without any pause.
        return _HAMMER_FIRST_MS, _HAMMER_LONGEST_MS
    # It takes 0 for its default.
    return max(1, round(reconnect.first * 1000)), max(1, round(reconnect.longest * 1000))


class SdkRole(Protocol):
    """Who a client works for; everything is called on the event loop.

    Attributes:
        bytes_in: Bytes of packets its clients read, as far as the SDK tells.
        bytes_out: Bytes of packets its clients wrote, other than publishes it asked for itself.
    """

    bytes_in: int
    bytes_out: int

    def client_connected(self, client: SdkClient, now_s: float, /) -> None:
        """CONNACK with success."""

    def client_message(
        self, client: SdkClient, topic: str, payload: bytes, expiry_s: float | None, /
    ) -> None:
        """A PUBLISH came in; its PUBACK, if any, follows."""

    def client_acknowledged(self, client: SdkClient, pending: Pending, reason: int, /) -> None:
        """A PUBACK came for a publish; a reason of 0x80 and above is a refusal."""

    def client_gave_up(self, client: SdkClient, pending: Pending, cause: str, /) -> None:
        """The SDK gave a QoS 1 publish up; whether it arrived is not known."""

    def client_resent(self, client: SdkClient, count: int, /) -> None:
        """Publishes that a `disconnect` left unacknowledged are sent again."""

    def client_subscribed(self, client: SdkClient, reasons: list[int], /) -> None:
        """A SUBACK came."""

    def client_ended(self, client: SdkClient, cause: str, /, *, was_connected: bool) -> None:
        """The connection ended, or an attempt failed, other than by `disconnect`."""

    def client_left(self, client: SdkClient, /) -> None:
        """The connection ended by `disconnect`."""

    def client_stopped(self, client: SdkClient, /) -> None:
        """The SDK has come to rest after `disconnect`; the client may be started again."""


class SdkClient:
    """The client of one car; it can be started and stopped again and again.

    Args:
        role: Who it works for.
        index: Its number within the role.
        number: Its number in the run; cars are spread over a target's addresses by it.
        client_id: Its client id.
        settings: What its group has in common.
        equipment: What it is made with.
        clock: Seconds on the clock of the run; called from two threads.

    Attributes:
        is_connected: Between CONNACK and the end of a connection.
        is_started: Between `start` and the SDK's word that it has stopped.
        is_attempting: Between the SDK's word that it tries to connect and its result.
        is_subscribed: Whether the broker's session holds the subscriptions.
        in_flight: QoS 1 publishes that the SDK has, by a number of their own.
        waiting: QoS 1 publishes that wait for room in the window.
        left_over: QoS 1 publishes that a `disconnect` left unacknowledged.
        attempts: Consecutive attempts that failed.
        started_s: When the attempt under way, or the last one, began.
    """

    __slots__ = (
        "_clock",
        "_equipment",
        "_hop",
        "_is_first_attempt",
        "_is_leaving",
        "_last_number",
        "_native",
        "_number",
        "_unsent_begun",
        "_unsent_ended",
        "attempts",
        "client_id",
        "in_flight",
        "index",
        "is_attempting",
        "is_connected",
        "is_started",
        "is_subscribed",
        "left_over",
        "role",
        "settings",
        "started_s",
        "waiting",
    )

    def __init__(
        self,
        role: SdkRole,
        index: int,
        number: int,
        client_id: str,
        settings: SdkSettings,
        equipment: SdkEquipment,
        clock: Callable[[], float],
    ) -> None:
        self.role = role
        self.index = index
        self.client_id = client_id
        self.settings = settings
        self.is_connected = False
        self.is_started = False
        self.is_attempting = False
        self.is_subscribed = False
        self.attempts = 0
        self.started_s = 0.0
        self.in_flight: dict[int, Pending] = {}
        self.waiting: deque[Pending] = deque()
        self.left_over: list[Pending] = []
        self._number = number
        self._equipment = equipment
        self._hop = equipment.runtime.hop
        self._clock = clock
        self._native: Any = None
        self._is_leaving = False
        self._is_first_attempt = False
        self._last_number = 0
        # The event loop counts what it handed to the SDK, the SDK's thread what is done.
        self._unsent_begun = 0
        self._unsent_ended = 0

    # Coming and going

    def start(self) -> None:
        """Begin to connect, and stay connected until `disconnect`."""
        if self.is_started:
            return
        try:
            if self._native is None:
                self._native = self._build()
            self.started_s = self._clock()
            self._is_first_attempt = True
            self._native.start()
        except REFUSALS as error:
            self.role.client_ended(self, error_cause(error), was_connected=False)
        else:
            self.is_started = True

    def disconnect(self) -> None:
        """Send DISCONNECT and stop; `client_stopped` follows if it was started."""
        if self.is_started and not self._is_leaving:
            self._is_leaving = True
            # Without a packet the SDK only closes the socket.
            self._native.stop(mqtt5.DisconnectPacket())

    def release(self) -> None:
        """Give the SDK's client back. Nothing is reported any more."""
        self._native = None
        self.is_started = self.is_connected = self.is_attempting = False

    def _build(self) -> Any:
        settings, equipment = self.settings, self._equipment
        ping_timeout_s = min(_PING_TIMEOUT_MAX_S, settings.keep_alive_s / 2)
        keeps_alive = settings.keep_alive_s > 0
        sessions = mqtt5.ClientSessionBehaviorType
        jitter = mqtt5.ExponentialBackoffJitterMode
        return mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=equipment.host(self._number),
                port=equipment.port,
                bootstrap=equipment.runtime.bootstrap,
                tls_ctx=equipment.context(self.index),
                connect_options=mqtt5.ConnectPacket(
                    client_id=self.client_id,
                    keep_alive_interval_sec=settings.keep_alive_s,
                    session_expiry_interval_sec=_SESSION_EXPIRY_S if settings.is_persistent else 0,
                    receive_maximum=_RECEIVE_MAXIMUM,
                    maximum_packet_size=PACKET_BYTES_MAX,
                ),
                session_behavior=(
                    sessions.REJOIN_ALWAYS if settings.is_persistent else sessions.CLEAN
                ),
                # As the SDK's own builder for AWS IoT Core has it, with its limits of 100 publishes
                # and 512 kB a second for a client.
                extended_validation_and_flow_control_options=(
                    mqtt5.ExtendedValidationAndFlowControlOptions.AWS_IOT_CORE_DEFAULTS
                ),
                retry_jitter_mode=jitter.FULL if settings.has_jitter else jitter.NONE,
                min_reconnect_delay_ms=settings.first_delay_ms,
                max_reconnect_delay_ms=settings.longest_delay_ms,
                # min_connected_time_to_reset_reconnect_delay_ms is left at its default of 30 s:
                # awscrt 0.36 stores a given value as the minimum delay, which ends the backoff.
                ping_timeout_ms=round(ping_timeout_s * 1000) if keeps_alive else None,
                # Publishes that are out when a network dies must still be there when the pings
                # have found out, to be sent again.
                ack_timeout_sec=(
                    round(2 * (settings.keep_alive_s + ping_timeout_s)) if keeps_alive else None
                ),
                on_publish_callback_fn=self._received,
                on_lifecycle_event_attempting_connect_fn=self._attempting,
                on_lifecycle_event_connection_success_fn=self._succeeded,
                on_lifecycle_event_connection_failure_fn=self._failed,
                on_lifecycle_event_disconnection_fn=self._disconnected,
                on_lifecycle_event_stopped_fn=self._stopped,
            )
        )

    # Publishing

    def never_written(self) -> list[Pending]:
        """The publishes that waited for room and were never given to the SDK."""
        return list(self.waiting)

    @property
    def is_window_full(self) -> bool:
        """Whether a further QoS 1 publish would have to be given up."""
        return len(self.waiting) >= self.settings.window

    @property
    def is_stalled(self) -> bool:
        """Whether the SDK holds too many QoS 0 publishes that it could not write."""
        return self._unsent_begun - self._unsent_ended >= MAX_UNSENT_QOS0

    def send(self, topic: str, payload: bytes) -> int:
        """Publish at QoS 0; the bytes of the packet."""
        try:
            future = self._native.publish(
                mqtt5.PublishPacket(topic=topic, payload=payload, qos=_AT_MOST_ONCE)
            )
        except REFUSALS:
            # As with a socket that broke: the message is lost, and observers miss it.
            return 0
        self._unsent_begun += 1
        future.add_done_callback(self._sent)
        return publish_bytes(topic, payload, 0)

    def publish(self, pending: Pending, _now_s: float = 0.0) -> int:
        """Publish at QoS 1, or let it wait for room in the window.

        Returns:
            Bytes of the packet; 0 when it waits.
        """
        if len(self.in_flight) >= self.settings.window:
            self.waiting.append(pending)
            return 0
        return self._publish(pending)

    def subscribe(self, filters: list[tuple[str, int]], _now_s: float = 0.0) -> None:
        """Send one SUBSCRIBE with up to 8 filters, each with its QoS."""
        packet = mqtt5.SubscribePacket(
            subscriptions=[
                mqtt5.Subscription(
                    topic_filter=name,
                    qos=_AT_LEAST_ONCE if qos else _AT_MOST_ONCE,
                    # A retained command would act again with every new session.
                    retain_handling_type=mqtt5.RetainHandlingType.DONT_SEND,
                )
                for name, qos in filters
            ]
        )
        # A connection that ends first is followed by one that subscribes again.
        with contextlib.suppress(*REFUSALS):
            self._native.subscribe(packet).add_done_callback(self._subscribed)

    def _publish(self, pending: Pending) -> int:
        number = self._last_number = self._last_number + 1
        self.in_flight[number] = pending
        try:
            future = self._native.publish(
                mqtt5.PublishPacket(
                    topic=pending.topic,
                    payload=pending.payload,
                    qos=_AT_LEAST_ONCE,
                    message_expiry_interval_sec=pending.expiry_s,
                )
            )
        except REFUSALS as error:
            self._hop.post(self._on_given_up, number, error_cause(error))
            return 0
        future.add_done_callback(partial(self._published, number))
        return publish_bytes(pending.topic, pending.payload, 1)

    def _publish_waiting(self) -> None:
        while self.waiting and self.is_connected and len(self.in_flight) < self.settings.window:
            self.role.bytes_out += self._publish(self.waiting.popleft())

    # On the SDK's thread: take the time, and hop

    def _attempting(self, _data: Any) -> None:
        self._hop.post(self._on_attempt, self._clock())

    def _succeeded(self, data: Any) -> None:
        rejoined = bool(data.negotiated_settings.rejoined_session)
        self._hop.post(self._on_connected, self._clock(), rejoined)

    def _failed(self, data: Any) -> None:
        cause = failure_cause(data, has_tls=self._equipment.has_tls)
        self._hop.post(self._on_failed, cause)

    def _disconnected(self, data: Any) -> None:
        self._hop.post(self._on_disconnected, disconnect_cause(data))

    def _stopped(self, _data: Any) -> None:
        self._hop.post(self._on_stopped)

    def _sent(self, _future: Future[Any]) -> None:
        self._unsent_ended += 1

    def _published(self, number: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            self._hop.post(self._on_given_up, number, error_cause(error))
            return
        code = future.result().puback.reason_code
        # One that the SDK does not know is no success.
        reason = FAILURE if code is None else int(code)
        self._hop.post(self._on_acknowledged, number, self._clock(), reason)

    def _subscribed(self, future: Future[Any]) -> None:
        if future.exception() is None:
            codes = future.result().reason_codes
            reasons = [FAILURE if code is None else int(code) for code in codes]
            self._hop.post(self._on_subscribed, reasons)

    def _received(self, data: Any) -> None:
        packet = data.publish_packet
        payload = bytes(packet.payload or b"")
        gate = self._equipment.runtime.gate
        if not gate.admit(len(payload), droppable=packet.qos == _AT_MOST_ONCE):
            return
        acquire = data.acquire_publish_acknowledgement_control
        handle = acquire() if acquire is not None else None
        expiry_s = packet.message_expiry_interval_sec
        self._hop.post(self._on_message, packet.topic, payload, expiry_s, handle)

    # On the event loop

    def _on_attempt(self, at_s: float) -> None:
        self.is_attempting = True
        if self._is_first_attempt:
            # It began with `start`.
            self._is_first_attempt = False
        else:
            self.started_s = at_s

    def _on_connected(self, at_s: float, rejoined: bool) -> None:
        if self._native is None:
            return
        self.is_attempting = False
        self.is_connected = True
        self.attempts = 0
        self.is_subscribed = self.is_subscribed and rejoined
        self.role.client_connected(self, at_s)
        if self.left_over:
            self.role.client_resent(self, len(self.left_over))
            self.waiting.extendleft(reversed(self.left_over))
            self.left_over.clear()
        self._publish_waiting()

    def _on_failed(self, cause: str) -> None:
        self.is_attempting = False
        self.attempts += 1
        if not self._is_leaving and self._native is not None:
            self.role.client_ended(self, cause, was_connected=False)

    def _on_disconnected(self, cause: str) -> None:
        self.is_connected = False
        if self._native is None:
            return
        if self._is_leaving:
            self.role.client_left(self)
        else:
            self.role.client_ended(self, cause, was_connected=True)

    def _on_stopped(self) -> None:
        self.is_started = self.is_attempting = self.is_connected = False
        self._is_leaving = False
        self.role.client_stopped(self)

    def _on_acknowledged(self, number: int, at_s: float, reason: int) -> None:
        pending = self.in_flight.pop(number)
        if reason < FAILURE:
            pending.sink.append(at_s - pending.due_s)
        self.role.bytes_in += _PUBACK_BYTES
        self.role.client_acknowledged(self, pending, reason)
        self._publish_waiting()

    def _on_given_up(self, number: int, cause: str) -> None:
        pending = self.in_flight.pop(number)
        if cause == OWN_STOP:
            # The SDK lets go of everything when it is stopped; after a lost connection it does not.
            self.left_over.append(pending)
            return
        self.role.client_gave_up(self, pending, cause)
        self._publish_waiting()

    def _on_subscribed(self, reasons: list[int]) -> None:
        self.is_subscribed = all(reason < FAILURE for reason in reasons)
        self.role.client_subscribed(self, reasons)

    def _on_message(self, topic: str, payload: bytes, expiry_s: float | None, handle: Any) -> None:
        self._equipment.runtime.gate.taken(len(payload))
        self.role.bytes_in += publish_bytes(topic, payload, 0 if handle is None else 1)
        self.role.client_message(self, topic, payload, expiry_s)
        if handle is not None and self._native is not None:
            # A connection that ended meanwhile gets the message again.
            with contextlib.suppress(*REFUSALS):
                self._native.invoke_publish_acknowledgement(handle)
                self.role.bytes_out += _PUBACK_BYTES


def publish_bytes(topic: str, payload: bytes, qos: int) -> int:
    """Size of a PUBLISH without properties (MQTT 5.0 section 3.3).

    Args:
        topic: Its topic.
        payload: Its payload.
        qos: Its QoS; above 0 it has a packet identifier.
    """
    remaining = 2 + len(topic.encode()) + (2 if qos else 0) + 1 + len(payload)
    digits, rest = 1, remaining // _LENGTH_DIGIT
    while rest:
        digits, rest = digits + 1, rest // _LENGTH_DIGIT
    return 1 + digits + remaining
