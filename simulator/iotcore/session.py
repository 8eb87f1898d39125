"""What the broker keeps for one client id: subscriptions, QoS 1 in flight, QoS 1 waiting.

Owns packet ids, the send window and the bounded queue. Outlives connections when the client asked
for a session expiry. Knows nothing about sockets, policies or timers: the broker says when.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.connection import Connection
    from simulator.iotcore.message import Message
    from simulator.iotcore.subscriptions import Subscription

_PACKET_ID_MAX = 65_535


class Delivery:
    """One QoS 1 delivery to one session."""

    __slots__ = ("message", "retain", "sent_at_s")

    def __init__(self, message: Message, *, retain: bool) -> None:
        self.message = message
        self.retain = retain
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
        messages_max: Most queued messages. The newest is dropped when full.
        bytes_max: Most queued bytes. The newest is dropped when full.
        budget: The bound over all sessions.

    Attributes:
        expiry_s: How long the session outlives its connection; 0 ends it with the connection.
        connection: The open connection, or None.
        subscriptions: By the filter as the client wrote it, share prefix included.
        pending_will: A will whose delay runs.
        in_flight: Packet id -> delivery sent and not acknowledged, oldest first.
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
        "pending_will",
        "subscriptions",
    )

    def __init__(
        self, client_id: str, messages_max: int, bytes_max: int, budget: QueueBudget
    ) -> None:
        self.client_id = client_id
        self.expiry_s = 0
        self.connection: Connection | None = None
        self.subscriptions: dict[str, Subscription[Session]] = {}
        self.pending_will: Will | None = None
        self.in_flight: dict[int, Delivery] = {}
        self._next_packet_id = 1
        self._queue: deque[Delivery] = deque()
        self._queue_bytes = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._budget = budget

    def __repr__(self) -> str:
        state = "online" if self.connection else "offline"
        return (
            f"<Session {self.client_id!r} {state}, {len(self.subscriptions)} subscriptions, "
            f"{len(self.in_flight)} in flight, {len(self._queue)} queued>"
        )

    @property
    def queued(self) -> int:
        """Messages waiting."""
        return len(self._queue)

    def has_room_in_flight(self, window: int) -> bool:
        """Whether a QoS 1 delivery may be sent now without overtaking queued ones."""
        return not self._queue and len(self.in_flight) < window

    def put(self, delivery: Delivery) -> bool:
        """Queue a delivery; False when the queue is full and the delivery is dropped."""
        size_bytes = delivery.message.size_bytes
        budget = self._budget
        if (
            len(self._queue) >= self._messages_max
            or self._queue_bytes + size_bytes > self._bytes_max
            or budget.used_bytes + size_bytes > budget.bytes_max
        ):
            return False
        self._queue.append(delivery)
        self._queue_bytes += size_bytes
        budget.used_bytes += size_bytes
        return True

    def take(self) -> Delivery | None:
        """The oldest queued delivery, or None."""
        if not self._queue:
            return None
        delivery = self._queue.popleft()
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

    def requeue_in_flight(self) -> None:
        """Put what was not acknowledged back at the head of the queue, oldest first.

        They are sent again under a new packet id with DUP 0, as AWS IoT Core does.
        """
        for delivery in reversed(self.in_flight.values()):
            self._queue.appendleft(delivery)
            self._weigh(delivery.message.size_bytes)
        self.in_flight.clear()

    def clear(self) -> None:
        """Forget everything that was to be delivered."""
        self._weigh(-self._queue_bytes)
        self._queue.clear()
        self.in_flight.clear()

    def _weigh(self, change_bytes: int) -> None:
        self._queue_bytes += change_bytes
        self._budget.used_bytes += change_bytes
