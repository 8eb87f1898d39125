"""When cars connect: their arrivals, and the reconnects that faults cause.

Owns how many CONNECTs and SUBSCRIBE filters fall into one second and into each phase, and how
often one client id connects. What a fault does to a connection is that of AWS IoT Core: a malformed
or oversized publish ends it, a second client of one name takes it over, silence ends it after one
and a half keep-alives (developer guide, "MQTT"). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.forecast.presence import Peak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Fault, Scenario, VehicleGroup

_ENDS_CONNECTION: Final = {"disconnect", "drop", "oversized-publish", "malformed-publish"}
_KEEP_ALIVE_LONGEST_S: Final = 1200
_KEEP_ALIVE_SHORTEST_S: Final = 30
_ATTEMPTS_FOLLOWED: Final = 64
"""Refused attempts that are placed one by one; a steady rate stands for those after them."""

_LONGEST_SECOND_S: Final = 1.0 - 1e-9
"""Events that are exactly one second apart do not fall into the same second."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Cars of one group that connect about the same moment.

    Attributes:
        group: Index of the group.
        cause: In words.
        at_s: The earliest moment.
        spread_s: Over how long they are spread evenly; 0 for the same moment.
        count: CONNECTs.
        is_accepted: Whether the broker lets them in.
    """

    group: int
    cause: str
    at_s: float
    spread_s: float
    count: int
    is_accepted: bool = True

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Moments of the CONNECTs; shape (count,)."""
        return self.at_s + (np.arange(self.count) + 0.5) / self.count * self.spread_s


@dataclass(frozen=True, slots=True)
class Trickle:
    """Cars of one group that connect one after the other at a steady rate.

    Attributes:
        group: Index of the group.
        cause: In words.
        begin_s: From when.
        end_s: Until when.
        per_s: CONNECTs per second.
        is_accepted: Whether the broker lets them in.
        per_client_per_s: CONNECTs per second of one client id.
    """

    group: int
    cause: str
    begin_s: float
    end_s: float
    per_s: float
    is_accepted: bool = True
    per_client_per_s: float = 0.0

    def count(self, start_s: float, end_s: float) -> float:
        """CONNECTs within a time."""
        return self.per_s * max(0.0, min(end_s, self.end_s) - max(start_s, self.begin_s))


