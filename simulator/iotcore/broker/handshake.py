"""What a CONNECT asks for, judged against the limits: terms for the connection, or a refusal.

Pure function of one packet, which is one of MQTT 5 or says the same of MQTT 3.1.1. Policies,
registry and sessions are the broker's to ask. Where AWS names no reason code for a fault, see
`choices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.session import Will
from simulator.iotcore.broker.wire import MQTT_5

if TYPE_CHECKING:
    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.limits import Limits

Reason = mqtt5.ConnAckReasonCode


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection gets.

    Attributes:
        level: Protocol level.
        client_id: The client's, or the assigned one.
        is_assigned: Whether the broker made the client id up.
        clean_start: Whether an existing session is discarded.
        session_expiry_s: Session Expiry Interval in force.
        keep_alive_s: Keep Alive in force.
        send_window: QoS 1 deliveries in flight to the client.
        client_packet_bytes_max: Largest packet the client takes.
        will: Its will, or None.
        connect_attributes: Values of the policy condition key `iot:ConnectAttributes`.
    """

    level: int
    client_id: str
    is_assigned: bool
    clean_start: bool
    session_expiry_s: int
    keep_alive_s: int
    send_window: int
    client_packet_bytes_max: int
    will: Will | None
    connect_attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a CONNECT is refused.

    Attributes:
        code: For the CONNACK, in MQTT 5.
        text: Reason String.
        cause: What it is counted under.
    """

    code: mqtt5.ConnAckReasonCode
    text: str
    cause: Cause = Cause.CONNECT_INVALID


def judge(
    packet: mqtt5.ConnectPacket,
    level: int,
    limits: Limits,
    choices: Choices,
    assigned_client_id: str,
    now_s: float,
) -> Terms | Refusal:
    """Terms for a CONNECT, or why it is refused.

    Args:
        packet: The decoded packet.
        level: Protocol level it had.
        limits: The broker's bounds.
        choices: Codes that AWS leaves open.
        assigned_client_id: Used when the client sent none (MQTT 5.0 section 3.1.3.1).
        now_s: The time now.
    """
    if packet.authentication_method is not None:
        return Refusal(Reason.BAD_AUTHENTICATION_METHOD, "enhanced authentication is not supported")
    if len(packet.client_id.encode()) > limits.client_id_bytes:
        return Refusal(
            Reason.CLIENT_ID_NOT_VALID,
            f"client id longer than {limits.client_id_bytes} bytes",
            Cause.QUOTA_CLIENT_ID_BYTES,
        )
    if level != MQTT_5 and not packet.client_id and not packet.clean_start:
        text = "no client id for a persistent session (MQTT-3.1.3-8)"
        return Refusal(Reason.CLIENT_ID_NOT_VALID, text)
    client_packet_bytes_max = packet.max_packet_size
    if client_packet_bytes_max is None:
        client_packet_bytes_max = limits.packet_bytes
    elif client_packet_bytes_max < limits.client_packet_bytes_min:
        return Refusal(
            Reason(choices.small_client_packet_code),
            f"Maximum Packet Size below {limits.client_packet_bytes_min} bytes",
            Cause.QUOTA_CLIENT_PACKET_BYTES,
        )
    will = _will(packet.will, limits, now_s)
    if isinstance(will, Refusal):
        return will
    session_expiry_s = min(packet.session_expiry_interval, limits.session_expiry_max_s)
    attributes = {"PersistentConnect": session_expiry_s > 0, "LastWill": will is not None}
    return Terms(
        level=level,
        client_id=packet.client_id or assigned_client_id,
        is_assigned=not packet.client_id,
        clean_start=packet.clean_start,
        session_expiry_s=session_expiry_s,
        keep_alive_s=limits.keep_alive_s(packet.keep_alive),
        send_window=min(packet.receive_max, limits.unacknowledged_out),
        client_packet_bytes_max=client_packet_bytes_max,
        will=will,
        connect_attributes=tuple(name for name, is_set in attributes.items() if is_set),
    )


def _will(will: mqtt5.Will | None, limits: Limits, now_s: float) -> Will | Refusal | None:
    if will is None:
        return None
    if will.qos == mqtt5.QoS.EXACTLY_ONCE:
        return Refusal(Reason.QUALITY_NOT_SUPPORTED, "a will at QoS 2 is not supported")
    if (will.response_topic is not None) and not _is_plain(will.response_topic):
        return Refusal(Reason.TOPIC_NAME_INVALID, "the will's response topic has wildcards")
    cause = _broken_size(will, limits)
    if cause is not None:
        text = "the will's properties are longer than allowed"
        return Refusal(Reason.QUOTA_EXCEEDED, text, cause)
    message = Message(
        will.topic,
        # At most 65,535 bytes, the most that MQTT lets a will have.
        will.payload or b"",
        int(will.qos),
        now_s,
        retain=will.retain,
        expiry_s=limits.message_expiry_s(will.message_expiry_interval),
        payload_format=will.payload_format_indicator,
        content_type=will.content_type,
        response_topic=will.response_topic,
        correlation_data=will.correlation_data,
        user_properties=will.user_properties,
    )
    return Will(message, will.will_delay_interval)


def _is_plain(topic: str) -> bool:
    return bool(topic) and "+" not in topic and "#" not in topic


def properties_fault(packet: mqtt5.PublishPacket, limits: Limits) -> Cause | None:
    """The rule or quota that the properties of a PUBLISH break, or None."""
    if packet.response_topic is not None and not _is_plain(packet.response_topic):
        # MQTT-3.3.2-14: the Response Topic must not contain wildcards.
        return Cause.PROTOCOL_ERROR
    if packet.subscription_ids:
        # MQTT-3.3.4-6: only a server sends Subscription Identifiers in a PUBLISH.
        return Cause.PROTOCOL_ERROR
    return _broken_size(packet, limits)


def _broken_size(packet: mqtt5.PublishPacket | mqtt5.Will, limits: Limits) -> Cause | None:
    user_properties_bytes = sum(
        len(name.encode()) + len(value.encode()) for name, value in packet.user_properties
    )
    if user_properties_bytes > limits.user_properties_bytes:
        return Cause.QUOTA_USER_PROPERTIES
    if len(packet.correlation_data or b"") > limits.correlation_data_bytes:
        return Cause.QUOTA_CORRELATION_DATA
    if len((packet.content_type or "").encode()) > limits.content_type_bytes:
        return Cause.QUOTA_CONTENT_TYPE
    return None
