"""What the SDK reports, in words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from awscrt.exceptions import AwsCrtError, from_code

from agent.cloud.failures import disconnect_text, error_text, failure_text


def sdk_error(name: str, message: str = "what the SDK says.") -> AwsCrtError:
    """An error as the SDK makes it."""
    return AwsCrtError(code=1, name=name, message=message)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP", "does not know the certificate"),
        ("AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", "broker.ca"),
        ("AWS_IO_SOCKET_CLOSED", "TLS handshake"),
        ("AWS_IO_DNS_INVALID_NAME", "host name"),
        ("AWS_ERROR_MQTT5_CONNACK_TIMEOUT", "CONNACK"),
    ],
)
def test_known_errors_are_sentences(name: str, part: str) -> None:
    """An error with a known cause is explained without the SDK's vocabulary."""
    text = failure_text(SimpleNamespace(connack_packet=None, exception=sdk_error(name)))

    assert part in text
    assert "AWS_" not in text


def test_an_unknown_error_keeps_its_name() -> None:
    """What has no sentence here shows the SDK's text and name, to search for."""
    assert error_text(sdk_error("AWS_IO_NEW")) == "what the SDK says (AWS_IO_NEW)"
    assert error_text(RuntimeError("plain")) == "plain"


def test_a_broken_connection_is_told_from_a_refused_one() -> None:
    """A hang-up after CONNACK says nothing about certificates and policies."""
    broken = SimpleNamespace(
        disconnect_packet=None, exception=sdk_error("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    )

    assert disconnect_text(broken) == "the connection broke"


def test_the_texts_name_errors_that_the_sdk_has() -> None:
    """Each key is the name of an error of the installed SDK, looked up by its number."""
    # Numbers of aws-c-io start at 1024, those of aws-c-mqtt at 5120 (aws-c-common, error.h).
    names = {
        getattr(from_code(code), "name", "") for code in (*range(1024, 1200), *range(5120, 5250))
    }

    from agent.cloud import failures  # noqa: PLC0415 - the table is private to the module

    assert set(failures._TEXTS) <= names
