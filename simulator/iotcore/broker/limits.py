"""Every bound of the broker in one value object.

The defaults are the ones AWS publishes ("AWS IoT Core endpoints and quotas", message broker and
protocol limits) plus the memory bounds a process on one machine needs. Knows nothing about how a
bound is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.iotcore.broker.wire import MQTT_5


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one broker.

    Attributes:
        packet_bytes: Largest MQTT packet (146 KB). Larger: the connection ends; see
            `Choices.packet_code`.
        payload_bytes: Largest PUBLISH payload (128 KB). Larger: the connection ends; see
            `Choices.payload_code`.
        client_id_bytes: Longest client id. Longer: CONNACK 0x85, or return code 2.
        client_packet_bytes_min: Smallest Maximum Packet Size a client may announce.
        topic_bytes: Longest topic name or filter. Longer: see `Choices.oversized_topic_code` and
            `Choices.oversized_filter_code`.
        topic_slashes: Slashes in a topic name or filter. More: the same.
        receive_maximum: QoS 1 publishes of a client without PUBACK, advertised. More: DISCONNECT
            0x93; a client of MQTT 3.1.1 is not read until it takes its PUBACKs.
        unacknowledged_out: QoS 1 publishes to a client without PUBACK. More wait.
        topic_alias_maximum: Inbound topic aliases per connection.
        filters_per_subscribe: Filters in one SUBSCRIBE. More: see
            `Choices.do_too_many_filters_end`.
        subscriptions_per_connection: Filters per session. Beyond: 0x97 for that filter, or 0x80.
        user_properties_bytes: Sum over names and values of one packet.
        correlation_data_bytes: Length of Correlation Data.
        content_type_bytes: Length of Content Type.
        message_expiry_max_s: Message Expiry Interval is lowered to this; 0 becomes 1.
        keep_alive_min_s: Shorter keep-alives are raised to this.
        keep_alive_max_s: Zero and longer keep-alives become this.
        session_expiry_max_s: Session Expiry Interval is lowered to this; persistent sessions of
            MQTT 3.1.1 have it.
        retry_window_s: A QoS 1 delivery without PUBACK is given up after this.
        retry_window_311_s: The same for a client of MQTT 3.1.1.
        connect_timeout_s: A connection without CONNECT is closed after this.
        presence_memory_s: The lifecycle version number of an offline client is kept for this.
        queued_messages: Per session, waiting for a PUBACK slot or for the client to return.
            Drop policy: the newest is dropped, the stored ones stay.
        queued_messages_of_group: Per shared group, waiting for any member. The same policy.
        queued_bytes: The same bounds in payload, topic and property bytes.
        queued_bytes_total: The same bound over all sessions and groups.
        retained_messages: Topics with a stored message. Drop policy: a new topic is not stored.
        retained_bytes: The same bound in payload and topic bytes.
        sessions: Sessions, online or stored. Beyond: CONNACK 0x97.
        outgoing_soft_bytes: Unsent bytes of a slow reader above which QoS 0 is dropped for it.
        outgoing_hard_bytes: Unsent bytes of a slow reader above which it is disconnected.
    """

    packet_bytes: int = 149_504
    payload_bytes: int = 131_072
    client_id_bytes: int = 128
    client_packet_bytes_min: int = 512
    topic_bytes: int = 256
    topic_slashes: int = 7
    receive_maximum: int = 100
    unacknowledged_out: int = 100
    topic_alias_maximum: int = 8
    filters_per_subscribe: int = 8
    subscriptions_per_connection: int = 50
    user_properties_bytes: int = 8_192
    correlation_data_bytes: int = 8_192
    content_type_bytes: int = 256
    message_expiry_max_s: int = 604_800
    keep_alive_min_s: int = 30
    keep_alive_max_s: int = 1_200
    session_expiry_max_s: int = 3_600
    retry_window_s: float = 960.0
    retry_window_311_s: float = 3_600.0
    connect_timeout_s: float = 10.0
    presence_memory_s: float = 3_600.0
    queued_messages: int = 10_000
    queued_messages_of_group: int = 500_000
    queued_bytes: int = 32 * 1024 * 1024
    queued_bytes_total: int = 512 * 1024 * 1024
    retained_messages: int = 500_000
    retained_bytes: int = 256 * 1024 * 1024
    sessions: int = 500_000
    outgoing_soft_bytes: int = 1024 * 1024
    outgoing_hard_bytes: int = 8 * 1024 * 1024

    def keep_alive_s(self, requested_s: int) -> int:
        """The keep-alive in force for a requested one (developer guide, "MQTT keep-alive").

        Args:
            requested_s: Keep Alive of the CONNECT packet.
        """
        if requested_s == 0:
            return self.keep_alive_max_s
        return min(max(requested_s, self.keep_alive_min_s), self.keep_alive_max_s)

    def retry_s(self, level: int) -> float:
        """How long a QoS 1 delivery waits for its PUBACK, by protocol level."""
        return self.retry_window_s if level == MQTT_5 else self.retry_window_311_s

    def message_expiry_s(self, requested_s: int | None) -> int | None:
        """The message expiry in force for a requested one; None means the message never expires."""
        if requested_s is None:
            return None
        return min(max(requested_s, 1), self.message_expiry_max_s)
