"""Which of the samples that arrive are kept: rate limiting, and the onset of contacts.

Owns decisions about single samples, nothing about their content or encoding. Both classes are pure:
the caller gives the time, from any clock that counts seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["OnsetFilter", "RateSampler"]


class RateSampler:
    """Thins a stream to a rate without drifting away from it.

    Due times lie on a grid of one period. A sample is kept when it arrives no earlier than half a
    period before the next due time, which then advances by exactly one period: over any long run
    the kept rate is the smaller of source rate and `rate_hz`, whatever the jitter, and a source at
    the very rate asked for loses nothing to jitter below half a period. After a pause the grid
    starts anew, so that no burst makes up for it; after the clock stepped back likewise.

    Args:
        rate_hz: Kept samples a second at most.

    Raises:
        ValueError: The rate is not a positive number.
    """

    __slots__ = ("_due_s", "_period_s")

    def __init__(self, rate_hz: float) -> None:
        if not 0 < rate_hz < float("inf"):
            raise ValueError(f"rate_hz must be a positive number, not {rate_hz}")
        self._period_s = 1 / rate_hz
        self._due_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether to keep the sample that arrives at this time."""
        period_s = self._period_s
        due_s = self._due_s
        # A due time is at most one and a half periods ahead unless the clock stepped back.
        if due_s is None or now_s - due_s >= period_s or due_s - now_s > 2 * period_s:
            self._due_s = now_s + period_s
            return True
        if now_s < due_s - period_s / 2:
            return False
        self._due_s = due_s + period_s
        return True


class OnsetFilter:
    """Lets an event through when it begins and not again while it lasts.

    The simulator repeats a collision in every datagram for as long as the contact lasts. An event
    counts as ended once it has not been reported for `quiet_s`.

    Args:
        quiet_s: How long an event must be absent before it counts as new.
        capacity: Events remembered at once; beyond it the one reported longest ago is forgotten
            and would count as new.
    """

    __slots__ = ("_capacity", "_quiet_s", "_seen")

    def __init__(self, quiet_s: float = 1.0, capacity: int = 64) -> None:
        if quiet_s < 0 or capacity < 1:
            raise ValueError("quiet_s must not be negative and capacity at least 1")
        self._quiet_s = quiet_s
        self._capacity = capacity
        self._seen: dict[Hashable, float] = {}

    def is_onset(self, event: Hashable, now_s: float) -> bool:
        """Whether this report begins a new event.

        Args:
            event: What identifies it, such as the number of the object that was hit.
            now_s: Time of the report.
        """
        last_s = self._seen.pop(event, None)
        self._seen[event] = now_s
        if len(self._seen) > self._capacity:
            del self._seen[next(iter(self._seen))]
        return last_s is None or not 0 <= now_s - last_s <= self._quiet_s
