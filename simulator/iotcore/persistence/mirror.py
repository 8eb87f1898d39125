"""What a data directory holds, and what has to be written so that it holds what there is now.

A `Mirror` remembers of everything it gave away just enough to see whether it changed: the objects
themselves where they never change (messages, subscriptions), the marks of a session where they do.
So a save costs what changed and a glance at the rest, and nothing on the way of a packet. Its work
comes in small steps between which the broker may go on: each record is of one moment, all records
of one pass are of a few moments close to each other.

A message that waits for many clients is one record and many numbers. The mirror holds the messages
it has numbered, so that a message's identity stands for it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from simulator.iotcore.broker.message import Message
from simulator.iotcore.persistence.records import (
    Change,
    GroupRecord,
    Kind,
    MessageRecord,
    SessionRecord,
    SubscriptionRecord,
    WillRecord,
    encode,
    group_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulator.iotcore.broker.lifetimes import Lifetimes
    from simulator.iotcore.broker.retained import RetainedMessages
    from simulator.iotcore.broker.session import Delivery, Session, Will
    from simulator.iotcore.broker.subscriptions import SharedGroup

Step: TypeAlias = Change | None
"""What one step of a pass found; None when it found nothing to write."""

_MESSAGES_A_STEP: Final = 64


# Neither of the next two can be part of a cycle, and there may be very many of them: the garbage
# collector, whose pauses would be felt, need not look at them.


class _Numbered(msgspec.Struct, gc=False):
    """A message that has a record.

    Attributes:
        message: The message.
        number: Its number.
        uses: How often sessions and groups on disk refer to it.
    """

    message: Message
    number: int
    uses: int = 0


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """What was written of a session or a group.

    Attributes:
        look: What tells whether it changed.
        messages: What waits there.
    """

    look: tuple[object, ...]
    messages: list[Message]


_NOTHING: Final = _Seen((), [])


class Mirror:
    """What one data directory holds of a broker.

    Args:
        unix_s_at_zero: Unix time when the broker's clock showed 0.

    Attributes:
        open_sessions: Sessions on disk whose connection was open. Their expiry counts from the last
            save, so that there has to be one now and then as long as there are any.
    """

    def __init__(self, unix_s_at_zero: float) -> None:
        self.open_sessions = 0
        self._unix_s_at_zero = unix_s_at_zero
        self._seen: dict[tuple[Kind, str], _Seen] = {}
        self._messages: dict[int, _Numbered] = {}
        self._last_number = 0
        self._retained: dict[str, Message] = {}

    def changes(self, lifetimes: Lifetimes, retained: RetainedMessages) -> Iterator[Step]:
        """One pass: every difference, and a pause after every piece of work.

        All of it must be written in one step; if it is not, the mirror is wrong and has to be
        replaced by a new one for an empty directory.
        """
        gone = dict.fromkeys(self._seen)
        self.open_sessions = 0
        groups: dict[str, SharedGroup[Session]] = {}
        for client_id in list(lifetimes.sessions):
            # It may have ended since the pass began.
            session = lifetimes.sessions.get(client_id)
            if session is not None and _leaves_something(session):
                gone.pop((Kind.SESSION, client_id), None)
                for subscription in session.shared:
                    if subscription.group is not None:
                        groups[group_key(subscription)] = subscription.group
                yield from self._session(lifetimes, session)
        # Groups come after their members: who takes a message while the pass goes on is seen here,
        # and a message that is seen twice is delivered twice rather than never.
        for name, group in groups.items():
            messages = _waiting(group)
            if messages:
                gone.pop((Kind.GROUP, name), None)
                yield from self._group(name, messages)
        for kind, key in gone:
            yield Change(kind, key, None)
            yield from self._release(self._seen.pop((kind, key)).messages)
        yield from self._retained_messages(retained)

    def _session(self, lifetimes: Lifetimes, session: Session) -> Iterator[Step]:
        connection = session.connection
        will = connection.will if connection is not None else session.pending_will
        ends_at_s, will_at_s = lifetimes.timers_of(session.client_id)
        self.open_sessions += connection is not None
        look = (
            session,
            session.marks(),
            session.expiry_s,
            will,
            ends_at_s,
            will_at_s,
            tuple(session.subscriptions.values()),
        )
        place = (Kind.SESSION, session.client_id)
        seen = self._seen.get(place)
        if seen is not None and seen.look == look:
            yield None
            return
        # The session may change between two steps, so all of it is taken in the first.
        deliveries = session.backlog()
        subscriptions = tuple(
            SubscriptionRecord(pattern, each.qos, each.no_local, each.retain_as_published)
            for pattern, each in session.subscriptions.items()
        )
        record = SessionRecord(
            level=session.level,
            expiry_s=session.expiry_s,
            ends_unix_s=self._unix_s(ends_at_s),
            next_packet_id=session.next_packet_id,
            subscriptions=subscriptions,
            will=self._will(will, will_at_s),
            deliveries=[],
            borrowed=_borrowed(deliveries),
        )
        retains = [delivery.retain for delivery in deliveries]
        messages = [delivery.message for delivery in deliveries]
        numbers: list[int] = []
        yield from self._use(messages, numbers)
        record.deliveries.extend(
            number * 2 + retain for number, retain in zip(numbers, retains, strict=True)
        )
        yield from self._replace(place, encode(record), _Seen(look, messages))

    def _group(self, name: str, messages: list[Message]) -> Iterator[Step]:
        place = (Kind.GROUP, name)
        seen = self._seen.get(place, _NOTHING)
        if seen.messages == messages:
            yield None
            return
        numbers: list[int] = []
        yield from self._use(messages, numbers)
        yield from self._replace(place, encode(GroupRecord(numbers)), _Seen((), messages))

    def _replace(self, place: tuple[Kind, str], value: bytes, now: _Seen) -> Iterator[Step]:
        before = self._seen.get(place, _NOTHING)
        self._seen[place] = now
        yield Change(*place, value)
        yield from self._release(before.messages)

    def _will(self, will: Will | None, will_at_s: float | None) -> WillRecord | None:
        if will is None:
            return None
        message = MessageRecord.of(will.message, self._unix_s_at_zero)
        return WillRecord(message, will.delay_s, self._unix_s(will_at_s))

    def _unix_s(self, at_s: float | None) -> float | None:
        return None if at_s is None else self._unix_s_at_zero + at_s

    # Messages that wait

    def _use(self, messages: Iterable[Message], numbers: list[int]) -> Iterator[Step]:
        """Number messages, and count one more use of each."""
        for position, message in enumerate(messages):
            numbered = self._messages.get(id(message))
            if numbered is None:
                self._last_number += 1
                numbered = self._messages[id(message)] = _Numbered(message, self._last_number)
                yield Change(Kind.MESSAGE, str(numbered.number), self._encoded(message))
            elif not position % _MESSAGES_A_STEP:
                yield None
            numbered.uses += 1
            numbers.append(numbered.number)

    def _release(self, messages: Iterable[Message]) -> Iterator[Step]:
        """Count one use less of each, and forget those nobody refers to any more."""
        for position, message in enumerate(messages):
            numbered = self._messages[id(message)]
            numbered.uses -= 1
            if not numbered.uses:
                del self._messages[id(message)]
                yield Change(Kind.MESSAGE, str(numbered.number), None)
            elif not position % _MESSAGES_A_STEP:
                yield None

    def _encoded(self, message: Message) -> bytes:
        return encode(MessageRecord.of(message, self._unix_s_at_zero))

    # Retained messages

    def _retained_messages(self, retained: RetainedMessages) -> Iterator[Step]:
        gone = dict.fromkeys(self._retained)
        for message in retained.messages():
            topic = message.topic
            gone.pop(topic, None)
            if self._retained.get(topic) is message:
                yield None
            else:
                self._retained[topic] = message
                yield Change(Kind.RETAINED, topic, self._encoded(message))
        for topic in gone:
            del self._retained[topic]
            yield Change(Kind.RETAINED, topic, None)


def _waiting(group: SharedGroup[Session]) -> list[Message]:
    """What members of a group got and did not acknowledge, and what waits for any of them.

    Members take messages and return them, so both are looked at in the same moment.
    """
    members = (member.subscriber for member in group.members.values())
    lent = chain.from_iterable(session.loans(group) for session in members)
    return [*lent, *(group.queue.messages if group.queue is not None else ())]


def _borrowed(deliveries: Iterable[Delivery]) -> dict[int, str]:
    """Which deliveries of a backlog belong to groups: their places, and the groups' keys."""
    return {
        place: group_key(next(iter(delivery.group.members.values())))
        for place, delivery in enumerate(deliveries)
        if delivery.group is not None and delivery.group.members
    }


def _leaves_something(session: Session) -> bool:
    """Whether anything of the session would outlast its connection."""
    if session.expiry_s or session.pending_will is not None:
        return True
    connection = session.connection
    if connection is None:
        return False
    return connection.will is not None or bool(_borrowed(session.backlog()))
