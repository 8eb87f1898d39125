"""The names of the public contract: every topic the agent publishes on or listens to.

Owns how topics are built, checked against AWS IoT Core's limits, and read back. It knows no
payload, no client and no clock. The thing name stands at a fixed level of every topic, so that IoT
policies and rules can refer to it.

Limits: AWS IoT Core endpoints and quotas ("Maximum topic size", 256 bytes of UTF-8; "Maximum
number of slashes in topic and topic filter", 7; the three leading levels of a Basic Ingest topic
count towards neither). Reserved command topics: AWS IoT Core developer guide, "Reserved topics"
and "AWS IoT Commands".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from certs.errors import ConfigurationError

MAX_TOPIC_BYTES: Final = 256
MAX_TOPIC_SLASHES: Final = 7
MAX_EXECUTION_ID_LENGTH: Final = 64
# The longest stream name a topic space must have room for.
MAX_STREAM_LENGTH: Final = 32

_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}", re.ASCII)
_RULE = re.compile(r"[a-zA-Z0-9_]{1,128}", re.ASCII)
_STREAM = re.compile(rf"[a-z0-9-]{{1,{MAX_STREAM_LENGTH}}}", re.ASCII)
_EXECUTION_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_EXECUTION_ID_LENGTH}}}", re.ASCII)


class CommandProtocol(StrEnum):
    """Which of the two command transports a request came through and its answer goes back to."""

    AWS = "aws"
    """AWS IoT Commands on its reserved topics."""

    PLAIN = "plain"
    """The same documents on ordinary topics, for brokers without that service."""


class TopicKind(Enum):
    """What an incoming topic is about."""

    REQUEST = "request"
    """A discrete command; `execution_id` and `protocol` are set."""

    RESPONSE_ACCEPTED = "response_accepted"
    """AWS IoT took a status update; `execution_id` is set."""

    RESPONSE_REJECTED = "response_rejected"
    """AWS IoT refused a status update; `execution_id` is set."""

    DRIVE = "drive"
    """A set point of the drive stream."""

    BAD_EXECUTION_ID = "bad_execution_id"
    """A request whose id has a shape no answer topic could carry."""

    OTHER = "other"
    """Not one of this thing's command topics."""


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """What a topic says.

    Attributes:
        kind: What it is about.
        execution_id: The execution it names, where the kind has one.
        protocol: The transport of the command, where the kind has one.
    """

    kind: TopicKind
    execution_id: str | None = None
    protocol: CommandProtocol | None = None


def is_execution_id(text: str) -> bool:
    """Whether `text` can be an execution id: 1 to 64 of `A-Z a-z 0-9 _ -`.

    Source: AWS IoT API reference, GetCommandExecution, `executionId`.
    """
    return _EXECUTION_ID.fullmatch(text) is not None


def check_topic(topic: str) -> None:
    """Refuse a topic that AWS IoT Core would refuse.

    Raises:
        ConfigurationError: It is empty, longer than 256 bytes, has more than 7 slashes, or holds
            a wildcard or NUL. The three levels `$aws/rules/<rule>/` of Basic Ingest do not count.
    """
    counted = topic
    if topic.startswith("$aws/rules/"):
        counted = topic.split("/", 3)[-1]
    size = len(counted.encode("utf-8", "surrogatepass"))
    slashes = counted.count("/")
    problem = None
    if not counted or any(sign in counted for sign in "+#\0"):
        problem = "is empty or holds a wildcard"
    elif size > MAX_TOPIC_BYTES:
        problem = f"has {size} bytes; AWS IoT Core takes {MAX_TOPIC_BYTES}"
    elif slashes > MAX_TOPIC_SLASHES:
        problem = f"has {slashes} slashes; AWS IoT Core takes {MAX_TOPIC_SLASHES}"
    if problem is not None:
        raise ConfigurationError(f"the topic {topic!r} {problem}", "choose shorter plain names")


