"""When the broker must act without being asked: one heap for all timers of all clients.

A key has at most one deadline. Moving it leaves the old heap entry behind, to be skipped when it
surfaces and swept out before the heap holds more stale entries than live ones. Nothing here is
touched per packet: keep-alive looks at the time of the last packet only when its deadline surfaces.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    Key = TypeVar("Key", bound=Hashable)
else:
    Key = TypeVar("Key")

_STALE_ENTRIES_MIN = 1_024


class Deadlines(Generic[Key]):
    """Pending deadlines by key."""

    __slots__ = ("_at_s", "_count", "_heap")

    def __init__(self) -> None:
        self._at_s: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        # Breaks ties, so that keys are never compared.
        self._count = 0

    def __len__(self) -> int:
        return len(self._at_s)

    def set(self, key: Key, at_s: float) -> None:
        """Give a key its deadline, replacing an earlier one."""
        self._at_s[key] = at_s
        self._count += 1
        heapq.heappush(self._heap, (at_s, self._count, key))
        if len(self._heap) > 2 * len(self._at_s) + _STALE_ENTRIES_MIN:
            self._heap = [entry for entry in self._heap if self._at_s.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Take a key's deadline away; a key without one is ignored."""
        self._at_s.pop(key, None)

    def at_s(self, key: Key) -> float | None:
        """The deadline of a key, or None."""
        return self._at_s.get(key)

    def next_s(self) -> float | None:
        """The earliest deadline, or None."""
        heap = self._heap
        while heap and self._at_s.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now_s: float) -> Iterator[Key]:
        """Take out every key whose deadline has come, earliest first."""
        while (at_s := self.next_s()) is not None and at_s <= now_s:
            key = heapq.heappop(self._heap)[2]
            del self._at_s[key]
            yield key
