"""Where quotas and the services behind reserved topics join the broker.

Two interfaces and the defaults in force without them. Both are synchronous and sans-I/O: they get
the time as an argument and answer at once. A service that must wait answers later through
`Broker.publish` or `Broker.send_direct`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from simulator.iotcore.broker.topics import (
    BASIC_INGEST,
    is_publishable_reserved,
    is_subscribable_reserved,
)
from simulator.iotcore.throttling.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.counters import Breach, Cause
    from simulator.iotcore.broker.message import Message


class Delay(NamedTuple):
    """A connection is ahead of its throughput.

    Attributes:
        cause: The quota.
        seconds: How long it is neither read nor written; 0 when this is only to be counted.
    """

    cause: Cause
    seconds: float


class Claim(NamedTuple):
    """A request of a service or of the HTTP API against one quota on a rate.

    Attributes:
        cause: The quota.
        key: What it is counted for, such as `thing/shadow`; empty for the account.
    """

    cause: Cause
    key: str = ""


class Quotas(Protocol):
    """Rates, and the counts of an account.

    Each method is asked once per event. None means yes, and then the event is counted against the
    quotas it falls under; an event that breaks one counts against none.
    """

    mixes_replay: bool
    """Whether stored messages are sent at a pace of their own, so that live ones overtake them."""

    def connect(self, client_id: str, others: int, now_s: float, /) -> Breach | None:
        """A CONNECT, while this many other clients are connected. Refused with CONNACK 0x97."""
        ...

    def meter(self) -> Meter:
        """What a new session is measured with; the other methods get it back."""
        ...

    def publish(self, meter: Meter, now_s: float, /) -> Breach | None:
        """An inbound PUBLISH."""
        ...

    def retain(self, meter: Meter, topic: str, has_place: bool, now_s: float, /) -> Breach | None:
        """An inbound PUBLISH with RETAIN. Asked instead of `publish`.

        Args:
            meter: That of the publisher.
            topic: The topic.
            has_place: Whether the store has room for it, or it takes something out.
            now_s: The time now.
        """
        ...

    def deliver(self, meter: Meter, now_s: float, /) -> Breach | None:
        """A PUBLISH on its way out to a connected client. Dropped when refused."""
        ...

    def queue(self, meter: Meter, now_s: float, /) -> Breach | None:
        """A message to be stored for the offline session of a client. Dropped when refused."""
        ...

    def queue_shared(self, waiting: int, now_s: float, /) -> Breach | None:
        """A message to be stored for a shared group that has this many. Dropped when refused."""
        ...

    def replay(self, meter: Meter, is_shared: bool, now_s: float, /) -> float:
        """A stored message on its way out: seconds until it may go, 0 for now."""
        ...

    def is_saturated(self, meter: Meter, now_s: float, /) -> bool:
        """Whether `deliver` would find the connection's own rate used up. Counts nothing."""
        ...

    def throughput(self, meter: Meter, size_bytes: int, now_s: float, /) -> Delay | None:
        """Bytes received from or sent to a client; they were or will be, whatever the answer."""
        ...

    def subscribe(self, held: int | None, now_s: float, /) -> Breach | None:
        """A filter of a SUBSCRIBE, while the account has this many. Refused with 0x97.

        Args:
            held: Subscriptions of the account; None when the filter replaces one.
            now_s: The time now.
        """
        ...

    def join_group(
        self, group: str, groups: int | None, members: int | None, now_s: float, /
    ) -> Breach | None:
        """A shared filter of a SUBSCRIBE. Refused with 0x97.

        Args:
            group: `<share name>/<filter>`.
            groups: Groups of the account; None when this one exists.
            members: Members of this one; None when the client is one of them.
            now_s: The time now.
        """
        ...

    def leave_group(self, group: str, now_s: float, /) -> None:
        """A shared filter of an UNSUBSCRIBE, which is never refused."""
        ...

    def answer(self, answers: int, now_s: float, /) -> None:
        """Messages that services published for a request; counted, never refused."""
        ...

    def request(self, claims: Sequence[Claim], now_s: float, /) -> Breach | None:
        """A request of a service or of the HTTP API."""
        ...


_NO_METER: Final = Meter(math.inf, math.inf, math.inf, math.inf, 1.0)


class Unlimited:
    """No quotas: everything is accepted."""

    __slots__ = ()

    mixes_replay = False

    def connect(self, _client_id: str, _others: int, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def meter(self) -> Meter:
        """One that measures nothing."""
        return _NO_METER

    def publish(self, _meter: Meter, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def retain(
        self, _meter: Meter, _topic: str, _has_place: bool, _now_s: float, /
    ) -> Breach | None:
        """Accept."""
        return None

    def deliver(self, _meter: Meter, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def queue(self, _meter: Meter, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def queue_shared(self, _waiting: int, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def replay(self, _meter: Meter, _is_shared: bool, _now_s: float, /) -> float:
        """Now."""
        return 0.0

    def is_saturated(self, _meter: Meter, _now_s: float, /) -> bool:
        """Never."""
        return False

    def throughput(self, _meter: Meter, _size_bytes: int, _now_s: float, /) -> Delay | None:
        """Accept."""
        return None

    def subscribe(self, _held: int | None, _now_s: float, /) -> Breach | None:
        """Accept."""
        return None

    def join_group(
        self, _group: str, _groups: int | None, _members: int | None, _now_s: float, /
    ) -> Breach | None:
        """Accept."""
        return None

    def leave_group(self, _group: str, _now_s: float, /) -> None:
        """Nothing to count."""

    def answer(self, _answers: int, _now_s: float, /) -> None:
        """Nothing to count."""

    def request(self, _claims: Sequence[Claim], _now_s: float, /) -> Breach | None:
        """Accept."""
        return None


class Answer(NamedTuple):
    """What a service sends.

    Attributes:
        message: The message.
        client_id: The one client that gets it, subscribed or not; None publishes it to everybody
            who subscribed.
    """

    message: Message
    client_id: str | None = None


Admit = Callable[["Sequence[Claim]", str, float], bool]
"""`Broker.admit`: whether the quotas let a client's request pass, now."""


Breached = Callable[["Cause", str], None]
"""`Counters.refuse`: counts a request that a service refused because of a quota."""


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
            The answers, when a service took the message; None to treat it as an ordinary one.
        """
        ...

    def is_seen(self, topic: str, /) -> bool:
        """Whether subscribers get a message that a service took, besides its answers."""
        ...

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Do what became due, such as time-outs."""
        ...

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do next."""
        ...

    def join(self, admit: Admit, breached: Breached, /) -> None:
        """Name who decides whether quotas let a request pass, and who counts what they did not."""
        ...


class Newcomers(Protocol):
    """Just-in-time registration and provisioning."""

    def first_connect(self, der: bytes, source_ip: str, now_s: float, /) -> Sequence[Answer]:
        """A CONNECT with a certificate that is not active; its connection closes in any case.

        Args:
            der: The certificate, which TLS found to be of a trusted CA.
            source_ip: Where it came from.
            now_s: The time now.

        Returns:
            What is to be published.
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

    def is_seen(self, _topic: str, /) -> bool:
        """Nobody sees what was consumed."""
        return False

    def advance(self, _now_s: float, /) -> Sequence[Answer]:
        """Nothing becomes due."""
        return ()

    @property
    def next_deadline_s(self) -> float | None:
        """Never."""
        return None

    def join(self, admit: Admit, breached: Breached, /) -> None:
        """No request is counted."""
