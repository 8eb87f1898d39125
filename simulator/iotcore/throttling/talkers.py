"""Who was refused most, in bounded memory however many clients there are.

The Space-Saving algorithm (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and
Top-k Elements in Data Streams, 2005): a client that is not known takes the place of the one with
the lowest count and inherits it, so a count is never too low, and too high by at most `excess`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

KEPT: Final = 128
"""Clients remembered for each cause. Whoever has more than 1/128 of all refusals is among them."""


class Talker(NamedTuple):
    """One client.

    Attributes:
        client_id: Which one.
        events: How often at most.
        excess: By how much that may be too high.
    """

    client_id: str
    events: int
    excess: int


class TopTalkers:
    """The clients with most events of one kind. Counting takes the same time for any number.

    Args:
        kept: How many are remembered, at least one.
    """

    __slots__ = ("_counts", "_excess", "_kept", "_lowest", "_with_count")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._counts: dict[str, int] = {}
        self._excess: dict[str, int] = {}
        # Count -> the clients that have it, the longest unchanged first.
        self._with_count: dict[int, dict[str, None]] = {}
        self._lowest = 0

    def count(self, client_id: str) -> None:
        """Count one event of a client."""
        known = self._counts.get(client_id)
        if known is not None:
            self._leave(client_id, known)
            self._put(client_id, known + 1)
        elif len(self._counts) < self._kept:
            self._excess[client_id] = 0
            self._put(client_id, 1)
            self._lowest = 1
        else:
            lowest = self._lowest
            leaving = next(iter(self._with_count[lowest]))
            del self._counts[leaving], self._excess[leaving]
            self._leave(leaving, lowest)
            self._excess[client_id] = lowest
            self._put(client_id, lowest + 1)

    def top(self) -> list[Talker]:
        """All that are remembered, the highest count first, then by name."""
        talkers = [
            Talker(client_id, count, self._excess[client_id])
            for client_id, count in self._counts.items()
        ]
        return sorted(talkers, key=lambda talker: (-talker.events, talker.client_id))

    def _put(self, client_id: str, count: int) -> None:
        self._counts[client_id] = count
        self._with_count.setdefault(count, {})[client_id] = None

    def _leave(self, client_id: str, count: int) -> None:
        """Take a client out of those with a count; it, or who replaces it, gets one more."""
        alike = self._with_count[count]
        del alike[client_id]
        if not alike:
            del self._with_count[count]
            if count == self._lowest:
                self._lowest = count + 1