class Connecting:
    """All CONNECTs of the cars.

    Args:
        scenario: The scenario.
        roster: Its cars.
        arrivals_s: When each car connects first; shape (cars,).

    Attributes:
        bursts: Reconnects that faults at a moment cause.
        trickles: Reconnects that faults at a rate cause.
    """

    def __init__(self, scenario: Scenario, roster: Roster, arrivals_s: NDArray[np.float64]) -> None:
        self._roster = roster
        self._end_s = scenario.duration_s
        self._arrivals_s = arrivals_s
        self._groups = [within.group for within in roster.groups]
        self._starts = np.array([within.start for within in roster.groups])
        self.bursts: list[Burst] = []
        self.trickles: list[Trickle] = []
        self._earliest_gap_s: list[tuple[float, str]] = []
        for index, fault in enumerate(scenario.faults):
            if fault.at is None:
                self._add_repeated(fault)
            else:
                self._add_single(index, fault, fault.at)

    def per_second(self, weight: Callable[[VehicleGroup, bool], float]) -> Peak:
        """The most that falls into one second, wherever the second begins.

        Args:
            weight: What a CONNECT of a group counts; its second argument says whether it is a
                reconnect.
        """
        return self._peak(weight, 0.0, self._end_s)

    def peaks(
        self, weight: Callable[[VehicleGroup, bool], float], bounds_s: list[tuple[float, float]]
    ) -> list[float]:
        """The same for the seconds that begin within each of some times."""
        return [self._peak(weight, *bounds).value for bounds in bounds_s]

    def totals(
        self,
        weight: Callable[[VehicleGroup, bool], float],
        bounds_s: list[tuple[float, float]],
        *,
        arrivals: bool = True,
        refused: bool = True,
    ) -> list[float]:
        """Sum of the weights of all CONNECTs within each of some times.

        Args:
            weight: As for `per_second`.
            bounds_s: Beginnings and ends.
            arrivals: Count first CONNECTs too.
            refused: Count those that the broker refuses too.
        """
        first = np.array([weight(group, False) for group in self._groups])
        sums = []
        for start_s, end_s in bounds_s:
            total = 0.0
            if arrivals:
                inside = (self._arrivals_s >= start_s) & (self._arrivals_s < end_s)
                total += float(first[self._group_of(np.flatnonzero(inside))].sum())
            for burst in self.bursts:
                if refused or burst.is_accepted:
                    times = burst.times_s
                    count = int(((times >= start_s) & (times < end_s)).sum())
                    total += count * weight(self._groups[burst.group], True)
            for trickle in self.trickles:
                if refused or trickle.is_accepted:
                    total += trickle.count(start_s, end_s) * weight(
                        self._groups[trickle.group], True
                    )
            sums.append(total)
        return sums

    def per_client_id(self) -> Peak:
        """The most CONNECTs of one client id within a second: 1 when they are further apart.

        Of two faults that hit some cars of a group within a second it is assumed that they hit the
        same car.
        """
        worst = Peak(1.0, "every car")
        for number, group in enumerate(self._groups):
            moments = sorted(
                (burst.at_s, burst.cause) for burst in self.bursts if burst.group == number
            )
            times = np.array([at_s for at_s, _ in moments])
            if len(times):
                within = np.searchsorted(times, times + _LONGEST_SECOND_S) - np.arange(len(times))
                most = int(within.argmax())
                if within[most] > worst.value:
                    worst = Peak(float(within[most]), f"{moments[most][1]} of {group.name}")
        for trickle in self.trickles:
            if trickle.per_client_per_s > worst.value:
                name = self._groups[trickle.group].name
                worst = Peak(trickle.per_client_per_s, f"{trickle.cause} of {name}")
        for gap_s, cause in self._earliest_gap_s:
            if gap_s < _LONGEST_SECOND_S and worst.value < 2:  # noqa: PLR2004 - two CONNECTs
                worst = Peak(2.0, cause)
        return worst

    def at_one_moment(self) -> Peak:
        """The most cars that faults make reconnect at the very same moment."""
        moments: dict[float, tuple[int, str]] = {}
        for burst in self.bursts:
            if burst.spread_s == 0:
                count, _ = moments.get(burst.at_s, (0, ""))
                moments[burst.at_s] = (count + burst.count, burst.cause)
        return max(
            (Peak(float(count), cause) for count, cause in moments.values()),
            key=lambda peak: peak.value,
            default=Peak(0.0),
        )

    def _group_of(self, cars: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, cars, side="right") - 1

    def _peak(
        self, weight: Callable[[VehicleGroup, bool], float], start_s: float, end_s: float
    ) -> Peak:
        inside = np.flatnonzero(
            (self._arrivals_s >= start_s) & (self._arrivals_s < min(end_s + 1.0, self._end_s))
        )
        first = np.array([weight(group, False) for group in self._groups])
        times = [self._arrivals_s[inside]]
        weights = [first[self._group_of(inside)]]
        causes = [np.zeros(len(inside), dtype=np.int64)]
        names = ["arrivals"]
        for burst in self.bursts:
            moments = burst.times_s
            times.append(moments)
            weights.append(np.full(len(moments), weight(self._groups[burst.group], True)))
            causes.append(np.full(len(moments), len(names), dtype=np.int64))
            names.append(burst.cause)
        # A trickle is at its highest from its beginning on.
        starts = [max(start_s, trickle.begin_s) for trickle in self.trickles]
        at = np.concatenate([*times, np.array(starts)])
        heavy = np.concatenate([*weights, np.zeros(len(starts))])
        why = np.concatenate([*causes, np.arange(len(names), len(names) + len(starts))])
        names += [trickle.cause for trickle in self.trickles]
        if not len(at):
            return Peak(0.0)
        order = np.argsort(at, kind="stable")
        at, heavy, why = at[order], heavy[order], why[order]
        sums = np.concatenate([[0.0], np.cumsum(heavy)])
        totals = sums[np.searchsorted(at, at + _LONGEST_SECOND_S)] - sums[np.arange(len(at))]
        for trickle in self.trickles:
            overlap = np.minimum(at + 1.0, trickle.end_s) - np.maximum(at, trickle.begin_s)
            rate = trickle.per_s * weight(self._groups[trickle.group], True)
            totals += rate * np.clip(overlap, 0.0, None)
        totals[(at < start_s) | (at >= end_s)] = 0.0
        most = int(totals.argmax())
        return Peak(float(totals[most]), names[int(why[most])])

    # What faults do

    def _add_single(self, index: int, fault: Fault, at_s: float) -> None:
        victims = self._roster.victims(index)
        victims = victims[self._arrivals_s[victims] <= at_s]
        groups = self._group_of(victims)
        for number, group in enumerate(self._groups):
            hit = victims[groups == number]
            if not len(hit):
                continue
            before = len(self.bursts)
            for part in _consequences(fault, group, number, at_s, len(hit)):
                if isinstance(part, Trickle):
                    self.trickles.append(part)
                elif part.at_s < self._end_s:
                    self.bursts.append(part)
            if len(self.bursts) > before:
                gap_s = self.bursts[before].at_s - float(self._arrivals_s[hit].max())
                self._earliest_gap_s.append((gap_s, f"{fault.kind} just after the arrival"))

    def _add_repeated(self, fault: Fault) -> None:
        start, stop = self._roster.range_of(fault.group)
        end_s = min(self._end_s if fault.end is None else fault.end, self._end_s)
        per_s = fault.per_s or 0.0
        for number, within in enumerate(self._roster.groups):
            cars = min(stop, within.stop) - max(start, within.start)
            if cars <= 0 or end_s <= fault.begin:
                continue
            rate = per_s * cars / (stop - start)
            parts = list(_consequences(fault, within.group, number, fault.begin, 1))
            bursts = [part for part in parts if isinstance(part, Burst)]
            close = sum(part.at_s - bursts[0].at_s < _LONGEST_SECOND_S for part in bursts)
            for part in bursts:
                shift_s = part.at_s - fault.begin
                self.trickles.append(
                    Trickle(
                        number,
                        fault.kind,
                        part.at_s,
                        min(end_s + shift_s, self._end_s),
                        rate,
                        part.is_accepted,
                        max(close, per_s * len(bursts) / (stop - start)),
                    )
                )
            lasting = [part for part in parts if isinstance(part, Trickle)]
            for endless in lasting:
                # Cars that keep trying, as many at a time as are hit while one is.
                length_s = endless.end_s - endless.begin_s
                self.trickles.append(
                    Trickle(
                        number,
                        fault.kind,
                        endless.begin_s,
                        min(end_s + length_s, self._end_s),
                        endless.per_s * rate * length_s,
                        endless.is_accepted,
                        endless.per_client_per_s,
                    )
                )


