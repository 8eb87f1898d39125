"""The sizes and counts of a quota table as the broker's `Limits`. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.broker.limits import Limits

if TYPE_CHECKING:
    from simulator.quotas.table import QuotaTable

_SIXTEEN_BITS: Final = 65_535
_SECONDS: Final = 4_294_967_295
_PACKET_BYTES: Final = 268_435_455
_COUNT: Final = 2**53

# Quota -> the member of `Limits`, the least and the most that MQTT 5.0 or the broker can express.
_MEMBERS: Final = {
    "client-id-bytes": ("client_id_bytes", 0, _SIXTEEN_BITS),
    "keep-alive-least": ("keep_alive_min_s", 0, _SIXTEEN_BITS),
    "keep-alive-most": ("keep_alive_max_s", 1, _SIXTEEN_BITS),
    "session-expiry": ("session_expiry_max_s", 0, _SECONDS),
    "unacknowledged-in-per-client": ("receive_maximum", 1, _SIXTEEN_BITS),
    # Packet ids in flight must leave some free.
    "unacknowledged-out-per-client": ("unacknowledged_out", 1, _SIXTEEN_BITS - 1),
    "qos1-retry": ("retry_window_s", 1, _SECONDS),
    "payload-bytes": ("payload_bytes", 0, _PACKET_BYTES),
    "packet-bytes": ("packet_bytes", 512, _PACKET_BYTES),
    "client-packet-bytes-least": ("client_packet_bytes_min", 1, _PACKET_BYTES),
    "topic-bytes": ("topic_bytes", 0, _SIXTEEN_BITS),
    "topic-slashes": ("topic_slashes", 0, _SIXTEEN_BITS),
    "topic-aliases": ("topic_alias_maximum", 0, _SIXTEEN_BITS),
    "user-properties-bytes": ("user_properties_bytes", 0, _PACKET_BYTES),
    "correlation-data-bytes": ("correlation_data_bytes", 0, _SIXTEEN_BITS),
    "content-type-bytes": ("content_type_bytes", 0, _SIXTEEN_BITS),
    "message-expiry": ("message_expiry_max_s", 1, _SECONDS),
    "subscriptions-per-connection": ("subscriptions_per_connection", 0, _COUNT),
    "filters-per-subscribe": ("filters_per_subscribe", 1, _COUNT),
    "retained-messages": ("retained_messages", 0, _COUNT),
}


def limits_in(table: QuotaTable, base: Limits | None = None) -> Limits:
    """The bounds of a table.

    Args:
        table: Where they come from. `inf` is the most that can be expressed.
        base: Bounds that no quota is about, such as memory.

    Raises:
        ConfigurationError: A limit is outside of what can be expressed, or no whole number.
    """
    members = {}
    for quota_id, (member, least, most) in _MEMBERS.items():
        limit = table.limit(quota_id)
        if limit == math.inf:
            limit = most
        if not least <= limit <= most or limit != int(limit):
            raise ConfigurationError(
                f"{table.name}: the limit of {quota_id} is {limit:g}",
                f"give a whole number from {least:,} to {most:,}",
            )
        members[member] = int(limit)
    limits = replace(base or Limits(), **members)
    if limits.keep_alive_min_s > limits.keep_alive_max_s:
        raise ConfigurationError(
            f"{table.name}: keep-alive-least is above keep-alive-most",
            "give a smaller keep-alive-least",
        )
    return limits
