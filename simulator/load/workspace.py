"""What all parts of one worker share: its clock, its timetable, where it connects and counts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.load.traffic.agenda import Agenda

if TYPE_CHECKING:
    import asyncio

    from simulator.load.connection.client import Endpoint
    from simulator.load.meter import Meter
    from simulator.scenario.timetable import Timetable


class RunClock:
    """Seconds of the run: 0 at its start, negative before it.

    All workers on a machine read the same clock (`time.monotonic` counts from one origin for every
    process on Linux, macOS and Windows), so they agree to the microsecond.
    """

    __slots__ = ("_zero_s",)

    def __init__(self, zero_s: float = 0.0) -> None:
        self._zero_s = zero_s

    def start(self, zero_s: float) -> float:
        """Set when the run starts, on `time.monotonic`; by how much times read before must move."""
        by_s = self._zero_s - zero_s
        self._zero_s = zero_s
        return by_s

    def __call__(self) -> float:
        """The time now."""
        return time.monotonic() - self._zero_s


@dataclass(slots=True)
class WorkSpace:
    """What all parts of one worker share.

    Attributes:
        loop: The event loop.
        clock: Seconds of the run.
        timetable: The phases.
        endpoint: Where to connect.
        meter: Where everything is counted.
        agenda: What happens later.
        zero_unix_us: Unix time at 0 of the clock, in microseconds.
    """

    loop: asyncio.AbstractEventLoop
    clock: RunClock
    timetable: Timetable
    endpoint: Endpoint
    meter: Meter
    agenda: Agenda = field(default_factory=Agenda)
    zero_unix_us: int = 0
