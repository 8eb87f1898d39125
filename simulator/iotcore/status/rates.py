"""Rates of totals that only rise, over the last seconds. Pure.

Two kinds, because a broker has a dozen totals of its own and those of many thousand clients: for
the first a window of samples, for the second two snapshots that take turns. Both are bounded by
what they are given.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_S: Final = 10.0
_LEAST_S: Final = 0.05


class Rates:
    """Rates over the last ten seconds.

    Args:
        now_s: The time now.
        totals: By name, now.
    """

    def __init__(self, now_s: float, totals: Mapping[str, int]) -> None:
        self._samples: deque[tuple[float, Mapping[str, int]]] = deque([(now_s, dict(totals))])

    def sample(self, now_s: float, totals: Mapping[str, int]) -> None:
        """Take the totals down, about once a second."""
        samples = self._samples
        samples.append((now_s, dict(totals)))
        while len(samples) > 1 and now_s - samples[1][0] >= WINDOW_S:
            samples.popleft()

    def per_s(self, now_s: float, totals: Mapping[str, int]) -> dict[str, float]:
        """The rate of each total since the oldest sample."""
        then_s, before = self._samples[0]
        elapsed_s = max(now_s - then_s, _LEAST_S)
        return {name: (total - before.get(name, 0)) / elapsed_s for name, total in totals.items()}


class Traffic:
    """Rates of clients over the last 10 to 20 seconds.

    Args:
        now_s: The time now.
    """

    def __init__(self, now_s: float) -> None:
        self._older: tuple[float, dict[str, tuple[int, int]]] = (now_s, {})
        self._newer = self._older

    def is_due(self, now_s: float) -> bool:
        """Whether the totals are to be taken down again."""
        return now_s - self._newer[0] >= WINDOW_S

    def sample(self, now_s: float, totals: Mapping[str, tuple[int, int]]) -> None:
        """Take the totals of every client down."""
        self._older = self._newer
        self._newer = (now_s, dict(totals))

    def per_s(self, client_id: str, now_s: float, totals: tuple[int, int]) -> tuple[float, float]:
        """Rates of a client, in and out.

        One that was not there at the older snapshot, or has less than it had then because it
        connected anew, is counted from zero.
        """
        then_s, before = self._older
        elapsed_s = max(now_s - then_s, _LEAST_S)
        was_in, was_out = before.get(client_id, (0, 0))
        if totals[0] < was_in or totals[1] < was_out:
            was_in = was_out = 0
        return (totals[0] - was_in) / elapsed_s, (totals[1] - was_out) / elapsed_s
