"""Bounds what is handed to the MQTT client and not yet acknowledged.

The device SDK queues QoS 1 publishes without bound while the link is down. This window keeps the
number in flight at a fixed size and holds the rest in a queue with a byte cap that drops its
oldest entry, so that a long outage costs bounded memory and the newest data survives. Urgent
messages, such as answers to commands, pass the others by and are dropped last. It owns no client
and no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish.

    Attributes:
        topic: MQTT topic name.
        payload: The bytes.
        qos: 0 or 1.
        retain: Whether the broker keeps it for later subscribers.
        urgent: Whether it passes by what waits. Somebody waits for it, and there are few of them.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    urgent: bool = False

    @property
    def size(self) -> int:
        """Bytes that count against the cap: topic and payload."""
        return len(self.topic) + len(self.payload)


class PublishWindow:
    """A send window in front of an MQTT client.

    Invariants: at most `in_flight` messages are out; the queues hold at most `waiting_bytes`
    together; messages of the same urgency leave in the order they were offered; each message
    either leaves or is counted in `dropped`.

    Args:
        in_flight: Messages that may be unacknowledged at once.
        waiting_bytes: Cap of what waits behind them. When it is exceeded the oldest are dropped,
            urgent ones only when no others are left.
    """

    def __init__(self, in_flight: int, waiting_bytes: int) -> None:
        self._limit = in_flight
        self._cap_bytes = waiting_bytes
        self._urgent: deque[Message] = deque()
        self._ordinary: deque[Message] = deque()
        self._queued_bytes = 0
        self.in_flight = 0
        self.dropped = 0

    def offer(self, message: Message) -> None:
        """Queue a message; `take` hands it out when its turn comes."""
        (self._urgent if message.urgent else self._ordinary).append(message)
        self._queued_bytes += message.size
        # What can leave at once does not count against the cap of what has to wait.
        while self._queued_bytes > self._cap_bytes and self.waiting > self._room():
            oldest = (self._ordinary or self._urgent).popleft()
            self._queued_bytes -= oldest.size
            self.dropped += 1

    def take(self) -> Iterator[Message]:
        """Hand out the messages that may leave now; each counts as in flight until `settle`."""
        while self.waiting and self.in_flight < self._limit:
            message = (self._urgent or self._ordinary).popleft()
            self._queued_bytes -= message.size
            self.in_flight += 1
            yield message

    def settle(self) -> None:
        """One message in flight was acknowledged or failed for good."""
        self.in_flight -= 1

    @property
    def waiting(self) -> int:
        """Messages in the queues."""
        return len(self._urgent) + len(self._ordinary)

    def _room(self) -> int:
        return max(0, self._limit - self.in_flight)
