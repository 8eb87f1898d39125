"""What the device SDK reports when something fails, in words a person can act on.

Owns the texts. Knows the SDK's error names and packets, and nothing about sessions.
"""

from __future__ import annotations

from typing import Any, Final

_HANGUP: Final = "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"
_TEXTS: Final = {
    _HANGUP: (
        "the broker closed the connection without a CONNACK: it does not know the certificate,"
        " or the policy does not allow iot:Connect for this client id"
    ),
    "AWS_IO_SOCKET_CLOSED": (
        "the broker closed the connection during the TLS handshake: it does not trust the"
        " certificate, or the port is no MQTT port"
    ),
    "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE": (
        "the TLS handshake failed: the broker's certificate is not signed by broker.ca, or does"
        " not carry the name broker.endpoint"
    ),
    "AWS_IO_TLS_NEGOTIATION_TIMEOUT": "the TLS handshake got no answer",
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "nothing listens there: the connection was refused",
    "AWS_IO_SOCKET_TIMEOUT": "nothing answers there: the connection attempt timed out",
    "AWS_IO_DNS_INVALID_NAME": "the host name cannot be resolved",
    "AWS_ERROR_MQTT5_CONNACK_TIMEOUT": "the broker accepted TLS but sent no CONNACK",
    "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT": "the broker stopped answering",
    "AWS_ERROR_MQTT5_USER_REQUESTED_STOP": "the agent closed the connection",
}


def failure_text(data: Any) -> str:
    """Why an attempt to connect failed.

    Args:
        data: The SDK's `LifecycleConnectFailureData`.
    """
    connack = data.connack_packet
    if connack is not None:
        return f"the broker refused the connection: {connack.reason_code.name}"
    return error_text(data.exception)


def disconnect_text(data: Any) -> str:
    """Why a connection that stood has ended.

    Args:
        data: The SDK's `LifecycleDisconnectData`.
    """
    packet = data.disconnect_packet
    if packet is not None:
        return f"the broker disconnected: {packet.reason_code.name}"
    if getattr(data.exception, "name", "") == _HANGUP:
        # The same error as before CONNACK, but here the broker had accepted the client.
        return "the connection broke"
    return error_text(data.exception)


def error_text(error: BaseException) -> str:
    """An SDK error as a person can read it; one without a text here keeps the SDK's own."""
    name = getattr(error, "name", "")
    if name in _TEXTS:
        return _TEXTS[name]
    text = str(getattr(error, "message", error)).rstrip(".")
    return f"{text} ({name})" if name else text
