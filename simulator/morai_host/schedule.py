"""When each publishing channel is due.

Owns pacing without drift: due times lie on a fixed grid per channel, so late ticks do not lower the
rate, and a long gap is skipped instead of being made up for in a rush. It must not know what is
published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A tick that comes this fraction of a period early still counts, so that a caller who ticks at the
# channel's own rate with some jitter gets one message a tick.
_EARLY = 0.25


@dataclass(slots=True)
class Schedule:
    """Due times of channels.

    Attributes:
        rates_hz: Messages a second by channel; a channel with rate 0 is off.
    """

    rates_hz: Mapping[str, float]
    _due_s: dict[str, float] = field(default_factory=dict)

    def due(self, now_s: float) -> list[str]:
        """Name the channels that are due, and move their next due time on.

        Every channel is due at the first call. A clock that jumps back restarts the grid.
        """
        names = []
        for name, rate_hz in self.rates_hz.items():
            if rate_hz <= 0.0:
                continue
            period_s = 1.0 / rate_hz
            due_s = self._due_s.get(name, now_s)
            if due_s - now_s > period_s * (1.0 + _EARLY):
                due_s = now_s
            if now_s < due_s - _EARLY * period_s:
                continue
            names.append(name)
            missed = max(0, math.floor((now_s - due_s) / period_s))
            self._due_s[name] = due_s + (missed + 1) * period_s
        return names

    def deadline_s(self) -> float:
        """When the next channel is due; minus infinity before the first call of `due`."""
        active = [name for name, rate_hz in self.rates_hz.items() if rate_hz > 0.0]
        return min((self._due_s.get(name, -math.inf) for name in active), default=math.inf)
