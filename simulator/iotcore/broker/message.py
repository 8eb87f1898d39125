"""An application message on its way through the broker, and its bytes for each subscriber.

Encodes once per distinct form, however many subscribers get it: of each version of MQTT,
subscribers at QoS 0 share the very same bytes, and subscribers at QoS 1 share everything but the
two bytes of the packet id. Knows nothing about who gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.framing import remaining_length
from simulator.iotcore.broker.wire import MQTT_5

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN_QOS_0 = 0x30
_RETAIN = 0b0001
_QOS = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE)


class Message:
    """One PUBLISH, independent of any connection.

    Args:
        topic: Where it was published.
        payload: Its content.
        qos: QoS of the publisher, 0 or 1.
        received_at_s: When the broker got it.
        retain: Whether the publisher set RETAIN.
        expiry_s: Message Expiry Interval in force, or None.
        payload_format: Payload Format Indicator.
        content_type: Content Type.
        response_topic: Response Topic.
        correlation_data: Correlation Data.
        user_properties: User properties in order.
    """

    __slots__ = (
        "_plain",
        "_qos0",
        "_qos1_head",
        "_qos1_tail",
        "content_type",
        "correlation_data",
        "expiry_s",
        "payload",
        "payload_format",
        "qos",
        "received_at_s",
        "response_topic",
        "retain",
        "topic",
        "user_properties",
    )

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        received_at_s: float,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        payload_format: int = 0,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.received_at_s = received_at_s
        self.retain = retain
        self.expiry_s = expiry_s
        self.payload_format = payload_format
        self.content_type = content_type
        self.response_topic = response_topic
        self.correlation_data = correlation_data
        self.user_properties = user_properties
        self._qos0: bytes | None = None
        self._qos1_head: bytes | None = None
        self._qos1_tail = b""
        self._plain: _Plain | None = None

    @classmethod
    def from_publish(
        cls,
        packet: mqtt5.PublishPacket,
        topic: str,
        received_at_s: float,
        expiry_s: int | None,
        wire: bytes,
        level: int,
    ) -> Message:
        """A message from an inbound packet.

        Args:
            packet: The decoded packet, QoS 0 or 1.
            topic: Its topic with any alias resolved.
            received_at_s: The time now.
            expiry_s: Its expiry after the broker's bounds.
            wire: The packet's bytes, passed on as they are when nothing in them must change.
            level: Protocol level of those bytes.
        """
        message = cls(
            topic,
            packet.payload,
            int(packet.qos),
            received_at_s,
            retain=packet.retain,
            expiry_s=expiry_s,
            payload_format=packet.payload_format_indicator,
            content_type=packet.content_type,
            response_topic=packet.response_topic,
            correlation_data=packet.correlation_data,
            user_properties=packet.user_properties,
        )
        if (
            wire[0] == _PLAIN_QOS_0
            and level == MQTT_5
            and packet.topic_alias is None
            and packet.message_expiry_interval == expiry_s
        ):
            message._qos0 = wire
        return message

    @property
    def size_bytes(self) -> int:
        """What the message weighs in a queue: payload, topic and properties."""
        return (
            len(self.payload)
            + len(self.topic)
            + len(self.correlation_data or b"")
            + sum(len(name) + len(value) for name, value in self.user_properties)
        )

    def is_expired(self, now_s: float) -> bool:
        """Whether its Message Expiry Interval has passed."""
        return self.expiry_s is not None and now_s >= self.received_at_s + self.expiry_s

    def qos0(self, level: int, now_s: float) -> bytes:
        """The PUBLISH at QoS 0 with RETAIN 0.

        Args:
            level: Protocol level of the subscriber.
            now_s: The time now.
        """
        if level != MQTT_5:
            return self._as_plain().qos0()
        if not self._is_fresh(now_s):
            return self._encode(0, None, retain=False, now_s=now_s)
        if self._qos0 is None:
            self._qos0 = self._encode(0, None, retain=False, now_s=now_s)
        return self._qos0

    def qos1(self, level: int, packet_id: int, now_s: float) -> bytes:
        """The PUBLISH at QoS 1 with RETAIN 0.

        Args:
            level: Protocol level of the subscriber.
            packet_id: For this subscriber.
            now_s: The time now.
        """
        if level != MQTT_5:
            return self._as_plain().qos1(packet_id)
        if not self._is_fresh(now_s):
            return self._encode(1, packet_id, retain=False, now_s=now_s)
        if self._qos1_head is None:
            whole = self._encode(1, 1, retain=False, now_s=now_s)
            position = 1
            while whole[position] & 0x80:
                position += 1
            position += 1
            position += 2 + int.from_bytes(whole[position : position + 2], "big")
            self._qos1_head = whole[:position]
            self._qos1_tail = whole[position + 2 :]
        return b"%b%b%b" % (self._qos1_head, packet_id.to_bytes(2, "big"), self._qos1_tail)

    def retained(self, level: int, qos: int, packet_id: int | None, now_s: float) -> bytes:
        """The PUBLISH with RETAIN 1.

        Args:
            level: Protocol level of the subscriber.
            qos: 0 or 1.
            packet_id: For this subscriber; None at QoS 0.
            now_s: The time now.
        """
        if level == MQTT_5:
            return self._encode(qos, packet_id, retain=True, now_s=now_s)
        plain = self._as_plain()
        data = plain.qos0() if packet_id is None else plain.qos1(packet_id)
        return b"%c%b" % (data[0] | _RETAIN, data[1:])

    def _encode(self, qos: int, packet_id: int | None, *, retain: bool, now_s: float) -> bytes:
        """The PUBLISH of MQTT 5, with the expiry that remains (MQTT 5.0 section 3.3.2.3.3)."""
        return mqtt5.PublishPacket(
            self.topic,
            self.payload,
            qos=_QOS[qos],
            packet_id=packet_id,
            retain=retain,
            payload_format_indicator=self.payload_format,
            message_expiry_interval=self._remaining_s(now_s),
            content_type=self.content_type,
            response_topic=self.response_topic,
            correlation_data=self.correlation_data,
            user_properties=list(self.user_properties),
        ).write()

    def _as_plain(self) -> _Plain:
        if self._plain is None:
            self._plain = _Plain(self.topic, self.payload)
        return self._plain

    def _is_fresh(self, now_s: float) -> bool:
        """Whether the expiry to forward is still the one received."""
        return self.expiry_s is None or now_s - self.received_at_s < 1.0

    def _remaining_s(self, now_s: float) -> int | None:
        if self.expiry_s is None:
            return None
        return max(1, self.expiry_s - int(max(0.0, now_s - self.received_at_s)))


class _Plain:
    """The forms of a message in MQTT 3.1.1, which knows topic and payload only (section 3.3)."""

    __slots__ = ("_payload", "_qos0", "_qos1_head", "_topic")

    def __init__(self, topic: str, payload: bytes) -> None:
        encoded = topic.encode()
        self._topic = b"%b%b" % (len(encoded).to_bytes(2, "big"), encoded)
        self._payload = payload
        self._qos0: bytes | None = None
        self._qos1_head: bytes | None = None

    def qos0(self) -> bytes:
        """At QoS 0."""
        if self._qos0 is None:
            size = remaining_length(len(self._topic) + len(self._payload))
            self._qos0 = b"\x30%b%b%b" % (size, self._topic, self._payload)
        return self._qos0

    def qos1(self, packet_id: int) -> bytes:
        """At QoS 1."""
        if self._qos1_head is None:
            size = remaining_length(len(self._topic) + 2 + len(self._payload))
            self._qos1_head = b"\x32%b%b" % (size, self._topic)
        return b"%b%b%b" % (self._qos1_head, packet_id.to_bytes(2, "big"), self._payload)
