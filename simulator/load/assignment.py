"""What a worker is given and what it gives back: the only things that cross to another process.

A run is divided by giving each worker a range of every group's cars and some of the application
connections. Owns that division and the shapes of both directions; any transport can carry them.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from simulator.load.traffic.books import LaneTally
from simulator.scenario.schema import StandInTarget

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from simulator.load.target.identities import CarIdentities, Identities, KeyPair
    from simulator.load.target.opening import Route
    from simulator.quotas.table import QuotaTable
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Share:
    """Cars numbered `start` to `stop - 1` of group number `group`, with their identities."""

    group: int
    start: int
    stop: int
    identities: CarIdentities


@dataclass(frozen=True, slots=True)
class Place:
    """One application connection.

    Attributes:
        kind: Whether it reads or commands.
        index: Which entry of the scenario's observers or commanders.
        place: Which of that entry's connections, from 0.
        name: Client id.
        pair: Its identity, if any.
    """

    kind: Literal["observer", "commander"]
    index: int
    place: int
    name: str
    pair: KeyPair | None


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What the worker with the probes needs besides the scenario.

    Attributes:
        pair: The identity that all their clients share.
        table: The quotas in force.
        mode: Whether they are enforced or only observed.
    """

    pair: KeyPair
    table: QuotaTable
    mode: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one worker does. Picklable.

    Attributes:
        worker: Its number, from 0.
        scenario: The scenario.
        base: Folder that relative paths in the scenario start from.
        things: Thing names of all cars, when they come from a store.
        shares: Its cars.
        places: Its application connections.
        route: Where to connect.
        now: The present, for certificates that are made.
        sampled: Numbers of the cars whose positions are recorded.
        probes: The probes, if this worker has them.
    """

    worker: int
    scenario: Scenario
    base: Path
    things: list[str] | None
    shares: tuple[Share, ...]
    places: tuple[Place, ...]
    route: Route
    now: datetime
    sampled: frozenset[int]
    probes: ProbePlan | None = None


class Start(msgspec.Struct, frozen=True, tag=True):
    """When the run begins.

    Attributes:
        zero_s: On `time.monotonic`.
        unix_s: The same moment in Unix time.
        run: Identity of the run.
    """

    zero_s: float
    unix_s: float
    run: str


class Written(msgspec.Struct, frozen=True):
    """What the cars of one share wrote on one stream.

    Attributes:
        group: The group.
        stream: The stream.
        first: Number of the first car.
        counts: Messages numbered by each car.
        on_their_way: Car number to the numbers of messages that may still arrive.
    """

    group: str
    stream: str
    first: int
    counts: list[int]
    on_their_way: dict[int, list[int]]


class Tallied(msgspec.Struct, frozen=True):
    """The books of one observer connection on one lane."""

    observer: str
    tally: LaneTally


class Closing(msgspec.Struct, frozen=True, tag=True):
    """The last word of a worker.

    Attributes:
        written: What its cars wrote.
        tallies: The books of its observers.
        connected: Group to cars that were connected at least once.
        unacknowledged: Group to QoS 1 publishes without PUBACK.
    """

    written: list[Written]
    tallies: list[Tallied]
    connected: dict[str, int]
    unacknowledged: dict[str, int]


APART_FROM = 2_000
"""Cars from which on applications do not share a worker with them."""

SAMPLED_MAX = 60
"""Cars whose way is recorded for the map."""


def divide(
    scenario: Scenario,
    roster: Roster,
    identities: Identities,
    route: Route,
    *,
    workers: int,
    base: Path,
    now: datetime,
    quotas: QuotaTable | None = None,
) -> list[Assignment]:
    """Give every worker its part.

    Args:
        scenario: The scenario.
        roster: The cars.
        identities: With which identities they connect.
        route: Where to.
        workers: How many workers the cars are divided among. Beside a large fleet the applications
            have a further one to themselves, so that a busy generator does not make them slow
            readers.
        base: Folder of the scenario file.
        now: The present.
        quotas: The quotas in force, for probes. They are the last worker's.
    """
    step = max(1, roster.count // SAMPLED_MAX)
    sampled = frozenset(range(0, roster.count, step)[:SAMPLED_MAX])
    places = _places(scenario, identities)
    is_apart = bool(places) and roster.count >= APART_FROM
    assignments = []
    for worker in range(workers):
        shares = []
        for index, within in enumerate(roster.groups):
            size = within.stop - within.start
            start = within.start + worker * size // workers
            stop = within.start + (worker + 1) * size // workers
            if stop > start:
                shares.append(Share(index, start, stop, identities.cars(start, stop)))
        assignments.append(
            Assignment(
                worker,
                scenario,
                base,
                identities.things,
                tuple(shares),
                () if is_apart else tuple(places[worker::workers]),
                route,
                now,
                sampled,
            )
        )
    if is_apart:
        assignments.append(
            Assignment(
                workers, scenario, base, identities.things, (), tuple(places), route, now, sampled
            )
        )
    target = scenario.target
    if identities.probe is not None and quotas is not None and isinstance(target, StandInTarget):
        plan = ProbePlan(identities.probe, quotas, target.quota_mode)
        assignments[-1] = replace(assignments[-1], probes=plan)
    return assignments


def _places(scenario: Scenario, identities: Identities) -> list[Place]:
    places: list[Place] = []
    applications = scenario.applications
    entries: list[tuple[Literal["observer", "commander"], int, str]] = [
        *(("observer", index, entry.name) for index, entry in enumerate(applications.observers)),
        *(("commander", index, entry.name) for index, entry in enumerate(applications.commanders)),
    ]
    for kind, index, entry in entries:
        for place, name in enumerate(identities.applications[entry]):
            places.append(Place(kind, index, place, name, identities.application(name)))
    return places
