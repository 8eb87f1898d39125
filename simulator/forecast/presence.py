"""How many cars of each group are connected at every moment, and what that makes of rates.

Owns peaks and totals of anything that each connected car does at a steady rate, with or without the
rate factor of the phase. Cars count from their arrival to the end of the run: time that a fault
keeps them away is not taken off, so every figure is an upper bound. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Scenario
    from simulator.scenario.timetable import Stretch


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of something.

    Attributes:
        value: In the unit of what it is the peak of.
        where: When or at what, such as `phase rush` or `a car of vans`.
    """

    value: float
    where: str = ""


class Weights:
    """What one connected car of each group does a second.

    Args:
        groups: Number of groups.
        constant: What is done besides, whoever is connected.

    Attributes:
        scaled: Per group, times the rate factor of the phase; shape (groups,).
        fixed: Per group, whatever the phase; shape (groups,).
        constant: As given.
    """

    __slots__ = ("constant", "fixed", "scaled")

    def __init__(self, groups: int, constant: float = 0.0) -> None:
        self.scaled = np.zeros(groups)
        self.fixed = np.zeros(groups)
        self.constant = constant

    def add(self, group: int | None, rate_hz: float, *, is_scaled: bool) -> None:
        """Add to a group, or to what is done besides for None."""
        if group is None:
            self.constant += rate_hz
        elif is_scaled:
            self.scaled[group] += rate_hz
        else:
            self.fixed[group] += rate_hz


class Presence:
    """The cars of a run over time.

    Args:
        scenario: The scenario.
        roster: Its cars.
        arrivals_s: When each car connects first; shape (cars,). Those of the roster when left out.

    Attributes:
        timetable: Phases and rate factor.
        arrivals_s: As given.
        group_of: Index of the group of each car; shape (cars,).
        counts: Cars of each group that arrive before the end; shape (groups,).
    """

    def __init__(
        self, scenario: Scenario, roster: Roster, arrivals_s: NDArray[np.float64] | None = None
    ) -> None:
        self.timetable = Timetable(scenario.phases)
        self.arrivals_s = roster.arrivals_s() if arrivals_s is None else arrivals_s
        self.group_of = np.repeat(
            np.arange(len(roster.groups)), [within.group.count for within in roster.groups]
        )
        comes = self.arrivals_s < self.timetable.end_s
        groups = len(roster.groups)
        self.counts = np.bincount(self.group_of[comes], minlength=groups)
        order = np.argsort(self.arrivals_s[comes], kind="stable")
        self._times = self.arrivals_s[comes][order]
        self._groups = self.group_of[comes][order]
        self._integrals: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        for stretch in self.timetable.stretches:
            since = np.clip(self._times, stretch.start_s, stretch.end_s)
            self._integrals.append(
                (
                    _sums(self._groups, _factor_left(stretch, since), groups),
                    _sums(self._groups, stretch.end_s - since, groups),
                )
            )

    def online(self, until_s: float) -> int:
        """Cars that have arrived before a time."""
        return int(np.searchsorted(self._times, until_s))

    def totals(self, weights: Weights) -> list[float]:
        """How much is done in each phase: the expected number, within one for each car and kind."""
        return [
            float(weights.scaled @ factor_s + weights.fixed @ online_s)
            + weights.constant * (stretch.end_s - stretch.start_s)
            for stretch, (factor_s, online_s) in zip(
                self.timetable.stretches, self._integrals, strict=True
            )
        ]

    def peaks(self, weights: Weights) -> list[float]:
        """The highest rate in each phase."""
        scaled = np.concatenate([[0.0], np.cumsum(weights.scaled[self._groups])])
        fixed = np.concatenate([[0.0], np.cumsum(weights.fixed[self._groups])])
        peaks = []
        for stretch in self.timetable.stretches:
            first = int(np.searchsorted(self._times, stretch.start_s, side="right"))
            last = int(np.searchsorted(self._times, stretch.end_s))
            # Between two arrivals the rate changes linearly, so its peak is at one of these.
            times = np.concatenate([[stretch.start_s], self._times[first:last], [stretch.end_s]])
            online = np.concatenate([[first], np.arange(first + 1, last + 1), [max(first, last)]])
            rates = scaled[online] * _factor(stretch, times) + fixed[online]
            peaks.append(float(rates.max()) + weights.constant)
        return peaks

    def peak(self, weights: Weights) -> Peak:
        """The highest rate of the run, and its phase."""
        values = self.peaks(weights)
        highest = int(np.argmax(values))
        return Peak(values[highest], f"phase {self.timetable.stretches[highest].name}")


def _factor(stretch: Stretch, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    slope = (stretch.rate_to - stretch.rate) / (stretch.end_s - stretch.start_s)
    return stretch.rate + slope * (times_s - stretch.start_s)


def _factor_left(stretch: Stretch, since_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the rate factor from a time within the stretch to its end."""
    return (stretch.end_s - since_s) * (_factor(stretch, since_s) + stretch.rate_to) / 2


def _sums(
    groups: NDArray[np.int64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    return np.asarray(np.bincount(groups, weights=values, minlength=count), dtype=np.float64)


def highest(peaks: Sequence[Peak]) -> Peak:
    """The largest of some peaks; zero for none."""
    return max(peaks, key=lambda peak: peak.value, default=Peak(0.0))
