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
    from simulator.iotcore.connection import Connection
    from simulator.iotcore.message import Message
    from simulator.iotcore.subscriptions import SharedGroup, Subscription
    from simulator.iotcore.throttling.meter import Meter

_PACKET_ID_MAX = 65_535


class Delivery:
    """One QoS 1 delivery to one session.

    Attributes:
        group: The shared group it is stored for, while it is.
    """

    __slots__ = ("group", "message", "retain", "sent_at_s")

    def __init__(
        self, message: Message, *, retain: bool, group: SharedGroup[Session] | None = None
    ) -> None:
        self.message = message
        self.retain = retain
        self.group = group
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

    Attributes:
        expiry_s: How long the session outlives its connection; 0 ends it with the connection.
        connection: The open connection, or None.
        subscriptions: By the filter as the client wrote it, share prefix included.
        pending_will: A will whose delay runs.
        in_flight: Packet id -> delivery sent and not acknowledged, oldest first.
        stored: What waits since the client was away.
        replay_at_s: Before this no stored delivery may be sent.
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
        "meter",
        "pending_will",
        "replay_at_s",
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
    ) -> None:
        self.client_id = client_id
        self.meter = meter
        self.expiry_s = 0
        self.connection: Connection | None = None
        self.subscriptions: dict[str, Subscription[Session]] = {}
        self.pending_will: Will | None = None
        self.in_flight: dict[int, Delivery] = {}
        self._next_packet_id = 1
        self.stored: deque[Delivery] = deque()
        self.replay_at_s = 0.0
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

    @property
    def queued(self) -> int:
        """Messages waiting."""
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
        if delivery.group is not None:
            delivery.group.waiting += 1
        return True

    def take(self) -> Delivery | None:
        """The oldest delivery that waits for room only, or None."""
        return self._leave(self._queue.popleft()) if self._queue else None

    def take_stored(self) -> Delivery:
        """The oldest stored delivery; there must be one."""
        return self._leave(self.stored.popleft())

    def _leave(self, delivery: Delivery) -> Delivery:
        self._weigh(-delivery.message.size_bytes)
        if delivery.group is not None:
            delivery.group.waiting -= 1
            delivery.group = None
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
        return self.in_flight.pop(packet_id, None) is not None

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

    def store_all(self) -> None:
        """The connection is gone: store everything that waits or was not acknowledged.

        What was not acknowledged comes first, oldest first. It is sent again under a new packet id
        with DUP 0, as AWS IoT Core does.
        """
        for delivery in reversed(self.in_flight.values()):
            self.stored.appendleft(delivery)
            self._weigh(delivery.message.size_bytes)
        self.in_flight.clear()
        self.stored.extend(self._queue)
        self._queue.clear()
        self.replay_at_s = 0.0

    def clear(self) -> None:
        """Forget everything that was to be delivered."""
        self.store_all()
        while self.stored:
            self.take_stored()

    def _weigh(self, change_bytes: int) -> None:
        self._queue_bytes += change_bytes
        self._budget.used_bytes += change_bytes
