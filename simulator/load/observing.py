"""Applications that read: who watches which cars, and the connections that keep the books.

Owns which filters an observer connection has and the join between a connection and its books. What
an observer missed while its connection was lost is lost to it, and its books say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.load.applications import Application
from simulator.load.traffic.books import Books, Lane, LaneKey
from simulator.scenario import watching

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mqtt5

    from simulator.load.connection.client import Client
    from simulator.load.target.identities import KeyPair
    from simulator.load.workspace import WorkSpace
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Observers, Scenario

_LEVELS: Final = 5


class Watch(NamedTuple):
    """What one observer connection watches.

    Attributes:
        filters: Its subscriptions.
        cars: Lane to the numbers of the cars watched.
    """

    filters: list[str]
    cars: dict[LaneKey, list[int]]


def deal(scenario: Scenario, roster: Roster, index: int) -> list[Watch]:
    """What each connection of observers number `index` watches."""
    observers = scenario.applications.observers[index]
    watched = watching.watched_numbers(scenario, roster, index)
    prefix = f"dt/morai/{scenario.fleet}"
    if watching.uses_wildcard(observers):
        streams = watching.wildcard_streams(scenario, observers)
        everything = Watch(
            [f"{prefix}/+/{stream}" for stream in streams], _lanes(scenario, observers, watched)
        )
        return [everything] * observers.count
    levels = {name: watching.levels(scenario.group(name), observers) for name in watched}
    watches = []
    for place in range(observers.count):
        dealt = {name: numbers[place :: observers.count] for name, numbers in watched.items()}
        filters = [
            f"{prefix}/{roster.thing(car)}/{level}"
            for name, numbers in dealt.items()
            for car in numbers
            for level in levels[name]
        ]
        watches.append(Watch(filters, _lanes(scenario, observers, dealt)))
    return watches


def _lanes(
    scenario: Scenario, observers: Observers, numbers: dict[str, list[int]]
) -> dict[LaneKey, list[int]]:
    return {
        (name, stream): cars
        for name, cars in numbers.items()
        if cars
        for stream in watching.streams_read(scenario.group(name), observers)
    }


class Observation(Application):
    """The connections of one group of observers on one worker.

    Args:
        observers: What the scenario says about them.
        names: Client id of each connection.
        pairs: Identity of each connection, or None.
        watches: What each connection watches.
        roster: The cars.
        seed: Seed of the scenario.
        begun_unix_us: A time before the first message of this run.
        work: What all parts of a worker share.

    Attributes:
        books: The books of each connection.
    """

    def __init__(
        self,
        observers: Observers,
        names: Sequence[str],
        pairs: Sequence[KeyPair | None],
        watches: Sequence[Watch],
        roster: Roster,
        *,
        seed: int,
        begun_unix_us: int,
        work: WorkSpace,
    ) -> None:
        super().__init__(observers.name, observers.qos, names, pairs, seed=seed, work=work)
        self._watches = watches
        self._received: dict[str, int] = {}
        self._stretch: tuple[float, float, str] = (0.0, 0.0, "")
        self._sinks: dict[LaneKey, list[float]] = {}
        encodings = {
            (within.group.name, name): stream.encoding
            for within in roster.groups
            for name, stream in within.group.streams.items()
        }
        # Connections that watch the same cars share one table of names.
        distinct = {id(watch.cars): watch.cars for watch in watches}
        finders = {key: Finder(roster, cars) for key, cars in distinct.items()}
        self.books = [
            Books(
                [Lane(*key, encodings[key], cars) for key, cars in watch.cars.items()],
                finders[id(watch.cars)],
                start_unix_us=begun_unix_us,
            )
            for watch in watches
        ]

    def _filters_of(self, index: int) -> Sequence[str]:
        return self._watches[index].filters

    # Reading

    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """Enter a message into the books and measure its way."""
        work = self._work
        arrived_s = work.clock()
        books = self.books[client.index]
        latency_s = books.take(
            packet.topic, packet.payload, work.zero_unix_us + int(arrived_s * 1e6)
        )
        lane = books.lane
        if latency_s is None or lane is None:
            return
        start_s, end_s, phase = self._stretch
        due_s = arrived_s - latency_s
        if not start_s <= due_s < end_s:
            phase = self._enter(due_s)
        sink = self._sinks.get(lane.key)
        if sink is None:
            sink = self._sinks[lane.key] = work.meter.sink("end_to_end_ms", lane.key[0], phase)
        sink.append(latency_s)

    def _enter(self, due_s: float) -> str:
        """Take the phase of a due time as the current one."""
        timetable = self._work.timetable
        self._stretch = timetable.stretch_at(due_s)
        self._sinks = {}
        return self._stretch[2]

    def flush(self) -> None:
        """Hand what arrived since the last time to the meter, by group of the cars."""
        arrived: dict[str, int] = {}
        for books in self.books:
            for lane in books.lanes.values():
                group = lane.key[0]
                arrived[group] = arrived.get(group, 0) + lane.arrived
        for group, total in arrived.items():
            self._work.meter.count("received", group, total - self._received.get(group, 0))
        self._received = arrived


class Finder:
    """Finds the lane and the car of a topic.

    Args:
        roster: The cars.
        watched: Lane to the numbers of the cars watched.
    """

    def __init__(self, roster: Roster, watched: dict[LaneKey, list[int]]) -> None:
        cars = {car for numbers in watched.values() for car in numbers}
        self._cars = {roster.thing(car): car for car in cars}
        self._group_of = roster.group_of
        self._watched = set(watched)

    def __call__(self, topic: str) -> tuple[LaneKey, int] | None:
        """Lane and number of the car of `dt/morai/<fleet>/<thing>/<stream>`, if watched."""
        levels = topic.split("/", _LEVELS)
        if len(levels) != _LEVELS:
            return None
        car = self._cars.get(levels[3])
        if car is None:
            return None
        key = (self._group_of(car).group.name, levels[4])
        return (key, car) if key in self._watched else None
