"""Why a connection of the AWS IoT Device SDK failed or ended, as reports show it.

Owns the words, which are those of the engine's own clients where both can say the same, so that
figures of both can be compared. Knows nothing about clients.
"""

from __future__ import annotations

from typing import Any, Final

from simulator.load.connection.link import CLOSED_BY_PEER
from simulator.load.connection.reason_codes import reason_name

_CAUSES: Final = {
    "AWS_ERROR_MQTT_UNEXPECTED_HANGUP": CLOSED_BY_PEER,
    "AWS_IO_SOCKET_CLOSED": CLOSED_BY_PEER,
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "TCP: refused",
    "AWS_IO_SOCKET_TIMEOUT": "TCP: timed out",
    "AWS_IO_SOCKET_NO_ROUTE_TO_HOST": "TCP: host unreachable",
    "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT": "timed out: no PINGRESP",
}
OWN_STOP: Final = "SDK: AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
"""What becomes of an operation when its client is stopped."""

_CLOSED_IN_HANDSHAKE: Final = "TLS: closed by the peer during the handshake"


def failure_cause(data: Any, *, has_tls: bool) -> str:
    """Why an attempt to connect failed, as reports show it.

    Args:
        data: The SDK's `LifecycleConnectFailureData`.
        has_tls: Whether the connection has TLS.
    """
    connack = data.connack_packet
    if connack is not None:
        return _packet_cause("CONNACK", connack.reason_code)
    if has_tls and getattr(data.exception, "name", "") == "AWS_IO_SOCKET_CLOSED":
        # Once TLS stands the SDK says "hang-up" instead.
        return _CLOSED_IN_HANDSHAKE
    return error_cause(data.exception)


def disconnect_cause(data: Any) -> str:
    """Why a connection that stood has ended.

    Args:
        data: The SDK's `LifecycleDisconnectData`.
    """
    packet = data.disconnect_packet
    if packet is not None:
        return _packet_cause("DISCONNECT", packet.reason_code)
    return error_cause(data.exception)


def error_cause(error: BaseException | None) -> str:
    """An error of the SDK by its name, or in the words that the engine has for it."""
    name = getattr(error, "name", "") or type(error).__name__
    return _CAUSES.get(name, f"SDK: {name}")


def _packet_cause(packet: str, code: Any) -> str:
    if code is None:
        return f"{packet} with a reason the SDK does not know"
    return f"{packet} 0x{int(code):02X} {reason_name(int(code))}"
