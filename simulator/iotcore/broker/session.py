"""What the broker keeps for one client id: subscriptions, QoS 1 in flight, QoS 1 waiting.

Owns packet ids, the send window and the bounded queues: one of messages stored while the client was
away, which may be sent at a pace of their own, and one of messages that wait for room. Outlives
connections when the client asked for a session expiry. Knows nothing about sockets, policies or
timers: the broker says when.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.subscriptions import SharedGroup, Subscription
    from simulator.iotcore.throttling.meter import Meter

_PACKET_ID_MAX = 65_535


class Delivery:
    """One QoS 1 delivery to one session.

    Attributes:
        group: The shared group it came from; there it returns when it is not acknowledged.
        acknowledged: Called when the client acknowledged it. A delivery that somebody waits for is
            for this connection only and is never stored.
    """

    __slots__ = ("acknowledged", "group", "message", "retain", "sent_at_s")

    def __init__(
        self,
        message: Message,
        *,
        retain: bool,
        group: SharedGroup[Session] | None = None,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        self.message = message
        self.retain = retain
        self.group = group
        self.acknowledged = acknowledged
        self.sent_at_s = 0.0


class QueueBudget:
    """Bytes that all sessions of a broker together may hold in their queues.

    Args:
        bytes_max: The bound.
    """

    __slots__ = ("bytes_max", "used_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.used_bytes = 0


class Will:
    """The will of a connection, kept until it is published or discarded."""

    __slots__ = ("delay_s", "message")

    def __init__(self, message: Message, delay_s: int) -> None:
        self.message = message
        self.delay_s = delay_s


class Session:
    """State of one client id.

    Args:
        client_id: Whose session.
        messages_max: Most messages in both queues. The newest is dropped when full.
        bytes_max: Most bytes in both queues. The newest is dropped when full.
        budget: The bound over all sessions.
        meter: What the client uses of its quotas.
        level: Protocol level.

    Attributes:
        expiry_s: How long the session outlives its connection; 0 ends it with the connection.
        connection: The open connection, or None.
        level: Protocol level it was opened with; it cannot be resumed with another one (developer
            guide, "MQTT persistent sessions").
        subscriptions: By the filter as the client wrote it, share prefix included. Changed by
            `subscribe` and `unsubscribe`.
        shared: Those of them whose group may have QoS 1 messages waiting.
        pending_will: A will whose delay runs.
        in_flight: Packet id -> delivery sent and not acknowledged, oldest first.
        stored: What waits since the client was away.
        replay_at_s: Before this no stored delivery may be sent.
        shared_replay_at_s: Before this none that waits in a shared group.
    """

    __slots__ = (
        "_budget",
        "_bytes_max",
        "_messages_max",
        "_next_packet_id",
        "_queue",
        "_queue_bytes",
        "client_id",
        "connection",
        "expiry_s",
        "in_flight",
        "level",
        "meter",
        "pending_will",
        "replay_at_s",
        "shared",
        "shared_replay_at_s",
        "stored",
        "subscriptions",
    )

    def __init__(
        self,
        client_id: str,
        messages_max: int,
        bytes_max: int,
        budget: QueueBudget,
        meter: Meter,
        level: int,
    ) -> None:
        self.client_id = client_id
        self.level = level
        self.meter = meter
        self.expiry_s = 0
        self.connection: Connection | None = None
        self.subscriptions: dict[str, Subscription[Session]] = {}
        self.shared: tuple[Subscription[Session], ...] = ()
        self.pending_will: Will | None = None
        self.in_flight: dict[int, Delivery] = {}
        self._next_packet_id = 1
        self.stored: deque[Delivery] = deque()
        self.replay_at_s = 0.0
        self.shared_replay_at_s = 0.0
        self._queue: deque[Delivery] = deque()
        self._queue_bytes = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._budget = budget

    def __repr__(self) -> str:
        state = "online" if self.connection else "offline"
        return (
            f"<Session {self.client_id!r} {state}, {len(self.subscriptions)} subscriptions, "
            f"{len(self.in_flight)} in flight, {self.queued} queued>"
        )

    def subscribe(self, pattern: str, subscription: Subscription[Session]) -> None:
        """Add or replace a subscription.

        Args:
            pattern: The filter as the client wrote it.
            subscription: What it was granted.
        """
        self.subscriptions[pattern] = subscription
        if subscription.share_name is not None:
            self._find_shared()

    def unsubscribe(self, pattern: str) -> Subscription[Session] | None:
        """Remove a subscription and give it; None when there is none."""
        subscription = self.subscriptions.pop(pattern, None)
        if subscription is not None and subscription.share_name is not None:
            self._find_shared()
        return subscription

    def _find_shared(self) -> None:
        self.shared = tuple(
            each for each in self.subscriptions.values() if each.share_name is not None and each.qos
        )

    @property
    def queued(self) -> int:
        """Messages waiting for this client."""
        return len(self.stored) + len(self._queue)

    def has_room_in_flight(self, window: int, *, may_overtake: bool) -> bool:
        """Whether a QoS 1 delivery may be sent now without overtaking queued ones.

        Args:
            window: Most in flight.
            may_overtake: Whether it may overtake stored ones.
        """
        return (
            not self._queue and len(self.in_flight) < window and (may_overtake or not self.stored)
        )

    def put(self, delivery: Delivery, *, is_stored: bool) -> bool:
        """Queue a delivery; False when there is no room and the delivery is dropped.

        Args:
            delivery: What waits.
            is_stored: Whether it belongs to those that were stored.
        """
        size_bytes = delivery.message.size_bytes
        budget = self._budget
        if (
            self.queued >= self._messages_max
            or self._queue_bytes + size_bytes > self._bytes_max
            or budget.used_bytes + size_bytes > budget.bytes_max
        ):
            return False
        (self.stored if is_stored else self._queue).append(delivery)
        self._queue_bytes += size_bytes
        budget.used_bytes += size_bytes
        return True

    def take(self) -> Delivery | None:
        """The oldest delivery that waits for room only, or None."""
        return self._leave(self._queue.popleft()) if self._queue else None

    def take_stored(self) -> Delivery:
        """The oldest stored delivery; there must be one."""
        return self._leave(self.stored.popleft())

    def _leave(self, delivery: Delivery) -> Delivery:
        self._weigh(-delivery.message.size_bytes)
        return delivery

    def start(self, delivery: Delivery, now_s: float) -> int:
        """Give a delivery a packet id and hold it until it is acknowledged.

        The caller bounds the number in flight far below 65,535, so a free id always exists.
        """
        packet_id = self._next_packet_id
        while packet_id in self.in_flight:
            packet_id = packet_id % _PACKET_ID_MAX + 1
        self._next_packet_id = packet_id % _PACKET_ID_MAX + 1
        delivery.sent_at_s = now_s
        self.in_flight[packet_id] = delivery
        return packet_id

    def acknowledge(self, packet_id: int) -> bool:
        """Take a PUBACK; False when nothing with this packet id is in flight."""
        delivery = self.in_flight.pop(packet_id, None)
        if delivery is None:
            return False
        if delivery.acknowledged is not None:
            delivery.acknowledged()
        return True

    def give_up_older_than(self, sent_before_s: float) -> int:
        """Drop deliveries sent before a time and never acknowledged; returns how many."""
        stale = [
            packet_id
            for packet_id, delivery in self.in_flight.items()
            if delivery.sent_at_s < sent_before_s
        ]
        for packet_id in stale:
            del self.in_flight[packet_id]
        return len(stale)

    def store_all(self) -> list[tuple[SharedGroup[Session], list[Message]]]:
        """The connection is gone: store everything that waits or was not acknowledged.

        What was not acknowledged comes first, oldest first. It is sent again under a new packet id
        with DUP 0, as AWS IoT Core does.

        Returns:
            What came from shared groups that still have members, for them to have it back (MQTT 5.0
            section 4.8.2 lets the server choose another member as soon as the connection is lost).
        """
        returned: dict[int, tuple[SharedGroup[Session], list[Message]]] = {}

        def stays(delivery: Delivery) -> bool:
            group = delivery.group
            if delivery.acknowledged is not None:
                return False
            if group is None or not group.members:
                return True
            returned.setdefault(id(group), (group, []))[1].append(delivery.message)
            return False

        for delivery in self.in_flight.values():
            self._weigh(delivery.message.size_bytes)
        everything = (*self.in_flight.values(), *self.stored, *self._queue)
        self.in_flight.clear()
        self._queue.clear()
        self.stored.clear()
        for delivery in everything:
            if stays(delivery):
                self.stored.append(delivery)
            else:
                self._weigh(-delivery.message.size_bytes)
        self.replay_at_s = 0.0
        self.shared_replay_at_s = 0.0
        return list(returned.values())

    # Keeping it over a restart

    @property
    def next_packet_id(self) -> int:
        """What the next delivery starts to look for a free packet id with."""
        return self._next_packet_id

    def backlog(self) -> list[Delivery]:
        """What `store_all` would store now, or return to shared groups that the client has left."""
        return [
            delivery
            for delivery in (*self.in_flight.values(), *self.stored, *self._queue)
            if delivery.acknowledged is None
            and (delivery.group is None or id(self) not in delivery.group.members)
        ]

    def loans(self, group: SharedGroup[Session]) -> list[Message]:
        """What `store_all` would return now to a shared group that the client is in."""
        return [
            delivery.message
            for delivery in (*self.in_flight.values(), *self._queue)
            if delivery.group is group and delivery.acknowledged is None
        ]

    def marks(self) -> tuple[object, ...]:
        """Differs from an earlier result when a queue or the packet id does.

        Deliveries enter a queue at its ends only, so that its length and the deliveries at its ends
        tell. They are held by the result, so none of them can be mistaken for a later one.
        """
        in_flight, stored, queue = self.in_flight, self.stored, self._queue
        if not in_flight and not stored and not queue:
            return (self._next_packet_id,)
        return (
            self._next_packet_id,
            len(in_flight),
            next(iter(in_flight.values()), None),
            next(reversed(in_flight.values()), None),
            len(stored),
            stored[0] if stored else None,
            stored[-1] if stored else None,
            len(queue),
            queue[0] if queue else None,
            queue[-1] if queue else None,
        )

    def restore(self, deliveries: Iterable[Delivery], next_packet_id: int) -> int:
        """Take over the backlog of an earlier process; returns how many found no room.

        Args:
            deliveries: In the order they are to be sent.
            next_packet_id: 1 to 65,535.
        """
        self._next_packet_id = next_packet_id
        return sum(not self.put(delivery, is_stored=True) for delivery in deliveries)

    def clear(self) -> None:
        """Forget everything that was to be delivered."""
        self.store_all()
        while self.stored:
            self.take_stored()

    def _weigh(self, change_bytes: int) -> None:
        self._queue_bytes += change_bytes
        self._budget.used_bytes += change_bytes
