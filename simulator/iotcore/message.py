"""An application message on its way through the broker, and its bytes for each subscriber.

Encodes once per distinct form, however many subscribers get it: subscribers at QoS 0 share the
very same bytes, subscribers at QoS 1 share everything but the two bytes of the packet id. Knows
nothing about who gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN_QOS_0 = 0x30
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

    @classmethod
    def from_publish(
        cls,
        packet: mqtt5.PublishPacket,
        topic: str,
        received_at_s: float,
        expiry_s: int | None,
        wire: bytes,
    ) -> Message:
        """A message from an inbound packet.

        Args:
            packet: The decoded packet, QoS 0 or 1.
            topic: Its topic with any alias resolved.
            received_at_s: The time now.
            expiry_s: Its expiry after the broker's bounds.
            wire: The packet's bytes, passed on as they are when nothing in them must change.
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
            and packet.topic_alias is None
            and packet.message_expiry_interval == expiry_s
        ):
            message.pass_on(wire)
        return message

    def pass_on(self, wire: bytes) -> None:
        """Use an inbound PUBLISH as it is for subscribers at QoS 0."""
        self._qos0 = wire

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

    def qos0(self, now_s: float) -> bytes:
        """The PUBLISH at QoS 0 with RETAIN 0."""
        if not self._is_fresh(now_s):
            return self.encode(0, None, retain=False, now_s=now_s)
        if self._qos0 is None:
            self._qos0 = self.encode(0, None, retain=False, now_s=now_s)
        return self._qos0

    def qos1(self, packet_id: int, now_s: float) -> bytes:
        """The PUBLISH at QoS 1 with RETAIN 0."""
        if not self._is_fresh(now_s):
            return self.encode(1, packet_id, retain=False, now_s=now_s)
        if self._qos1_head is None:
            whole = self.encode(1, 1, retain=False, now_s=now_s)
            position = 1
            while whole[position] & 0x80:
                position += 1
            position += 1
            position += 2 + int.from_bytes(whole[position : position + 2], "big")
            self._qos1_head = whole[:position]
            self._qos1_tail = whole[position + 2 :]
        return b"%b%b%b" % (self._qos1_head, packet_id.to_bytes(2, "big"), self._qos1_tail)

    def encode(self, qos: int, packet_id: int | None, *, retain: bool, now_s: float) -> bytes:
        """The PUBLISH in any form, with the expiry that remains (MQTT 5.0 section 3.3.2.3.3)."""
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

    def _is_fresh(self, now_s: float) -> bool:
        """Whether the expiry to forward is still the one received."""
        return self.expiry_s is None or now_s - self.received_at_s < 1.0

    def _remaining_s(self, now_s: float) -> int | None:
        if self.expiry_s is None:
            return None
        return max(1, self.expiry_s - int(max(0.0, now_s - self.received_at_s)))
