"""When everything of a run is due: phases, the rate factor over time, and its integral.

A stream that publishes `rate_hz` times a second at factor 1 has its message number `k` (with the
car's own offset `phi` between 0 and 1) due when `rate_hz * integral(t) = k + phi`, where the
integral is that of the rate factor from the start. So the intended send time of every message of
every car is known before the run, no clock is asked, and a car that falls behind has no say in it.

Pure; times are seconds from the start of the run.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from simulator.scenario.schema import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

AFTER = "drain"
"""Name of the stretch after the last phase, in which nothing more is due."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase with its place in time.

    Attributes:
        name: Name of the phase.
        start_s: When it begins.
        end_s: When it ends.
        rate: Rate factor at its start.
        rate_to: Rate factor at its end.
        integral: Integral of the rate factor from the start of the run to its start.
    """

    name: str
    start_s: float
    end_s: float
    rate: float
    rate_to: float
    integral: float

    def integral_at(self, time_s: float) -> float:
        """Integral of the rate factor at a time within the stretch."""
        elapsed_s = time_s - self.start_s
        slope = (self.rate_to - self.rate) / (self.end_s - self.start_s)
        return self.integral + elapsed_s * (self.rate + 0.5 * slope * elapsed_s)

    def time_of(self, integral: float) -> float:
        """The earliest time within the stretch at which the integral has a value it reaches."""
        wanted = integral - self.integral
        slope = (self.rate_to - self.rate) / (self.end_s - self.start_s)
        # The stable form of the quadratic's root: no difference of nearly equal numbers.
        root = math.sqrt(max(0.0, self.rate * self.rate + 2.0 * slope * wanted))
        divisor = self.rate + root
        return self.start_s + (2.0 * wanted / divisor if divisor else 0.0)


class Timetable:
    """Phases one after the other.

    Args:
        phases: At least one.
    """

    @classmethod
    def steady(cls, duration_s: float) -> Self:
        """One phase at factor 1, for what phases do not scale."""
        return cls([Phase(name="run", duration=duration_s)])

    def __init__(self, phases: Sequence[Phase]) -> None:
        stretches: list[Stretch] = []
        start_s = integral = 0.0
        for phase in phases:
            rate_to = phase.rate if phase.rate_to is None else phase.rate_to
            end_s = start_s + phase.duration
            stretches.append(Stretch(phase.name, start_s, end_s, phase.rate, rate_to, integral))
            integral += phase.duration * (phase.rate + rate_to) / 2
            start_s = end_s
        self.stretches = tuple(stretches)
        self.end_s = start_s
        self.integral_end = integral
        self._starts = [stretch.start_s for stretch in stretches]
        self._integrals = [stretch.integral for stretch in stretches]
        self._integral_array = np.array(self._integrals)
        self._columns = np.array(
            [[s.start_s, s.end_s, s.rate, s.rate_to, s.integral] for s in stretches]
        ).T

    def phase_at(self, time_s: float) -> str:
        """Name of the phase at a time; `AFTER` from the end on."""
        return self.stretches[self._index(time_s)].name if time_s < self.end_s else AFTER

    def stretch_at(self, time_s: float) -> tuple[float, float, str]:
        """Start, end and name of the phase at a time; `AFTER` has no end."""
        if time_s >= self.end_s:
            return self.end_s, math.inf, AFTER
        stretch = self.stretches[self._index(time_s)]
        return stretch.start_s, stretch.end_s, stretch.name

    def rate_at(self, time_s: float) -> float:
        """The rate factor at a time; 0 from the end on."""
        if time_s >= self.end_s:
            return 0.0
        stretch = self.stretches[self._index(time_s)]
        share = max(0.0, time_s - stretch.start_s) / (stretch.end_s - stretch.start_s)
        return stretch.rate + share * (stretch.rate_to - stretch.rate)

    def integral_at(self, time_s: float) -> float:
        """Integral of the rate factor from the start; flat before it and after the end."""
        if time_s >= self.end_s:
            return self.integral_end
        return self.stretches[self._index(time_s)].integral_at(time_s) if time_s > 0 else 0.0

    def time_of(self, integral: float) -> float:
        """The earliest time at which the integral has a value from 0 to `integral_end`."""
        # Where the factor is 0 the integral stands still; what became due before counts.
        index = max(0, bisect_left(self._integrals, integral) - 1)
        stretch = self.stretches[index]
        return min(stretch.time_of(integral), stretch.end_s)

    def times_of(self, integrals: NDArray[np.float64]) -> NDArray[np.float64]:
        """`time_of` for many values at once; ascending values give ascending times."""
        index = np.maximum(np.searchsorted(self._integral_array, integrals, side="left") - 1, 0)
        start_s, end_s, rate, rate_to, integral = self._columns[:, index]
        wanted = integrals - integral
        slope = (rate_to - rate) / (end_s - start_s)
        root = np.sqrt(np.maximum(rate * rate + 2.0 * slope * wanted, 0.0))
        divisor = rate + root
        elapsed_s = np.divide(2.0 * wanted, divisor, out=np.zeros_like(wanted), where=divisor > 0)
        return np.asarray(np.minimum(start_s + elapsed_s, end_s))

    def _index(self, time_s: float) -> int:
        return max(0, bisect_right(self._starts, time_s) - 1)
