"""Who takes part: every car of a scenario with its number, name, group, arrival and phase offset.

A car is known by its number from 0, in the order of the groups; everything random about it is drawn
from the scenario's seed and that number, so it does not depend on how cars are dealt to workers.
Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.scenario.schema import AtOnce, AtRate, Over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.schema import Arrival, Fault, Scenario, VehicleGroup

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_VICTIMS: Final = 1
"""Purposes of random draws, so that two draws for one seed never share a sequence."""


@dataclass(frozen=True, slots=True)
class GroupRange:
    """The cars of one group: numbers `start` to `stop - 1`."""

    group: VehicleGroup
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Strikes:
    """When a fault strikes: `count` times at equal distances, from `first_s` to `last_s`."""

    first_s: float
    last_s: float
    count: int

    def at_s(self, nth: int) -> float:
        """When it strikes for the time number `nth`, from 0."""
        if self.count <= 1:
            return self.first_s
        return self.first_s + nth * ((self.last_s - self.first_s) / (self.count - 1))


class Roster:
    """The cars of a scenario.

    Args:
        scenario: The scenario.
        things: Thing names to use in order, when identities come from a store; otherwise cars are
            named `<fleet>-<group>-<number>`.

    Attributes:
        groups: The groups with their number ranges, in order.
        count: Cars of all groups.
    """

    def __init__(self, scenario: Scenario, things: list[str] | None = None) -> None:
        self._scenario = scenario
        ranges, start = [], 0
        for group in scenario.vehicles:
            ranges.append(GroupRange(group, start, start + group.count))
            start += group.count
        self.groups = tuple(ranges)
        self.count = start
        if things is not None and len(things) < start:
            raise ValueError(f"{len(things)} thing names for {start} cars")
        self._things = things

    def thing(self, number: int) -> str:
        """Thing name and client id of a car."""
        if self._things is not None:
            return self._things[number]
        within = self.group_of(number)
        digits = max(4, len(str(within.group.count)))
        index = number - within.start + 1
        return f"{self._scenario.fleet}-{within.group.name}-{index:0{digits}d}"

    def group_of(self, number: int) -> GroupRange:
        """The group a car belongs to."""
        for within in self.groups:
            if number < within.stop:
                return within
        raise IndexError(number)

    def range_of(self, group: str | None) -> tuple[int, int]:
        """Number range `[start, stop)` of a group; of all cars for None."""
        if group is None:
            return 0, self.count
        for within in self.groups:
            if within.group.name == group:
                return within.start, within.stop
        raise KeyError(group)

    def arrivals_s(self) -> NDArray[np.float64]:
        """When each car connects for the first time, seconds from the start; shape (count,).

        Groups without an arrival of their own share that of the scenario: their cars take turns in
        proportion to the sizes of the groups.
        """
        times = np.empty(self.count)
        shared = [r for r in self.groups if r.group.arrival is None]
        for within in self.groups:
            if within.group.arrival is not None:
                ranks = np.arange(within.group.count, dtype=float)
                times[within.start : within.stop] = _arrival_s(
                    within.group.arrival, ranks, within.group.count
                )
        if shared:
            numbers = np.concatenate([np.arange(r.start, r.stop) for r in shared])
            # Each car's place in line within its own group, as a fraction, decides its turn.
            fractions = np.concatenate(
                [(np.arange(r.group.count) + 0.5) / r.group.count for r in shared]
            )
            order = np.argsort(fractions, kind="stable")
            ranks = np.empty(len(numbers))
            ranks[order] = np.arange(len(numbers))
            times[numbers] = _arrival_s(self._scenario.arrival, ranks, len(numbers))
        return times

    def offsets(self) -> NDArray[np.float64]:
        """Where in its publish period each car is at the start, 0 to below 1; shape (count,).

        Multiples of the golden ratio, so that the cars of any group and of any worker are spread
        evenly over the period (the three-distance theorem) instead of publishing in lock-step.
        """
        start = (self._scenario.seed * _GOLDEN) % 1.0
        return np.asarray((start + np.arange(1, self.count + 1) * _GOLDEN) % 1.0)

    def victims(self, index: int) -> NDArray[np.int64]:
        """Numbers of the cars that fault number `index` hits, in the order of being hit.

        With `share` a random part of the group; otherwise all of its cars in random order.
        """
        fault = self._scenario.faults[index]
        start, stop = self.range_of(fault.group)
        generator = np.random.default_rng([self._scenario.seed, _VICTIMS, index])
        shuffled = generator.permutation(np.arange(start, stop))
        if fault.share is None:
            return shuffled
        return shuffled[: max(1, round(fault.share * (stop - start)))]

    def strikes(self, fault: Fault) -> Strikes:
        """When a fault strikes: once for all its victims, or one after the other.

        Never at or after the end of the run, unless its `at` is.
        """
        if fault.at is not None:
            return Strikes(fault.at, fault.at, 1)
        length_s = self._scenario.duration_s
        end_s = length_s if fault.end is None else min(fault.end, length_s)
        spacing_s = 1.0 / (fault.per_s or 1.0)
        count = max(0, math.ceil((end_s - fault.begin) / spacing_s))
        return Strikes(fault.begin, fault.begin + max(0, count - 1) * spacing_s, count)


def _arrival_s(arrival: Arrival, ranks: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if isinstance(arrival, AtOnce):
        return np.full(len(ranks), arrival.after)
    if isinstance(arrival, AtRate):
        return arrival.after + ranks / arrival.per_s
    if isinstance(arrival, Over):
        return arrival.after + ranks * (arrival.duration / count)
    # A rate that changes linearly from a to b over T brings (a + b) / 2 * T cars; car number n
    # comes when a t + (b - a) t^2 / 2T = n, solved in the stable form of the quadratic's root.
    low, high = arrival.from_per_s, arrival.to_per_s
    length_s = 2.0 * count / (low + high)
    slope = (high - low) / length_s
    root = np.sqrt(np.maximum(low * low + 2.0 * slope * ranks, 0.0))
    divisor = low + root
    return arrival.after + np.divide(
        2.0 * ranks, divisor, out=np.zeros_like(ranks), where=divisor > 0
    )
