"""From records back to a running broker.

Reads everything first, so that damage is found before anything has changed, and then puts it in
place: retained messages, then sessions in the order they were first saved. What should have
happened while no process ran, such as the end of a session or a delayed will, is due at once and
happens at the broker's next `advance`. Knows nothing about files.

A connection that was open when its process stopped counts as ended at that moment: the expiry of
its session starts there, and its will is published unless the client comes back within the delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.session import Delivery, Will
from simulator.iotcore.broker.subscriptions import Subscription
from simulator.iotcore.broker.topics import split_shared
from simulator.iotcore.persistence.records import (
    DocumentRecord,
    GroupRecord,
    Kind,
    MessageRecord,
    SessionRecord,
    decode,
    decode_list,
    group_key,
    stretch_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.iotcore.broker.counters import Counters
    from simulator.iotcore.broker.lifetimes import Lifetimes
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.retained import RetainedMessages
    from simulator.iotcore.broker.session import Session
    from simulator.iotcore.broker.subscriptions import SharedGroup
    from simulator.iotcore.persistence.records import SubscriptionRecord, WillRecord


@dataclass(frozen=True, slots=True)
class Stored:
    """Records that were read and are in order.

    Attributes:
        stopped_unix_s: When the process that saved them stopped, as far as is known.
        messages: What waits for clients, by number.
        sessions: By client id.
        groups: What waits in shared groups, by key of the group.
        retained: Retained messages.
        documents: What the parts of the account gave, by name.
    """

    stopped_unix_s: float
    messages: dict[int, MessageRecord] = field(default_factory=dict)
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    groups: dict[str, GroupRecord] = field(default_factory=dict)
    retained: list[MessageRecord] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)


def read(records: Iterable[tuple[Kind, str, bytes]], stopped_unix_s: float) -> Stored:
    """Read and check records.

    Raises:
        ValueError: One is damaged, or refers to one that is missing.
    """
    stored = Stored(stopped_unix_s)
    documents: dict[str, DocumentRecord] = {}
    stretches: dict[str, list[Any]] = {}
    for kind, key, data in records:
        try:
            _read_one(stored, documents, stretches, kind, key, data)
        except ValueError as error:
            raise ValueError(f"{kind} {key[:80]!r}: {error}") from error
    for name, record in documents.items():
        stored.documents[name] = _assembled(name, record, stretches)
    for holders in (stored.sessions, stored.groups):
        for key, holder in holders.items():
            for number in holder.references():
                if number not in stored.messages:
                    raise ValueError(f"{key[:80]!r} refers to message {number}, which is missing")
    return stored


def _assembled(
    name: str, record: DocumentRecord, stretches: dict[str, list[Any]]
) -> dict[str, Any]:
    document: dict[str, Any] = dict(record.content)
    for member, count in record.stretches.items():
        elements = document[member] = []
        for number in range(count):
            stretch = stretches.get(stretch_key(name, member, number))
            if stretch is None:
                raise ValueError(f"a part of {member[:80]!r} of {name[:80]!r} is missing")
            elements += stretch
    return document


def _read_one(
    stored: Stored,
    documents: dict[str, DocumentRecord],
    stretches: dict[str, list[Any]],
    kind: Kind,
    key: str,
    data: bytes,
) -> None:
    match kind:
        case Kind.MESSAGE:
            stored.messages[int(key)] = decode(data, MessageRecord)
        case Kind.SESSION:
            stored.sessions[key] = decode(data, SessionRecord)
        case Kind.GROUP:
            stored.groups[key] = decode(data, GroupRecord)
        case Kind.RETAINED:
            stored.retained.append(decode(data, MessageRecord))
        case Kind.DOCUMENT:
            documents[key] = decode(data, DocumentRecord)
        case Kind.STRETCH:
            stretches[key] = decode_list(data)


class Restoring:
    """Puts what was stored into a broker that has nothing yet.

    Args:
        stored: What was read.
        lifetimes: Gets the sessions.
        retained: Gets the retained messages.
        counters: What finds no room within the limits of this broker.
        unix_s_at_zero: Unix time when the broker's clock showed 0.
        now_s: The time now.
    """

    def __init__(
        self,
        stored: Stored,
        lifetimes: Lifetimes,
        retained: RetainedMessages,
        counters: Counters,
        *,
        unix_s_at_zero: float,
        now_s: float,
    ) -> None:
        self._stored = stored
        self._lifetimes = lifetimes
        self._retained = retained
        self._counters = counters
        self._unix_s_at_zero = unix_s_at_zero
        self._now_s = now_s
        self._messages: dict[int, Message] = {}
        self._groups: dict[str, SharedGroup[Session]] = {}

    def run(self) -> None:
        """Do it."""
        for kept in self._stored.retained:
            message = kept.message(self._unix_s_at_zero, self._now_s)
            if not message.is_expired(self._now_s) and not self._retained.put(message):
                self._counters.count(Cause.RETAINED_FULL)
        self._messages = {
            number: waiting.message(self._unix_s_at_zero, self._now_s)
            for number, waiting in self._stored.messages.items()
        }
        sessions = [
            (self._restore(client_id, record), record)
            for client_id, record in self._stored.sessions.items()
        ]
        for session, record in sessions:
            self._deliver(session, record)
        for name, group in self._groups.items():
            stored = self._stored.groups.get(name)
            self._fill(group, stored.messages if stored is not None else ())

    def _restore(self, client_id: str, record: SessionRecord) -> Session:
        ends_at_s = self._after(record.ends_unix_s, record.expiry_s)
        will, will_at_s = self._will(record.will, ends_at_s)
        session = self._lifetimes.restore(
            client_id,
            level=record.level,
            expiry_s=record.expiry_s,
            ends_at_s=ends_at_s,
            will=will,
            will_at_s=will_at_s,
            now_s=self._now_s,
        )
        for subscription in record.subscriptions:
            self._resubscribe(session, subscription)
        return session

    def _deliver(self, session: Session, record: SessionRecord) -> None:
        """Store what a session waits for, once the groups are there that get some of it back."""
        deliveries: list[Delivery] = []
        for place, reference in enumerate(record.deliveries):
            group = self._groups.get(record.borrowed.get(place, ""))
            if group is None:
                message = self._messages[reference // 2]
                deliveries.append(Delivery(message, retain=bool(reference % 2)))
            else:
                self._fill(group, [reference // 2])
        for _ in range(session.restore(deliveries, record.next_packet_id)):
            self._counters.count(Cause.DROPPED_QUEUE_FULL)

    def _resubscribe(self, session: Session, record: SubscriptionRecord) -> None:
        shared = split_shared(record.pattern)
        if shared is None:
            raise ValueError("read() lets no such filter pass")
        subscription = Subscription(
            session,
            shared.topic_filter,
            share_name=shared.share_name,
            qos=record.qos,
            no_local=record.no_local,
            retain_as_published=record.retain_as_published,
        )
        self._lifetimes.resubscribe(record.pattern, subscription)
        if subscription.group is not None:
            self._groups[group_key(subscription)] = subscription.group

    def _fill(self, group: SharedGroup[Session], numbers: Iterable[int]) -> None:
        queue = self._lifetimes.queue_of(group)
        for number in numbers:
            if not queue.put(self._messages[number]):
                self._counters.count(Cause.DROPPED_QUEUE_FULL)

    def _will(self, record: WillRecord | None, ends_at_s: float) -> tuple[Will | None, float]:
        if record is None:
            return None, ends_at_s
        will = Will(record.message.message(self._unix_s_at_zero, self._now_s), record.delay_s)
        # The end of the session publishes it too (MQTT 5.0 section 3.1.3.2.2).
        return will, min(self._after(record.due_unix_s, record.delay_s), ends_at_s)

    def _after(self, due_unix_s: float | None, delay_s: int) -> float:
        """When something is due, in the broker's time; without a time, so long after the stop.

        Never later than that delay from now, even when the machine's clock was set back.
        """
        if due_unix_s is None:
            due_unix_s = self._stored.stopped_unix_s + delay_s
        return min(due_unix_s - self._unix_s_at_zero, self._now_s + delay_s)
