"""Job documents and targets: what CreateJob takes and what a device gets to see.

A document is any JSON of at most 32,768 bytes. Devices get it as JSON over MQTT and as text over
HTTP, with the placeholders for presigned URLs replaced when they fetch it (developer guide, "Job
documents" and "Presigned URLs"). Object members that are null do not reach a device over MQTT, as
has been observed of the service. Knows nothing about jobs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from simulator.iotcore.services.jobs_requests import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT_BYTES_MAX: Final = 32_768
DEPTH_MAX: Final = 100
"""Containers inside containers. A choice: the service takes more."""
TARGETS_MAX: Final = 100
URL_EXPIRY_S: Final = 3_600

_PLACEHOLDER: Final = re.compile(r"\$\{aws:iot:s3-presigned-url(?:-v2)?:(https://[^}]*)\}")
_TARGET: Final = re.compile(
    r"arn:aws[a-z-]*:iot:[a-z0-9-]*:[0-9]*:(thing|thinggroup)/([a-zA-Z0-9:_-]{1,128})"
)


class Target(NamedTuple):
    """A target of a job.

    Attributes:
        arn: Its ARN.
        is_group: Whether it is a thing group.
        name: Name of the thing or thing group.
    """

    arn: str
    is_group: bool
    name: str


def read_target(arn: str) -> Target:
    """Take a target ARN apart.

    Raises:
        JobsFailure: It names neither a thing nor a thing group.
    """
    match = _TARGET.fullmatch(arn)
    if match is None:
        raise invalid(f"Invalid target arn: {arn}")
    return Target(arn, match[1] == "thinggroup", match[2])


def check_document(text: str, where: str) -> None:
    """Make sure that a device can get this document.

    Args:
        text: The document.
        where: Where it is from, for the message.

    Raises:
        JobsFailure: It is too long, no JSON, or nested too deep.
    """
    if len(text.encode(errors="surrogatepass")) > DOCUMENT_BYTES_MAX:
        raise invalid(f"the job document has more than {DOCUMENT_BYTES_MAX} bytes")
    try:
        _without_nulls(msgspec.json.decode(text), DEPTH_MAX)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(f"Job document located at {where} is an invalid JSON document.") from error


def has_placeholders(text: str) -> bool:
    """Whether the document asks for presigned URLs."""
    return _PLACEHOLDER.search(text) is not None


def document_over_http(text: str, sign: Callable[[str], str]) -> str:
    """The document as a device gets it in an HTTP answer.

    Args:
        text: The document as it was given.
        sign: Makes a presigned URL of an object's URL.
    """

    def replace(match: re.Match[str]) -> str:
        # Inside a JSON string, hence escaped and without the quotes.
        return msgspec.json.encode(sign(match[1])).decode()[1:-1]

    return _PLACEHOLDER.sub(replace, text)


def document_over_mqtt(text: str, sign: Callable[[str], str]) -> Any:
    """The document as a device gets it in an MQTT answer: a value, not text."""
    return _without_nulls(msgspec.json.decode(document_over_http(text, sign)), DEPTH_MAX)


def _without_nulls(value: Any, levels: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        raise ValueError(f"nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, list):
        return [_without_nulls(entry, levels - 1) for entry in value]
    return {
        key: _without_nulls(entry, levels - 1) for key, entry in value.items() if entry is not None
    }
