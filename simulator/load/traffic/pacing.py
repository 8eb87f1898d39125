"""Which car publishes when: an open-loop timetable that nothing in the run can delay.

A lane is one stream of the cars of one group. Message `k` of a car with offset `phi` is due when
the lane's rate times the integral of the phase factor equals `k + phi`, so a lane is one ascending
row of messages: all cars in order of their offset, again and again. What is due is a slice of that
row. Whether a car could send is not asked here; a due time never moves.

Pure; times are seconds from the start of the run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.timetable import Timetable

ROW_LENGTH: Final = 2_048
"""Messages whose due times are computed at once, and the most that are handed out at once."""


class Slice(NamedTuple):
    """Messages that are due, in order of their due time.

    Attributes:
        cars: Index of each message's car within the lane.
        due_s: Intended send time of each.
    """

    cars: list[int]
    due_s: list[float]


NOTHING: Final = Slice([], [])


class Lane:
    """One stream of some cars.

    Args:
        timetable: The phases.
        rate_hz: Messages per second and car at factor 1.
        offsets: Each car's place in the period, 0 to below 1; shape (cars,).
    """

    def __init__(self, timetable: Timetable, rate_hz: float, offsets: NDArray[np.float64]) -> None:
        self._timetable = timetable
        self._rate_hz = rate_hz
        self._order = np.argsort(offsets, kind="stable")
        self._offsets = offsets[self._order]
        self._computed = 0
        self._is_computed = not len(offsets)
        self._last_s = math.nextafter(timetable.end_s, 0.0)
        self._cars: list[int] = []
        self._due_s: list[float] = []
        self._given = 0

    def due(self, now_s: float) -> Slice:
        """What became due since the last call, at most `ROW_LENGTH` messages.

        Args:
            now_s: The time now; never earlier than in the last call.
        """
        if self._given == len(self._due_s) and not self._compute():
            return NOTHING
        start = self._given
        stop = bisect_right(self._due_s, now_s, start)
        if stop == start:
            return NOTHING
        self._given = stop
        return Slice(self._cars[start:stop], self._due_s[start:stop])

    def next_due_s(self) -> float:
        """When the next message is due; infinity when none is."""
        if self._given == len(self._due_s) and not self._compute():
            return math.inf
        return self._due_s[self._given]

    def _compute(self) -> bool:
        """Compute the next stretch of the row; whether there is one."""
        if self._is_computed:
            return False
        positions = np.arange(self._computed, self._computed + ROW_LENGTH)
        rounds, places = np.divmod(positions, len(self._offsets))
        integrals = (rounds + self._offsets[places]) / self._rate_hz
        # Nothing is due from the end of the last phase on.
        count = int(np.searchsorted(integrals, self._timetable.integral_end, side="left"))
        self._is_computed = count < ROW_LENGTH
        if not count:
            return False
        self._computed += count
        self._cars = self._order[places[:count]].tolist()
        times_s = self._timetable.times_of(integrals[:count])
        # Rounding must not move the last message to the end, where no phase is.
        self._due_s = np.minimum(times_s, self._last_s).tolist()
        self._given = 0
        return True
