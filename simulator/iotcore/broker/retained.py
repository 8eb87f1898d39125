"""The last message published with RETAIN on each topic.

Only an exact topic finds one: AWS IoT Core never sends retained messages to wildcard or shared
subscriptions (developer guide, "MQTT retained messages"). Bounded by count and bytes; when full, a
message for a new topic is not stored. Knows nothing about subscribers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.broker.message import Message


class RetainedMessages:
    """The store.

    Args:
        messages_max: Most topics.
        bytes_max: Most bytes over all messages.
    """

    __slots__ = ("_bytes", "_bytes_max", "_messages", "_messages_max")

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages: dict[str, Message] = {}
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def topics(self) -> tuple[str, ...]:
        """Topics that have a message, which may have expired since."""
        return tuple(self._messages)

    def messages(self) -> tuple[Message, ...]:
        """Every message, some of which may have expired since."""
        return tuple(self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    def has_place(self, topic: str, now_s: float) -> bool:
        """Whether a message on this topic breaks no bound on their number."""
        return len(self._messages) < self._messages_max or self.get(topic, now_s) is not None

    def put(self, message: Message) -> bool:
        """Store a message, or delete the stored one when the payload is empty.

        Returns:
            False when the store is full and the message was not stored.
        """
        old = self._messages.pop(message.topic, None)
        if old is not None:
            self._bytes -= old.size_bytes
        if not message.payload:
            return True
        size_bytes = message.size_bytes
        if len(self._messages) >= self._messages_max or self._bytes + size_bytes > self._bytes_max:
            if old is not None:
                self._messages[message.topic] = old
                self._bytes += old.size_bytes
            return False
        self._messages[message.topic] = message
        self._bytes += size_bytes
        return True

    def get(self, topic: str, now_s: float) -> Message | None:
        """The stored message of a topic, unless it has expired."""
        message = self._messages.get(topic)
        if message is not None and message.is_expired(now_s):
            del self._messages[topic]
            self._bytes -= message.size_bytes
            return None
        return message
