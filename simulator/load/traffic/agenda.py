"""What is to be done when: one heap of calls for everything of a worker that is not a publish lane.

Connection attempts, faults, delayed answers and commands stand in it. Bounded by what puts entries
in: at most a few for each car. Pure; times are seconds of the run.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Act: TypeAlias = "Callable[[float], object]"
"""Called with the time now."""


class Agenda:
    """Calls in order of their time; those of the same time in order of their entry."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Act]] = []
        self._entered = 0

    def __len__(self) -> int:
        return len(self._entries)

    def at(self, due_s: float, act: Act) -> None:
        """Enter a call.

        Args:
            due_s: When.
            act: What; called with the time at which it is really done.
        """
        self._entered += 1
        heapq.heappush(self._entries, (due_s, self._entered, act))

    def do_due(self, now_s: float) -> None:
        """Do what is due; what a call enters for now or earlier waits for the next time."""
        due: list[Act] = []
        while self._entries and self._entries[0][0] <= now_s:
            due.append(heapq.heappop(self._entries)[2])
        for act in due:
            act(now_s)

    def shift(self, by_s: float) -> None:
        """Move every entry, when the clock is set to another zero."""
        # Moved alike, they stay in the order of a heap.
        self._entries = [(due_s + by_s, number, act) for due_s, number, act in self._entries]

    def next_due_s(self) -> float:
        """When the next call is due; infinity when there is none."""
        return self._entries[0][0] if self._entries else math.inf