@dataclass(frozen=True, slots=True)
class TopicSpace:
    """All topics of one thing.

    Attributes:
        fleet: Name of the fleet the thing belongs to, in the characters of a thing name.
        thing: Thing name in the IoT registry: 1 to 128 of `A-Z a-z 0-9 : _ -`.
        basic_ingest_rule: IoT rule that telemetry goes straight to, past the broker's
            subscriptions and its message charge; `None` publishes on ordinary topics only.

    Raises:
        ConfigurationError: A name has other characters, or the names together leave no room for
            the longest topic of the contract.
    """

    fleet: str
    thing: str
    basic_ingest_rule: str | None = None

    def __post_init__(self) -> None:
        for what, value in (("fleet", self.fleet), ("thing", self.thing)):
            if _THING.fullmatch(value) is None:
                raise ConfigurationError(
                    f"the {what} name {value!r} is not usable in a topic",
                    "use 1 to 128 letters, digits, and : _ -",
                )
        rule = self.basic_ingest_rule
        if rule is not None and _RULE.fullmatch(rule) is None:
            raise ConfigurationError(
                f"the rule name {rule!r} is not an IoT rule name",
                "use 1 to 128 letters, digits and _",
            )
        check_topic(self.telemetry("x" * MAX_STREAM_LENGTH))
        for protocol in CommandProtocol:
            check_topic(self.response(protocol, "x" * MAX_EXECUTION_ID_LENGTH))

    # -- telemetry --------------------------------------------------------------------------

    def telemetry(self, stream: str) -> str:
        """The topic of a telemetry stream that any subscriber can see.

        Args:
            stream: `state`, `objects`, `gnss`, …: 1 to 32 of `a-z 0-9 -`.

        Raises:
            ConfigurationError: `stream` has another shape.
        """
        if _STREAM.fullmatch(stream) is None:
            raise ConfigurationError(
                f"{stream!r} is not a stream name",
                f"use 1 to {MAX_STREAM_LENGTH} lower-case letters, digits and -",
            )
        return f"dt/morai/{self.fleet}/{self.thing}/{stream}"

    def basic_ingest(self, stream: str) -> str:
        """The same stream addressed to the configured rule, unseen by subscribers.

        Raises:
            ConfigurationError: No rule is configured, or `stream` has another shape.
        """
        if self.basic_ingest_rule is None:
            raise ConfigurationError("no Basic Ingest rule is configured")
        return f"$aws/rules/{self.basic_ingest_rule}/{self.telemetry(stream)}"

    def publication(self, stream: str) -> str:
        """The topic to publish a stream on: Basic Ingest when a rule is configured."""
        return (
            self.telemetry(stream) if self.basic_ingest_rule is None else self.basic_ingest(stream)
        )

    # -- commands ---------------------------------------------------------------------------

    @property
    def drive(self) -> str:
        """The topic of the drive stream.

        Subscribe to it at QoS 0: a set point that had to wait must not be delivered at all.
        """
        return f"cmd/morai/{self.fleet}/{self.thing}/drive"

    def request_filter(self, protocol: CommandProtocol) -> str:
        """The subscription that receives this thing's discrete commands.

        The payload format is spelled out because AWS IoT closes the connection of a client that
        asks for a wildcard in that level.
        """
        return self._request(protocol, "+")

    def request(self, protocol: CommandProtocol, execution_id: str) -> str:
        """The topic a sender publishes one request on.

        Raises:
            ValueError: `execution_id` is not one (see `is_execution_id`).
        """
        return self._request(protocol, _checked(execution_id))

    def response(self, protocol: CommandProtocol, execution_id: str) -> str:
        """The topic the status of one execution is published on.

        Raises:
            ValueError: `execution_id` is not one (see `is_execution_id`).
        """
        _checked(execution_id)
        if protocol is CommandProtocol.AWS:
            return f"{self._executions}/{execution_id}/response/json"
        return f"{self._plain}/res/{execution_id}"

    def response_filter(self, protocol: CommandProtocol) -> str:
        """The subscription an application uses to see every status of this thing's executions."""
        if protocol is CommandProtocol.AWS:
            return f"{self._executions}/+/response/json"
        return f"{self._plain}/res/+"

    def parse(self, topic: str) -> ParsedTopic:
        """Say what an incoming topic is about. Total: any text gives an answer.

        AWS IoT sends `response/accepted` and `response/rejected` straight to the connection that
        published a status, whether or not it subscribed to them.
        """
        if topic == self.drive:
            return ParsedTopic(TopicKind.DRIVE)
        if topic.startswith(self._executions + "/"):
            return _parse_aws(topic[len(self._executions) + 1 :])
        if topic.startswith(self._plain + "/req/"):
            return _request_topic(topic[len(self._plain) + 5 :], CommandProtocol.PLAIN)
        return ParsedTopic(TopicKind.OTHER)

    @property
    def _executions(self) -> str:
        return f"$aws/commands/things/{self.thing}/executions"

    @property
    def _plain(self) -> str:
        return f"cmd/morai/{self.fleet}/{self.thing}"

    def _request(self, protocol: CommandProtocol, level: str) -> str:
        if protocol is CommandProtocol.AWS:
            return f"{self._executions}/{level}/request/json"
        return f"{self._plain}/req/{level}"


def _checked(execution_id: str) -> str:
    if not is_execution_id(execution_id):
        raise ValueError(f"{execution_id[:80]!r} is not an execution id")
    return execution_id


def _request_topic(execution_id: str, protocol: CommandProtocol) -> ParsedTopic:
    if not is_execution_id(execution_id):
        return ParsedTopic(TopicKind.BAD_EXECUTION_ID, protocol=protocol)
    return ParsedTopic(TopicKind.REQUEST, execution_id, protocol)


def _parse_aws(rest: str) -> ParsedTopic:
    execution_id, _, suffix = rest.partition("/")
    if suffix == "request/json":
        return _request_topic(execution_id, CommandProtocol.AWS)
    kind = {
        "response/accepted/json": TopicKind.RESPONSE_ACCEPTED,
        "response/rejected/json": TopicKind.RESPONSE_REJECTED,
    }.get(suffix)
    if kind is None or not is_execution_id(execution_id):
        return ParsedTopic(TopicKind.OTHER)
    return ParsedTopic(kind, execution_id, CommandProtocol.AWS)
