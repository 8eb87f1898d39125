"""MQTT 5.0, with the `mqtt5` codec behind the checks of `wire`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.routes import plain_publish
from simulator.iotcore.broker.wire import MQTT_5, Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.handshake import Refusal, Terms
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.broker.routes import PlainPublish

_REASON_CHARACTERS_MAX = 200
_THROTTLING = (
    Cause.QUOTA_CONNECTS,
    Cause.QUOTA_CONNECTS_OF_CLIENT,
    Cause.QUOTA_CONNECTIONS,
)


class Mqtt5:
    """See `dialect.Dialect`.

    Args:
        limits: Announced in CONNACK.
        choices: Answers that AWS leaves open.
    """

    __slots__ = ("_choices", "_limits", "decode", "level", "plain_publish", "refuses_filters")

    def __init__(self, limits: Limits, choices: Choices) -> None:
        self.level = MQTT_5
        self.refuses_filters = True
        self.decode: Callable[[bytes], mqtt5.Packet] = Decoder().decode
        self.plain_publish: Callable[[bytes], PlainPublish | None] = plain_publish
        self._limits = limits
        self._choices = choices

    def accepted(self, terms: Terms, /, *, session_present: bool) -> bytes:
        """CONNACK as in the developer guide, "MQTT 5 supported features".

        Server Keep Alive and Session Expiry Interval are always sent.
        """
        limits = self._limits
        return mqtt5.ConnAckPacket(
            session_present=session_present,
            session_expiry_interval=terms.session_expiry_s,
            assigned_client_id=terms.client_id if terms.is_assigned else None,
            server_keep_alive=terms.keep_alive_s,
            receive_max=limits.receive_maximum,
            topic_alias_max=limits.topic_alias_maximum,
            max_qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain_available=True,
            max_packet_size=self._choices.announced_packet_bytes or limits.packet_bytes,
            wildcard_subscription_available=True,
            subscription_id_available=False,
            shared_subscription_available=True,
        ).write()

    def refused(self, refusal: Refusal, /) -> bytes:
        """CONNACK with the reason; empty for throttling, if that was chosen."""
        if refusal.cause in _THROTTLING and not self._choices.is_connect_throttling_answered:
            return b""
        return mqtt5.ConnAckPacket(reason_code=refusal.code, reason_str=refusal.text).write()

    def publish_refused(self, packet_id: int, code: int, /) -> bytes:
        """PUBACK with a reason code."""
        return mqtt5.PubAckPacket(packet_id, reason_code=mqtt5.PubAckReasonCode(code)).write()

    def subscribed(self, packet_id: int, codes: Sequence[int], /) -> bytes:
        """SUBACK."""
        reason_codes = [mqtt5.SubAckReasonCode(code) for code in codes]
        return mqtt5.SubAckPacket(packet_id, reason_codes).write()

    def unsubscribed(self, packet_id: int, filters: int, /) -> bytes:
        """UNSUBACK."""
        return mqtt5.UnsubAckPacket(packet_id, [mqtt5.UnsubAckReasonCode.SUCCESS] * filters).write()

    def disconnect(self, code: int, text: str, /) -> bytes:
        """DISCONNECT; a long text is cut."""
        return mqtt5.DisconnectPacket(
            reason_code=mqtt5.DisconnectReasonCode(code),
            reason_str=text[:_REASON_CHARACTERS_MAX] or None,
        ).write()
