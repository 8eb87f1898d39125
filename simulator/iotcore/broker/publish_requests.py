"""A publish that is no MQTT packet: one HTTPS request of a client, judged and routed.

Asks what `publishing` asks of a packet, for a client that has no connection: no client id, so
policy variables that need one have no value, and no rate of a connection. `iot:Connect` is not
asked. Knows nothing about HTTP.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from simulator.iotcore.broker.authorization import ALLOWED, NOT_AUTHORIZED, Authorizer
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.topics import broken_size

if TYPE_CHECKING:
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.parts import Parts
    from simulator.iotcore.broker.peer import Peer


class Verdict(Enum):
    """What became of a request."""

    PUBLISHED = auto()
    FORBIDDEN = auto()
    """Nobody the registry knows, or the policies do not allow it."""
    INVALID = auto()
    """The topic does not exist or is too long, or a property is."""
    TOO_LARGE = auto()
    THROTTLED = auto()


class PublishRequests:
    """Judges and routes requests."""

    def __init__(self, parts: Parts) -> None:
        self._registry = parts.registry
        self._account = parts.account
        self._limits = parts.limits
        self._quotas = parts.quotas
        self._reserved = parts.reserved
        self._router = parts.router
        self._counters = parts.counters

    def publish(self, peer: Peer, message: Message, now_s: float) -> Verdict:
        """Publish a message for a client.

        Args:
            peer: Who asks.
            message: What.
            now_s: The time now.
        """
        principal = peer.principal
        if principal is None or not principal.is_admitted(self._registry):
            self._counters.count(Cause.CERTIFICATE_NOT_ACTIVE)
            return Verdict.FORBIDDEN
        who = principal.identifier
        authorizer = Authorizer(
            self._registry,
            self._account,
            self._reserved,
            self._limits,
            principal=principal,
            client_id=None,
            source_ip=peer.source_ip,
        )
        self._counters.publishes_in += 1
        topic = message.topic
        code = authorizer.retain_publish(topic) if message.retain else authorizer.publish(topic)
        if code != ALLOWED:
            return self._refused(topic, code, who)
        if len(message.payload) > self._limits.payload_bytes:
            self._counters.refuse(Cause.QUOTA_PAYLOAD_BYTES, who)
            return Verdict.TOO_LARGE
        if (fault := self._properties_fault(message)) is not None:
            self._counters.refuse(fault, who)
            return Verdict.INVALID
        if self._is_throttled(message, who, now_s):
            return Verdict.THROTTLED
        self._router.route(message, None, now_s)
        return Verdict.PUBLISHED

    def _refused(self, topic: str, code: int, who: str) -> Verdict:
        if code == NOT_AUTHORIZED:
            self._counters.refuse(Cause.PUBLISH_DENIED, who)
            return Verdict.FORBIDDEN
        cause = broken_size(topic, self._limits.topic_bytes, self._limits.topic_slashes)
        self._counters.refuse(cause or Cause.PUBLISH_TOPIC_INVALID, who)
        return Verdict.INVALID

    def _properties_fault(self, message: Message) -> Cause | None:
        """The quota that a property breaks; see `handshake.properties_fault` for packets."""
        limits = self._limits
        texts = [text for pair in message.user_properties for text in pair]
        bytes_of_pairs = sum(len(text.encode()) for text in texts)
        if bytes_of_pairs > limits.user_properties_bytes:
            return Cause.QUOTA_USER_PROPERTIES
        if len(message.correlation_data or b"") > limits.correlation_data_bytes:
            return Cause.QUOTA_CORRELATION_DATA
        if len((message.content_type or "").encode()) > limits.content_type_bytes:
            return Cause.QUOTA_CONTENT_TYPE
        response_topic = message.response_topic
        if response_topic is not None and (
            not response_topic or "+" in response_topic or "#" in response_topic
        ):
            return Cause.PROTOCOL_ERROR
        texts += [message.content_type or "", response_topic or ""]
        # MQTT-1.5.4-2: text holds no null character.
        return Cause.PROTOCOL_ERROR if any("\0" in text for text in texts) else None

    def _is_throttled(self, message: Message, who: str, now_s: float) -> bool:
        # A request of its own has used nothing of what a connection may.
        meter = self._quotas.meter()
        if message.retain:
            has_place = not message.payload or self._router.can_retain(message.topic, now_s)
            breach = self._quotas.retain(meter, message.topic, has_place, now_s)
        else:
            breach = self._quotas.publish(meter, now_s)
        return breach is not None and self._counters.breached(breach, who)
