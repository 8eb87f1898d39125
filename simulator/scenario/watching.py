"""Which observer connection reads what: the one rule by which cars and filters are dealt out.

With wildcards every connection reads every car through one filter a stream. Otherwise a share of
the cars of each group is watched, and these are dealt out one by one, beginning anew with each
group, so that the first connection never has fewer than another. What is checked, forecast and run
all follows from here. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Observers, Scenario, VehicleGroup

LaneKey: TypeAlias = tuple[str, str]
"""Name of a group and of one of its streams."""

_WATCHED: Final = 2
"""Purpose of the random draw; see `simulator.scenario.roster`."""


def uses_wildcard(observers: Observers) -> bool:
    """Whether each connection reads everything through one filter a stream."""
    if observers.filters == "auto":
        return observers.count == 1 and observers.share == 1
    return observers.filters == "wildcard"


def streams_read(group: VehicleGroup, observers: Observers) -> list[str]:
    """Streams of a group that observers of it read, in the order of the group."""
    return [name for name in group.streams if name in (observers.streams or group.streams)]


def groups_read(scenario: Scenario, observers: Observers) -> list[VehicleGroup]:
    """The groups of which observers read something."""
    return [
        group
        for group in scenario.vehicles
        if observers.group in {None, group.name} and streams_read(group, observers)
    ]


def cars_watched(group: VehicleGroup, observers: Observers) -> int:
    """How many cars of a group are watched: at least one."""
    return max(1, round(observers.share * group.count))


def levels(group: VehicleGroup, observers: Observers) -> list[str]:
    """Last levels of the filters for one car: `+` when all of its streams are read."""
    read = streams_read(group, observers)
    return ["+"] if len(read) == len(group.streams) else read


def wildcard_streams(scenario: Scenario, observers: Observers) -> list[str]:
    """Streams that are read through one filter each, in order of name."""
    groups = groups_read(scenario, observers)
    return sorted({name for group in groups for name in streams_read(group, observers)})


def most_filters(scenario: Scenario, observers: Observers) -> int:
    """Filters of the connection that has the most."""
    if uses_wildcard(observers):
        return len(wildcard_streams(scenario, observers))
    return _most_dealt(scenario, observers, observers.count)


def all_filters(scenario: Scenario, observers: Observers) -> int:
    """Filters of all connections together."""
    if uses_wildcard(observers):
        return observers.count * len(wildcard_streams(scenario, observers))
    return _most_dealt(scenario, observers, 1)


def connections_needed(scenario: Scenario, observers: Observers, filters_max: int) -> int:
    """Fewest connections of which none has more than `filters_max` filters, dealt out.

    When one car of each group is already too much, the number that deals out no more than that.
    """
    groups = groups_read(scenario, observers)
    highest = max((cars_watched(group, observers) for group in groups), default=1)
    count = min(highest, max(1, -(-_most_dealt(scenario, observers, 1) // filters_max)))
    while count < highest and _most_dealt(scenario, observers, count) > filters_max:
        count += 1
    return count


def watched_numbers(scenario: Scenario, roster: Roster, index: int) -> dict[str, list[int]]:
    """Group to the numbers of its cars that observers number `index` watch, ascending.

    A share is drawn at random, the same for a seed.
    """
    observers = scenario.applications.observers[index]
    read = {group.name for group in groups_read(scenario, observers)}
    generator = np.random.default_rng([scenario.seed, _WATCHED, index])
    found: dict[str, list[int]] = {}
    for within in roster.groups:
        if within.group.name not in read:
            continue
        numbers = np.arange(within.start, within.stop)
        if observers.share < 1:
            size = cars_watched(within.group, observers)
            numbers = np.sort(generator.choice(numbers, size, replace=False))
        found[within.group.name] = numbers.tolist()
    return found


def _most_dealt(scenario: Scenario, observers: Observers, count: int) -> int:
    """Filters of the first of `count` connections that cars are dealt to."""
    return sum(
        -(-cars_watched(group, observers) // count) * len(levels(group, observers))
        for group in groups_read(scenario, observers)
    )
