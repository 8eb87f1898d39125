"""Which topic names and topic filters AWS IoT Core takes, and which of its reserved ones.

Pure functions on strings. Sources: AWS IoT Core developer guide "MQTT topics", "Reserved topics",
"Shared subscriptions"; AWS IoT Core quotas (256 bytes, 7 slashes); MQTT 5.0 section 4.7. Knows
nothing about who may use a topic.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.iotcore.broker.counters import Cause

TOPIC_BYTES_MAX = 256
SLASHES_MAX = 7
SHARE_NAME_CHARACTERS_MAX = 128
BASIC_INGEST = "$aws/rules/"
SHARE = "$share/"


def topic_fault(
    topic: str, bytes_max: int = TOPIC_BYTES_MAX, slashes_max: int = SLASHES_MAX
) -> str | None:
    """Why a PUBLISH to this topic name is invalid, or None when it is valid.

    The three leading levels of Basic Ingest (`$aws/rules/<rule>/`) count neither as bytes nor as
    slashes. Other `$aws` topics are exempt from the slash limit because the service's own reach
    eight (`$aws/commands/things/t/executions/e/response/accepted/json`).
    """
    if not topic:
        return "the topic is empty"
    if "+" in topic or "#" in topic:
        return "a topic name cannot contain the wildcards + and #"
    if topic.startswith(BASIC_INGEST):
        # The rule alone is a topic too (AWS IoT SiteWise user guide, "Ingest data using AWS IoT
        # Core rules": "you send a message to the topic $aws/rules/SiteWiseWindFarmRule").
        rule, slash, topic = topic[len(BASIC_INGEST) :].partition("/")
        if not rule or (slash and not topic):
            return "Basic Ingest needs $aws/rules/<rule> or $aws/rules/<rule>/<topic>"
    return _text_fault(topic, bytes_max, slashes_max)


def filter_fault(
    topic_filter: str, bytes_max: int = TOPIC_BYTES_MAX, slashes_max: int = SLASHES_MAX
) -> str | None:
    """Why a topic filter is invalid, or None when it is valid.

    Args:
        topic_filter: The filter without a `$share/<name>/` prefix; see `split_shared`.
        bytes_max: Most bytes.
        slashes_max: Most slashes.
    """
    if not topic_filter:
        return "the filter is empty"
    levels = topic_filter.split("/")
    for number, level in enumerate(levels, start=1):
        if "#" in level and (level != "#" or number != len(levels)):
            return "# must stand alone in the last level"
        if "+" in level and level != "+":
            return "+ must stand alone in its level"
    return _text_fault(topic_filter, bytes_max, slashes_max)


def broken_size(
    text: str, bytes_max: int = TOPIC_BYTES_MAX, slashes_max: int = SLASHES_MAX
) -> Cause | None:
    """The quota on sizes that a topic or filter breaks, as the client wrote it."""
    if text.startswith(BASIC_INGEST):
        text = text[len(BASIC_INGEST) :].partition("/")[2]
    elif text.startswith(SHARE):
        text = text[len(SHARE) :].partition("/")[2]
    return _broken_size(text, bytes_max, slashes_max)


def _broken_size(text: str, bytes_max: int, slashes_max: int) -> Cause | None:
    # Four bytes are the most one character takes, so short text needs no encoding to be sure.
    if len(text) * 4 > bytes_max and len(text.encode()) > bytes_max:
        return Cause.QUOTA_TOPIC_BYTES
    if text.count("/") > slashes_max and not text.startswith("$aws/"):
        return Cause.QUOTA_TOPIC_SLASHES
    return None


def _text_fault(text: str, bytes_max: int, slashes_max: int) -> str | None:
    if "\x00" in text:
        return "the character U+0000 is not allowed"
    match _broken_size(text, bytes_max, slashes_max):
        case None:
            return None
        case Cause.QUOTA_TOPIC_BYTES:
            return f"longer than {bytes_max} bytes"
        case _:
            return f"more than {slashes_max} slashes"


class SharedFilter(NamedTuple):
    """A subscription filter taken apart.

    Attributes:
        share_name: None for an ordinary subscription.
        topic_filter: The filter itself.
    """

    share_name: str | None
    topic_filter: str


def split_shared(pattern: str) -> SharedFilter | None:
    """Split `$share/<name>/<filter>`; None when it starts like one and is not well formed."""
    if not pattern.startswith(SHARE):
        return SharedFilter(None, pattern)
    name, slash, topic_filter = pattern[len(SHARE) :].partition("/")
    if not name or not slash or not topic_filter or "+" in name or "#" in name:
        return None
    if len(name) > SHARE_NAME_CHARACTERS_MAX:
        return None
    return SharedFilter(name, topic_filter)


# Reserved topics of the services a device talks to, as patterns with `+` for one level and `#` for
# the rest (developer guide, "Reserved topics"). A PUBLISH must match one of the first list, a
# SUBSCRIBE must be able to match a topic of the second.
_THING = "$aws/things/+/"
_PUBLISHABLE = (
    "$aws/rules/+",
    "$aws/rules/+/#",
    f"{_THING}shadow/get",
    f"{_THING}shadow/update",
    f"{_THING}shadow/delete",
    f"{_THING}shadow/name/+/get",
    f"{_THING}shadow/name/+/update",
    f"{_THING}shadow/name/+/delete",
    f"{_THING}jobs/get",
    f"{_THING}jobs/start-next",
    f"{_THING}jobs/+/get",
    f"{_THING}jobs/+/update",
    f"{_THING}streams/+/describe/+",
    f"{_THING}streams/+/get/+",
    f"{_THING}defender/metrics/+",
    "$aws/commands/things/+/executions/+/response/+",
    "$aws/commands/clients/+/executions/+/response/+",
    "$aws/certificates/create/+",
    "$aws/certificates/create-from-csr/+",
    "$aws/provisioning-templates/+/provision/+",
)
_ANSWERS = ("accepted", "rejected")
_SUBSCRIBABLE = (
    "$aws/events/#",
    f"{_THING}shadow/#",
    f"{_THING}jobs/notify",
    f"{_THING}jobs/notify-next",
    *(f"{_THING}jobs/get/{answer}" for answer in _ANSWERS),
    *(f"{_THING}jobs/start-next/{answer}" for answer in _ANSWERS),
    *(f"{_THING}jobs/+/get/{answer}" for answer in _ANSWERS),
    *(f"{_THING}jobs/+/update/{answer}" for answer in _ANSWERS),
    f"{_THING}streams/+/description/+",
    f"{_THING}streams/+/data/+",
    f"{_THING}streams/+/rejected/+",
    *(f"{_THING}defender/metrics/+/{answer}" for answer in _ANSWERS),
    *(
        f"$aws/commands/{kind}/+/executions/+/{tail}"
        for kind in ("things", "clients")
        for tail in (
            "request",
            "request/json",
            "request/cbor",
            "response/accepted",
            "response/accepted/json",
            "response/accepted/cbor",
            "response/rejected",
            "response/rejected/json",
            "response/rejected/cbor",
        )
    ),
    *(f"$aws/certificates/create/+/{answer}" for answer in _ANSWERS),
    *(f"$aws/certificates/create-from-csr/+/{answer}" for answer in _ANSWERS),
    *(f"$aws/provisioning-templates/+/provision/+/{answer}" for answer in _ANSWERS),
)
_PUBLISHABLE_LEVELS = tuple(tuple(pattern.split("/")) for pattern in _PUBLISHABLE)
_SUBSCRIBABLE_LEVELS = tuple(tuple(pattern.split("/")) for pattern in _SUBSCRIBABLE)


def is_reserved(topic: str) -> bool:
    """Whether the topic or filter belongs to the service and not to the account."""
    return topic.startswith("$")


def is_publishable_reserved(topic: str) -> bool:
    """Whether a client may publish to this `$` topic at all, policies aside."""
    levels = tuple(topic.split("/"))
    return any(_overlap(levels, pattern) for pattern in _PUBLISHABLE_LEVELS)


def is_subscribable_reserved(topic_filter: str) -> bool:
    """Whether a client may subscribe to this `$` filter at all, policies aside.

    The filter must be able to match a documented topic, its first two levels must be literal, and
    the payload format of a command (`…/request/+`) must be named: devices that put a wildcard
    there report that the service ends the connection.
    """
    levels = tuple(topic_filter.split("/"))
    if any(level in {"+", "#"} for level in levels[:2]):
        return False
    if levels[1:2] == ("commands",) and len(levels) > _COMMAND_FORMAT and levels[-1] in {"+", "#"}:
        return False
    return any(_overlap(levels, pattern) for pattern in _SUBSCRIBABLE_LEVELS)


_COMMAND_FORMAT = 7
"""Level of the payload format in `$aws/commands/things/<t>/executions/<e>/request/<format>`."""


def _overlap(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether some topic matches both patterns. `#` stands for one level or more."""
    for position, (left, right) in enumerate(zip(first, second, strict=False)):
        if left == "#":
            return len(second) > position
        if right == "#":
            return len(first) > position
        if left not in {right, "+"} and right != "+":
            return False
    return len(first) == len(second)
