"""What the broker did and what it dropped or refused, by cause."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why something was refused, dropped or ended. The values are the names users see."""

    CERTIFICATE_NOT_ACTIVE = "refused_certificate_not_active"
    CONNECT_DENIED = "refused_connect_denied"
    CONNECT_INVALID = "refused_connect_invalid"
    CONNECT_THROTTLED = "refused_connect_throttled"
    CONNECT_TIMEOUT = "refused_no_connect"
    NOT_MQTT = "refused_not_mqtt"
    PROTOCOL_VERSION = "refused_protocol_version"
    PUBLISH_DENIED = "publish_denied"
    PUBLISH_TOPIC_INVALID = "publish_topic_invalid"
    PUBLISH_LIMIT = "publish_over_limit"
    PUBLISH_THROTTLED = "publish_throttled"
    SUBSCRIBE_DENIED = "subscribe_denied"
    SUBSCRIBE_FILTER_INVALID = "subscribe_filter_invalid"
    SUBSCRIBE_LIMIT = "subscribe_over_limit"
    RECEIVE_DENIED = "receive_denied"
    DROPPED_SLOW_READER = "dropped_slow_reader"
    DROPPED_QUEUE_FULL = "dropped_queue_full"
    DROPPED_EXPIRED = "dropped_expired"
    DROPPED_TOO_LARGE = "dropped_too_large_for_client"
    DROPPED_UNACKNOWLEDGED = "dropped_unacknowledged"
    DROPPED_THROTTLED = "dropped_throttled"
    RETAINED_FULL = "retained_store_full"
    SLOW_READER_CLOSED = "closed_slow_reader"
    MALFORMED = "closed_malformed_packet"
    PROTOCOL_ERROR = "closed_protocol_error"
    PACKET_TOO_LARGE = "closed_packet_too_large"
    KEEP_ALIVE = "closed_keep_alive"
    TAKEN_OVER = "closed_taken_over"
    DEFECT = "closed_defect"


class Counters:
    """Running totals of one broker. They only rise, except `connections`."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "causes",
        "connects",
        "disconnects",
        "messages_queued",
        "publishes_in",
        "publishes_out",
        "subscribes",
    )

    def __init__(self) -> None:
        self.connects = 0
        self.disconnects = 0
        self.publishes_in = 0
        self.publishes_out = 0
        self.subscribes = 0
        self.messages_queued = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.causes: dict[Cause, int] = {}

    def count(self, cause: Cause) -> None:
        """Count one event of this cause."""
        self.causes[cause] = self.causes.get(cause, 0) + 1

    def as_dict(self) -> dict[str, int]:
        """All totals by name; causes that never happened are left out."""
        totals = {name: getattr(self, name) for name in self.__slots__ if name != "causes"}
        return totals | {cause.value: count for cause, count in sorted(self.causes.items())}
