"""The clock of a stand-in: the machine's, moved ahead when a test travels in time.

One object gives both times the broker needs, the one that never runs backwards and Unix time, so
that a journey moves both. The core itself never asks it; the shell passes `now_s` on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

TRAVEL_MAX_S = 10 * 365 * 86_400
"""Longest single journey. Certificates of AWS run to 2049; nothing needs more."""


class Clock:
    """Seconds since an arbitrary zero, and what Unix time it was then.

    Args:
        monotonic_s: A clock that never runs backwards.
        unix_s: Unix time.

    Attributes:
        unix_s_at_zero: Unix time at the moment `now_s` was 0. It does not change when the clock
            travels, because `now_s` does.
    """

    __slots__ = ("_monotonic_s", "_travelled_s", "unix_s_at_zero")

    def __init__(self, monotonic_s: Callable[[], float], unix_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._travelled_s = 0.0
        self.unix_s_at_zero = unix_s() - monotonic_s()

    @classmethod
    def of_machine(cls) -> Self:
        """The clock of this machine, the same as that of an asyncio event loop."""
        return cls(time.monotonic, time.time)

    def now_s(self) -> float:
        """Now, in seconds that never run backwards."""
        return self._monotonic_s() + self._travelled_s

    def unix_s(self) -> float:
        """Now, in Unix time."""
        return self.unix_s_at_zero + self.now_s()

    @property
    def travelled_s(self) -> float:
        """How far the clock is ahead of the machine's."""
        return self._travelled_s

    def travel(self, seconds: float) -> None:
        """Move ahead. What is due by then happens when the broker advances next.

        Raises:
            ConfigurationError: The journey goes back, or further than ten years.
        """
        if not 0 <= seconds <= TRAVEL_MAX_S:
            raise ConfigurationError(
                f"cannot travel {seconds} seconds", f"choose 0 to {TRAVEL_MAX_S} seconds"
            )
        self._travelled_s += seconds
