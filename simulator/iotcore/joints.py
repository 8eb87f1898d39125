"""Where quotas and the services behind reserved topics join the broker.

Two interfaces and the defaults in force without them. Both are synchronous and sans-I/O: they get
the time as an argument and answer at once. A service that must wait answers later through
`Broker.publish` or `Broker.send_direct`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simulator.iotcore.topics import (
    BASIC_INGEST,
    is_publishable_reserved,
    is_subscribable_reserved,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.message import Message


class Verdict(Enum):
    """What a quota says to an inbound PUBLISH."""

    ACCEPT = auto()
    DISCARD = auto()
    """Dropped without PUBACK, as the service does above the rate per connection."""
    REFUSE = auto()
    """PUBACK 0x97; at QoS 0 the same as DISCARD."""


class Quotas(Protocol):
    """Rates. Each method is asked once per event and counts that event."""

    def connect(self, client_id: str, now_s: float, /) -> bool:
        """Whether a CONNECT may proceed; False answers CONNACK 0x97."""
        ...

    def publish(self, client_id: str, size_bytes: int, now_s: float, /) -> Verdict:
        """What becomes of an inbound PUBLISH of this many packet bytes."""
        ...

    def subscribe(self, client_id: str, filters: int, now_s: float, /) -> bool:
        """Whether a SUBSCRIBE may proceed; False answers 0x97 for each filter."""
        ...

    def deliver(self, client_id: str, size_bytes: int, now_s: float, /) -> bool:
        """Whether a PUBLISH may go out to this client now; False drops it."""
        ...


class Unlimited:
    """No quotas: everything is accepted."""

    __slots__ = ()

    def connect(self, _client_id: str, _now_s: float, /) -> bool:
        """Accept."""
        return True

    def publish(self, _client_id: str, _size_bytes: int, _now_s: float, /) -> Verdict:
        """Accept."""
        return Verdict.ACCEPT

    def subscribe(self, _client_id: str, _filters: int, _now_s: float, /) -> bool:
        """Accept."""
        return True

    def deliver(self, _client_id: str, _size_bytes: int, _now_s: float, /) -> bool:
        """Accept."""
        return True


class Answer(NamedTuple):
    """What a service sends.

    Attributes:
        message: The message.
        client_id: The one client that gets it, subscribed or not; None publishes it to everybody
            who subscribed.
    """

    message: Message
    client_id: str | None = None


class ReservedTopics(Protocol):
    """The services behind `$` topics: shadow, jobs, commands, rules and so on."""

    def may_publish(self, topic: str, /) -> bool:
        """Whether the topic exists for publishing, policies aside. False answers 0x90."""
        ...

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """Whether the filter exists for subscribing, policies aside. False answers 0x8F."""
        ...

    def handle(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Serve a message on a `$` topic that the policies allowed.

        Args:
            message: The message.
            client_id: Its publisher; None for a message of the process itself.
            now_s: The time now.

        Returns:
            The answers, when a service consumed the message; None to treat it as an ordinary one.
        """
        ...


class DocumentedTopics:
    """The reserved topics AWS documents, without any service behind them.

    Basic Ingest is consumed, since nobody can subscribe to it. Other request topics behave as
    ordinary topics, so that a test program can play the service.
    """

    __slots__ = ()

    def may_publish(self, topic: str, /) -> bool:
        """Whether the topic is documented for publishing."""
        return is_publishable_reserved(topic)

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """Whether the filter can match a topic documented for subscribing."""
        return is_subscribable_reserved(topic_filter)

    def handle(
        self, message: Message, _client_id: str | None, _now_s: float, /
    ) -> Sequence[Answer] | None:
        """Consume Basic Ingest, leave everything else."""
        return () if message.topic.startswith(BASIC_INGEST) else None
