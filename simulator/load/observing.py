"""Applications that read: who watches which cars, and the connections that keep the books.

Owns the subscriptions of observer connections and the join between a connection and its books. An
observer that loses its connection comes back and subscribes again; what it missed meanwhile is lost
to it, and its books say so.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.load.connection.client import Client, Pending, Settings
from simulator.load.connection.reason_codes import FAILURE
from simulator.load.connection.reconnecting import delay_s
from simulator.load.traffic.books import Books, Lane, LaneKey
from simulator.scenario import watching
from simulator.scenario.schema import Reconnect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mqtt5

    from simulator.load.target.identities import KeyPair
    from simulator.load.workspace import WorkSpace
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Observers, Scenario

FILTERS_PER_SUBSCRIBE: Final = 8
"""AWS IoT Core takes no more in one SUBSCRIBE (endpoints and quotas, "Subscriptions per
subscribe request")."""

_LEVELS: Final = 5
_KEEP_ALIVE_S: Final = 60
_RECONNECT: Final = Reconnect(policy="backoff", first=0.5, longest=5.0)


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


class Observation:
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
        bytes_in: Bytes read.
        bytes_out: Bytes written.
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
        self.name = observers.name
        self.bytes_in = 0
        self.bytes_out = 0
        self._qos = observers.qos
        self._watches = watches
        self._work = work
        self._seed = seed
        self._received: dict[str, int] = {}
        self._is_over = False
        self._losses = [0] * len(names)
        self._unanswered = [0] * len(names)
        self._ready = [False] * len(names)
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
        settings = Settings(keep_alive_s=_KEEP_ALIVE_S)
        self.clients = [
            Client(self, index, name, settings, work.loop, work.clock, pairs[index])
            for index, name in enumerate(names)
        ]

    # Connecting

    @property
    def is_ready(self) -> bool:
        """Whether every connection has its subscriptions."""
        return all(self._ready)

    def connect(self) -> None:
        """Let every connection connect and subscribe."""
        for client in self.clients:
            client.connect(self._work.endpoint)

    def _connect(self, index: int, _now_s: float) -> None:
        if not self._is_over:
            self.clients[index].connect(self._work.endpoint)

    def client_linked(self, client: Client, now_s: float, /) -> None:
        """TLS stands; only cars are timed."""

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """Subscribe."""
        filters = self._watches[client.index].filters
        self._unanswered[client.index] = 0
        for start in range(0, len(filters), FILTERS_PER_SUBSCRIBE):
            chunk = filters[start : start + FILTERS_PER_SUBSCRIBE]
            client.subscribe([(name, self._qos) for name in chunk], now_s)
            self._unanswered[client.index] += 1
        if not filters:
            self._ready[client.index] = True

    def client_subscribed(self, client: Client, reasons: list[int], /) -> None:
        """A SUBACK came. One that refuses a filter leaves the connection without all it needs."""
        self._work.meter.subscribed(reasons)
        if all(reason < FAILURE for reason in reasons):
            self._unanswered[client.index] -= 1
        if self._unanswered[client.index] == 0:
            self._ready[client.index] = True

    def client_ended(self, client: Client, cause: str, /, *, was_connected: bool) -> None:  # noqa: ARG002 - of the protocol
        """The connection ended; come back."""
        if self._is_over:
            return
        work = self._work
        work.meter.reason(f"{cause} ({self.name})")
        index = client.index
        self._losses[index] += 1
        wait_s = delay_s(_RECONNECT, client.attempts, self._seed, -1 - index, self._losses[index])
        if wait_s is not None:
            work.agenda.at(work.clock() + wait_s, partial(self._connect, index))

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

    def client_acknowledged(self, _client: Client, _pending: Pending, _reason: int, /) -> None:
        """Observers publish nothing."""

    def client_resent(self, _client: Client, _count: int, /) -> None:
        """Observers publish nothing."""

    # Ending

    def look_after(self, now_s: float) -> None:
        """Look after the connections: pings, time-outs."""
        for client in self.clients:
            if client.link is not None:
                client.look_after(now_s)

    def end(self) -> None:
        """Disconnect."""
        self._is_over = True
        for client in self.clients:
            client.disconnect()


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
