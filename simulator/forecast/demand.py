"""What a scenario will ask of a broker: the sums over its cars, applications and faults.

Owns how the figures follow from `presence`, `connecting` and `flows`. Every figure is what the
scenario asks for, not what a broker will let through, and an upper bound where faults keep cars
away. Knows no limit and no price. Pure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.forecast import flows as flow
from simulator.forecast import sizes
from simulator.forecast.connecting import Connecting
from simulator.forecast.figures import (
    START,
    ConnectionDemand,
    Demand,
    Need,
    PhaseDemand,
    Usage,
)
from simulator.forecast.presence import Peak, Presence, Weights, highest
from simulator.scenario import watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.forecast.flows import Flow, PayloadBytes
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Scenario, VehicleGroup
    from simulator.scenario.timetable import Stretch

__all__ = ["MONTH_S", "Demand", "of"]

MONTH_S: Final = 30 * 86_400
"""A month has 30 days, as in the examples of the AWS IoT Core pricing page."""

_KB: Final = 1024
_SESSION_EXPIRY_S: Final = 3600
_FILTERS_OF_SUBSCRIBE: Final = 8
"""Filters that clients of a run put into one SUBSCRIBE at most."""


def of(
    scenario: Scenario,
    roster: Roster,
    payload_bytes: PayloadBytes = sizes.stream_payload_bytes,
) -> Demand:
    """What a scenario will ask of a broker.

    Streams follow the rate factor of the phases; shadow reports and commands keep their rates.

    Args:
        scenario: The scenario.
        roster: Its cars.
        payload_bytes: Typical payload of a stream (name, stream, thing name).

    Raises:
        ConfigurationError: A name leaves no room for the topics of the contract.
    """
    return _Sums(scenario, roster, flow.flows_of(scenario, roster, payload_bytes)).demand()


class _Sums:
    def __init__(self, scenario: Scenario, roster: Roster, flows: list[Flow]) -> None:
        self.scenario = scenario
        self.roster = roster
        self.flows = flows
        self.presence = Presence(scenario, roster)
        self.connecting = Connecting(scenario, roster, self.presence.arrivals_s)
        stretches = self.presence.timetable.stretches
        self.bounds_s = [(stretch.start_s, stretch.end_s) for stretch in stretches]
        applications = scenario.applications
        self.application_filters = [
            *(
                (item.count, watching.most_filters(scenario, item))
                for item in applications.observers
            ),
            *(
                (item.count, flow.commander_filters(scenario, item))
                for item in applications.commanders
            ),
        ]
        self.applications = sum(count for count, _ in self.application_filters)
        self.all_application_filters = sum(
            watching.all_filters(scenario, item) for item in applications.observers
        ) + sum(
            item.count * flow.commander_filters(scenario, item) for item in applications.commanders
        )

    def demand(self) -> Demand:
        connections = tuple(self._connections())
        phases = tuple(self._phases())
        run, month = self._usage()
        return Demand(
            scenario=self.scenario.name,
            duration_s=self.scenario.duration_s,
            cars=self.roster.count,
            cars_connecting=int(self.presence.counts.sum()),
            phases=phases,
            connections=connections,
            needs=self._needs(connections),
            reconnecting_at_once=self.connecting.at_one_moment(),
            run=run,
            month=month,
            notes=tuple(self._notes()),
        )

    # Sums over flows

    def _weights(self, value: Callable[[Flow], float]) -> Weights:
        weights = Weights(len(self.roster.groups))
        for item in self.flows:
            amount = value(item)
            if amount:
                weights.add(item.group, item.rate_hz * amount, is_scaled=item.is_scaled)
        return weights

    def _phases(self) -> Iterable[PhaseDemand]:
        if self.applications:
            count = float(self.applications)
            filters = float(self.all_application_filters)
            yield PhaseDemand(START, 0.0, 0.0, 0, count, count, filters, filters, 0, 0, 0, 0, 0, 0)
        published = self._weights(lambda item: float(item.sender is not None))
        counted = self._weights(lambda item: item.counts_as)
        delivered = self._weights(_copies)
        columns = zip(
            self.presence.timetable.stretches,
            self.connecting.totals(_one, self.bounds_s),
            self.connecting.peaks(_one, self.bounds_s),
            self.connecting.totals(_filters, self.bounds_s, refused=False),
            self.connecting.peaks(_filters, self.bounds_s),
            self.presence.totals(published),
            self.presence.peaks(counted),
            self.presence.totals(delivered),
            self.presence.peaks(delivered),
            self.presence.totals(self._weights(_bytes_in)),
            self.presence.totals(self._weights(lambda item: _copies(item) * item.packet_bytes)),
            strict=True,
        )
        for stretch, *figures in columns:
            online = self.presence.online(stretch.end_s)
            yield PhaseDemand(stretch.name, stretch.start_s, stretch.end_s, online, *figures)

    def _connections(self) -> Iterable[ConnectionDemand]:
        for index, within in enumerate(self.roster.groups):
            name = within.group.name
            yield self._connection(
                "car", name, within.group.count, flow.car_filters(within.group), index
            )
        for observers in self.scenario.applications.observers:
            filters = watching.most_filters(self.scenario, observers)
            yield self._connection("observer", observers.name, observers.count, filters)
        for commanders in self.scenario.applications.commanders:
            filters = flow.commander_filters(self.scenario, commanders)
            yield self._connection("commander", commanders.name, commanders.count, filters)

    def _connection(
        self, kind: str, name: str, count: int, filters: int, group: int | None = None
    ) -> ConnectionDemand:
        """The busiest connection of one kind."""

        def sends(item: Flow) -> float:
            return item.sender_share if item.sender == name else 0.0

        def receives(item: Flow) -> float:
            return sum(reader.share for reader in item.readers if reader.name == name)

        def peak(value: Callable[[Flow], float]) -> Peak:
            weights = self._weights(value)
            if group is not None:
                # What all cars of a group do together is, for one of them, what it does itself.
                return self._peak_of_one(weights, group)
            return self.presence.peak(weights)

        both = peak(lambda item: sends(item) + receives(item))
        busy = peak(lambda item: (sends(item) + receives(item)) * item.packet_bytes)
        return ConnectionDemand(
            kind,
            name,
            count,
            peak(sends).value,
            peak(receives).value,
            both.value,
            busy.value / _KB,
            filters,
            both.where,
        )

    def _peak_of_one(self, weights: Weights, group: int) -> Peak:
        """The highest rate of one car of a group, in the phases in which one of it is there."""
        cars = np.flatnonzero(self.presence.group_of == group)
        first_s = float(self.presence.arrivals_s[cars].min())
        peaks = [Peak(0.0)]
        for stretch in self.presence.timetable.stretches:
            if first_s < stretch.end_s:
                factor = _highest_factor(stretch, first_s)
                value = weights.scaled[group] * factor + weights.fixed[group] + weights.constant
                peaks.append(Peak(float(value), f"phase {stretch.name}"))
        return highest(peaks)

    # What quotas bound

    def _needs(self, connections: tuple[ConnectionDemand, ...]) -> dict[Need, Peak]:
        groups = self.scenario.vehicles
        cars = float(self.presence.counts.sum())
        filters_of_cars = sum(
            int(count) * flow.car_filters(group)
            for count, group in zip(self.presence.counts, groups, strict=True)
        )
        keep_alives = [Peak(float(g.keep_alive), f"a car of {g.name}") for g in groups]
        requests = self._weights(lambda item: float(item.kind == "shadow"))
        needs = {
            Need.CONNECTS: highest(
                [self.connecting.per_second(_one), Peak(float(self.applications), "applications")]
            ),
            Need.CONNECTS_OF_CLIENT: self.connecting.per_client_id(),
            Need.CONNECTIONS: Peak(cars + self.applications, "all clients"),
            Need.CLIENT_ID_BYTES: highest(
                [
                    Peak(
                        float(len(flow.longest_thing(self.roster, within).encode())),
                        f"a car of {within.group.name}",
                    )
                    for within in self.roster.groups
                ]
            ),
            Need.KEEP_ALIVE_LEAST_S: min(keep_alives, key=lambda peak: peak.value),
            Need.KEEP_ALIVE_MOST_S: highest(keep_alives),
            Need.SESSION_EXPIRY_S: highest(
                [
                    Peak(float(_SESSION_EXPIRY_S), f"a car of {group.name}")
                    for group in groups
                    if group.session == "persistent"
                ]
            ),
            Need.PUBLISHES_IN: self.presence.peak(self._weights(lambda item: item.counts_as)),
            Need.PUBLISHES_OUT: self.presence.peak(self._weights(_copies)),
            Need.PUBLISHES_OF_CONNECTION: highest(
                [Peak(item.publishes_per_s, item.label) for item in connections]
            ),
            Need.KILOBYTES_OF_CONNECTION: highest(
                [Peak(item.kilobytes_per_s, item.label) for item in connections]
            ),
            Need.IN_FLIGHT: highest(
                [
                    Peak(float(group.in_flight), f"a car of {group.name}")
                    for group in groups
                    if any(item.sender == group.name and item.qos for item in self.flows)
                ]
            ),
            Need.PAYLOAD_BYTES: highest(
                [Peak(float(item.payload_bytes), item.name) for item in self.flows]
            ),
            Need.TOPIC_BYTES: highest(
                [Peak(float(item.topic_bytes), item.name) for item in self.flows]
            ),
            Need.TOPIC_SLASHES: highest(
                [Peak(float(item.topic_slashes), item.name) for item in self.flows]
            ),
            Need.SUBSCRIPTIONS: Peak(
                float(filters_of_cars + self.all_application_filters), "all clients"
            ),
            Need.SUBSCRIPTIONS_OF_CONNECTION: highest(
                [Peak(float(item.filters), item.label) for item in connections]
            ),
            Need.SUBSCRIBES: highest(
                [
                    self.connecting.per_second(_filters),
                    Peak(float(self.all_application_filters), "applications"),
                ]
            ),
            Need.FILTERS_OF_SUBSCRIBE: highest(
                [
                    Peak(float(min(_FILTERS_OF_SUBSCRIBE, item.filters)), item.label)
                    for item in connections
                ]
            ),
            Need.QUEUED: self._queued(),
            Need.RETAINED: Peak(0.0, "no message is retained"),
            Need.SHADOW_REQUESTS: self.presence.peak(requests),
            Need.SHADOW_REQUESTS_OF_SHADOW: highest(
                [
                    Peak(1.0 / group.shadow.every, f"a car of {group.name}")
                    for group in groups
                    if group.shadow is not None
                ]
            ),
        }
        if any(group.commands and group.commands.protocol == "aws" for group in groups):
            answers = sum(item.rate_hz for item in self.flows if item.kind == "accepted")
            aws = {g.name for g in groups if g.commands and g.commands.protocol == "aws"}
            starts = sum(
                item.rate_hz
                for item in self.flows
                if item.kind == "command" and item.readers[0].name in aws
            )
            needs[Need.COMMAND_STARTS] = Peak(starts, "commanders")
            needs[Need.COMMAND_UPDATES] = Peak(answers, "answers of cars")
        return needs

    def _queued(self) -> Peak:
        """QoS 1 commands to cars with a persistent session that a fault takes offline."""
        hit = {
            group.name
            for fault in self.scenario.faults
            for group in self.scenario.vehicles
            if group.session == "persistent" and fault.group in {None, group.name}
        }
        rate_hz = sum(
            item.rate_hz
            for item in self.flows
            if item.kind == "command" and item.qos and item.readers[0].name in hit
        )
        return Peak(rate_hz, f"commands to offline cars of {', '.join(sorted(hit))}" if hit else "")

    # What is metered

    def _usage(self) -> tuple[Usage, Usage]:
        end_s = self.scenario.duration_s
        whole = [(0.0, end_s)]
        cars = self.presence.arrivals_s[self.presence.arrivals_s < end_s]
        reconnects = self.connecting.totals(_one, whole, arrivals=False, refused=False)[0]
        resubscribes = self.connecting.totals(_filters, whole, arrivals=False, refused=False)[0]
        first = Usage(
            connects=float(len(cars) + self.applications),
            subscribes=self._first_subscribes(),
        )
        again = Usage(connects=reconnects, subscribes=resubscribes)
        until_s = end_s + self.scenario.drain
        minutes = float(np.ceil((until_s - cars) / 60.0).sum())
        minutes += self.applications * math.ceil(until_s / 60.0) + reconnects
        run = (
            Usage(connection_minutes=minutes)
            .plus(first)
            .plus(again)
            .plus(self._traffic(self.presence))
        )
        everybody = Presence(
            self.scenario,
            self.roster,
            # Cars that never come in the run do not come in the month either.
            np.where(self.presence.arrivals_s < end_s, 0.0, end_s),
        )
        always = Usage(connection_minutes=(len(cars) + self.applications) * MONTH_S / 60.0)
        repeated = again.plus(self._traffic(everybody))
        return run, always.plus(first).plus(repeated, MONTH_S / end_s)

    def _first_subscribes(self) -> float:
        packets = float(
            sum(
                int(count) * flow.car_filters(group)
                for count, group in zip(self.presence.counts, self.scenario.vehicles, strict=True)
            )
        )
        for count, filters in self.application_filters:
            packets += count * math.ceil(filters / _FILTERS_OF_SUBSCRIBE)
        return packets

    def _traffic(self, presence: Presence) -> Usage:
        def total(value: Callable[[Flow], float]) -> float:
            return sum(presence.totals(self._weights(value)))

        return Usage(
            publishes_in=total(lambda item: item.units if item.sender is not None else 0.0),
            publishes_out=total(lambda item: _copies(item) * item.units),
            acknowledgements=total(
                lambda item: sum(reader.copies for reader in item.readers if reader.qos)
            ),
            shadow_operations=total(
                lambda item: float(
                    sizes.metering_units(0, item.payload_bytes, sizes.SHADOW_UNIT_BYTES)
                    if item.kind == "shadow"
                    else 0
                )
            ),
        )

    def _notes(self) -> Iterable[str]:
        late = self.roster.count - int(self.presence.counts.sum())
        if late:
            yield f"{late:,} cars would arrive after the end and are not counted"
        if self.scenario.faults:
            yield "cars count as connected while faults keep them away"
        kinds = {fault.kind for fault in self.scenario.faults}
        if "oversized-publish" in kinds:
            yield "oversized publishes break the payload quota on purpose and are not counted"
        if any(
            group.reconnect.policy == "immediate" and self.scenario.faults
            for group in self.scenario.vehicles
        ):
            yield (
                "a car with reconnect policy immediate that is refused tries again within the "
                "second, which breaks the quota of one CONNECT per second and client id"
            )
        if any(group.client == "sdk" for group in self.scenario.vehicles):
            yield "cars on the AWS device SDK reconnect by the SDK's own backoff"


def _highest_factor(stretch: Stretch, first_s: float) -> float:
    """The highest rate factor of a phase from a time on."""
    share = max(0.0, first_s - stretch.start_s) / (stretch.end_s - stretch.start_s)
    return max(stretch.rate + (stretch.rate_to - stretch.rate) * share, stretch.rate_to)


def _one(group: VehicleGroup, is_reconnect: bool) -> float:  # noqa: ARG001 - every CONNECT is one
    return 1.0


def _filters(group: VehicleGroup, is_reconnect: bool) -> float:
    # A persistent session keeps its subscriptions, so a car that comes back to it asks for none.
    if is_reconnect and group.session == "persistent":
        return 0.0
    return float(flow.car_filters(group))


def _copies(item: Flow) -> float:
    return sum(reader.copies for reader in item.readers)


def _bytes_in(item: Flow) -> float:
    return float(item.packet_bytes) if item.sender is not None else 0.0
