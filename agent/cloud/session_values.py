"""What goes into a cloud session and what comes out of it: options, states, messages, counts.

Values only; nothing is opened, sent or checked here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent.cloud.publish_window import Message


class LinkState(Enum):
    """What the session knows of its connection."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the broker.

    Attributes:
        topic: Topic it was published on.
        payload: Its bytes, at most 128 KB.
        message_expiry_s: Remaining lifetime the broker announced, or `None`.
        content_type: MIME type, or `None`.
        response_topic: Where the sender wants the answer, or `None`.
        correlation_data: To be returned with the answer, or `None`.
    """

    topic: str
    payload: bytes
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None


@dataclass(slots=True)
class SessionCounters:
    """What happened on the session since it was started."""

    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    failed: int = 0
    received: int = 0
    connects: int = 0
    connect_failures: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: str, count: int = 1) -> None:
        """Count messages dropped for `cause`."""
        self.dropped[cause] = self.dropped.get(cause, 0) + count


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to sign in and how patient to be.

    Attributes:
        endpoint: Host name of the broker; the server certificate must carry it.
        port: 8883, or 443 (then ALPN `x-amzn-mqtt-ca` is sent), or a stand-in's port.
        client_id: MQTT client id; on AWS the thing name.
        certificate: PEM file of the device certificate.
        private_key: PEM file of its key.
        ca: PEM file of the roots that sign the server, or `None` for the system's.
        keep_alive_s: MQTT keep-alive.
        ping_timeout_s: How long to wait for PINGRESP.
        connack_timeout_s: How long to wait for CONNACK once TLS stands.
        session_expiry_s: How long the broker keeps the session after a loss.
        reconnect_min_s: First delay of the backoff.
        reconnect_max_s: Cap of the backoff.
        in_flight: QoS 1 publishes without PUBACK at once.
        waiting_bytes: Cap of what waits behind them; the oldest is dropped first.
        will: Last will, or `None`.
        acknowledge: Whether incoming QoS 1 messages are acknowledged after their handler returned.
            Without it the broker keeps them for the next connection.
    """

    endpoint: str
    port: int
    client_id: str
    certificate: Path
    private_key: Path
    ca: Path | None
    keep_alive_s: int = 30
    ping_timeout_s: float = 10
    connack_timeout_s: float = 10
    session_expiry_s: int = 3600
    reconnect_min_s: float = 1
    reconnect_max_s: float = 120
    in_flight: int = 50
    waiting_bytes: int = 4 << 20
    will: Message | None = None
    acknowledge: bool = True