def _consequences(
    fault: Fault, group: VehicleGroup, number: int, at_s: float, cars: int
) -> Iterator[Burst | Trickle]:
    """The CONNECTs that follow when a fault hits cars of one group at one moment."""
    cause = f"{fault.kind} at {at_s:g} s"
    keep_alive_s = min(
        max(group.keep_alive or _KEEP_ALIVE_LONGEST_S, _KEEP_ALIVE_SHORTEST_S),
        _KEEP_ALIVE_LONGEST_S,
    )
    comes_back = group.reconnect.policy != "none"
    wait_s, spread_s = _wait(group)
    if fault.kind == "storm":
        yield Burst(number, cause, at_s, 0.0, cars)
    elif fault.kind in _ENDS_CONNECTION and comes_back:
        yield Burst(number, cause, at_s + wait_s, spread_s, cars)
    elif fault.kind == "silence" and comes_back and fault.duration > 1.5 * keep_alive_s:
        yield Burst(number, cause, at_s + fault.duration + wait_s, spread_s, cars)
    elif fault.kind == "duplicate-client-id":
        yield Burst(number, cause, at_s, 0.0, cars)
        if comes_back:
            yield Burst(number, cause, at_s + wait_s, spread_s, cars)
    elif fault.kind == "wrong-certificate":
        yield from _refused_attempts(fault, group, number, at_s, cars)
        if comes_back:
            yield Burst(number, cause, at_s + fault.duration + wait_s, spread_s, cars)


def _wait(group: VehicleGroup) -> tuple[float, float]:
    """How long cars wait before the first attempt to come back: at least, and spread over."""
    if group.reconnect.policy != "backoff":
        return 0.0, 0.0
    first_s = min(group.reconnect.first, group.reconnect.longest)
    return (0.0, first_s) if group.reconnect.jitter else (first_s, 0.0)


def _refused_attempts(
    fault: Fault, group: VehicleGroup, number: int, at_s: float, cars: int
) -> Iterator[Burst | Trickle]:
    cause, end_s = f"{fault.kind} at {at_s:g} s", at_s + fault.duration
    yield Burst(number, cause, at_s, 0.0, cars, is_accepted=False)
    if group.reconnect.policy == "immediate":
        # As fast as they are refused; twice a second says that it breaks the quota by at least 2.
        yield Trickle(number, cause, at_s, end_s, 2.0 * cars, False, 2.0)
    if group.reconnect.policy != "backoff":
        return
    time_s, wait_s = at_s, min(group.reconnect.first, group.reconnect.longest)
    mean = 0.5 if group.reconnect.jitter else 1.0
    for _ in range(_ATTEMPTS_FOLLOWED):
        spread_s = wait_s if group.reconnect.jitter else 0.0
        if time_s + mean * wait_s >= end_s:
            return
        begin_s = time_s if group.reconnect.jitter else time_s + wait_s
        yield Burst(number, cause, begin_s, spread_s, cars, is_accepted=False)
        time_s += mean * wait_s
        wait_s = min(2.0 * wait_s, group.reconnect.longest)
    per_client_per_s = 1.0 / (mean * wait_s)
    yield Trickle(number, cause, time_s, end_s, cars * per_client_per_s, False, per_client_per_s)
