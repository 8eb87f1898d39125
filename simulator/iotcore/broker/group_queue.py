"""Messages that wait for any member of a shared group.

The group's own, so that whichever member is there first gets them. Bounded by count and bytes, and
by the bytes all queues of the broker hold together; the newest is dropped when full. Knows nothing
about members, pace or policies.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.session import QueueBudget


class GroupQueue:
    """The queue of one group.

    Args:
        messages_max: Most messages.
        bytes_max: Most bytes.
        budget: The bound over all queues.

    Attributes:
        messages: What waits, oldest first.
    """

    __slots__ = ("_budget", "_bytes", "_bytes_max", "_messages_max", "messages")

    def __init__(self, messages_max: int, bytes_max: int, budget: QueueBudget) -> None:
        self.messages: deque[Message] = deque()
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._budget = budget
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.messages)

    def put(self, message: Message) -> bool:
        """Add a message; False when there is no room and it is dropped."""
        size_bytes = message.size_bytes
        budget = self._budget
        if (
            len(self.messages) >= self._messages_max
            or self._bytes + size_bytes > self._bytes_max
            or budget.used_bytes + size_bytes > budget.bytes_max
        ):
            return False
        self.messages.append(message)
        self._weigh(size_bytes)
        return True

    def put_back(self, messages: Sequence[Message]) -> None:
        """Return messages that a member got and did not acknowledge, oldest first.

        They come before all others. There are never more than the send windows and queues of the
        members had room for, so no bound is asked.
        """
        self.messages.extendleft(reversed(messages))
        self._weigh(sum(message.size_bytes for message in messages))

    def take(self) -> Message:
        """The oldest message; there must be one."""
        message = self.messages.popleft()
        self._weigh(-message.size_bytes)
        return message

    def clear(self) -> None:
        """Forget everything."""
        self.messages.clear()
        self._weigh(-self._bytes)

    def _weigh(self, change_bytes: int) -> None:
        self._bytes += change_bytes
        self._budget.used_bytes += change_bytes
