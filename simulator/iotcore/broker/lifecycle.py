"""Lifecycle events: what AWS IoT publishes when clients come, go and subscribe.

Documents as in the developer guide, "Lifecycle events": `$aws/events/presence/...` and
`$aws/events/subscriptions/...`. Owns the version number that orders the events of one client id.
No events are published for client ids that contain `#` or `+`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.connection import Connection


class DisconnectReason(StrEnum):
    """Values of `disconnectReason`."""

    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CLIENT_ERROR = "CLIENT_ERROR"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    FORBIDDEN_ACCESS = "FORBIDDEN_ACCESS"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"
    API_INITIATED_DISCONNECT = "API_INITIATED_DISCONNECT"
    THROTTLED = "THROTTLED"
    WEBSOCKET_TTL_EXPIRATION = "WEBSOCKET_TTL_EXPIRATION"
    CUSTOMAUTH_TTL_EXPIRATION = "CUSTOMAUTH_TTL_EXPIRATION"


class LifecycleEvents:
    """Builds the events of one broker.

    Args:
        unix_s_at_zero: Unix time at the moment the broker's `now_s` was 0.
    """

    def __init__(self, unix_s_at_zero: float) -> None:
        self._unix_s_at_zero = unix_s_at_zero
        self._versions: dict[str, int] = {}

    def next_version(self, client_id: str) -> int:
        """The version number of a new connection: one more than that of the last one."""
        version = self._versions.get(client_id, -1) + 1
        self._versions[client_id] = version
        return version

    def forget(self, client_id: str) -> None:
        """Start the version numbers of a client id anew."""
        self._versions.pop(client_id, None)

    def connected(self, connection: Connection, now_s: float) -> Message | None:
        """`presence/connected`."""
        return self._presence("connected", connection, now_s, ipAddress=connection.peer.source_ip)

    def disconnected(
        self, connection: Connection, reason: DisconnectReason, now_s: float
    ) -> Message | None:
        """`presence/disconnected`."""
        return self._presence(
            "disconnected",
            connection,
            now_s,
            clientInitiatedDisconnect=reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT,
            disconnectReason=reason.value,
        )

    def connect_failed(self, connection: Connection, now_s: float) -> Message | None:
        """`presence/connect_failed`, for a CONNECT the policies refuse."""
        if not _has_events(connection.client_id):
            return None
        return self._message(
            f"$aws/events/presence/connect_failed/{connection.client_id}",
            {
                **self._who("connect_failed", connection, now_s),
                "ipAddress": connection.peer.source_ip,
                "connectFailureReason": "AUTHORIZATION_FAILED",
            },
            now_s,
        )

    def subscribed(
        self, connection: Connection, topics: Sequence[str], now_s: float
    ) -> Message | None:
        """`subscriptions/subscribed`."""
        return self._subscriptions("subscribed", connection, topics, now_s)

    def unsubscribed(
        self, connection: Connection, topics: Sequence[str], now_s: float
    ) -> Message | None:
        """`subscriptions/unsubscribed`."""
        return self._subscriptions("unsubscribed", connection, topics, now_s)

    def _presence(
        self, event: str, connection: Connection, now_s: float, **details: object
    ) -> Message | None:
        if not _has_events(connection.client_id):
            return None
        document = self._who(event, connection, now_s) | details
        if connection.exclusive_thing is not None:
            document["thingName"] = connection.exclusive_thing
        document["versionNumber"] = connection.version_number
        return self._message(
            f"$aws/events/presence/{event}/{connection.client_id}", document, now_s
        )

    def _subscriptions(
        self, event: str, connection: Connection, topics: Sequence[str], now_s: float
    ) -> Message | None:
        if not _has_events(connection.client_id):
            return None
        document = self._who(event, connection, now_s)
        document["topics"] = list(topics)
        return self._message(
            f"$aws/events/subscriptions/{event}/{connection.client_id}", document, now_s
        )

    def _who(self, event: str, connection: Connection, now_s: float) -> dict[str, object]:
        principal = connection.peer.principal
        return {
            "clientId": connection.client_id,
            "timestamp": int((self._unix_s_at_zero + now_s) * 1000),
            "eventType": event,
            "sessionIdentifier": connection.session_identifier,
            "principalIdentifier": principal.identifier if principal is not None else "",
        }

    @staticmethod
    def _message(topic: str, document: dict[str, object], now_s: float) -> Message:
        return Message(topic, msgspec.json.encode(document), 1, now_s)


def _has_events(client_id: str) -> bool:
    return "#" not in client_id and "+" not in client_id
