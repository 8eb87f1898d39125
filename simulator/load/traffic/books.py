"""Exact books of one observer connection: what arrived once, twice, late, unreadable, or never.

Owns the sequence arithmetic for every watched stream of every watched car, and the closing of the
books against what the cars wrote. Messages of a stream of a car carry numbers that are never used
twice; the books know of each number whether it came, in a few bytes as long as they come in order.
Pure; it must not know MQTT, phases, or how latencies are counted up.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

from simulator.load.records import StreamBooks
from simulator.load.traffic.payloads import read_stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from simulator.load.traffic.payloads import Encoding

__all__ = [
    "MAX_GAPS",
    "Books",
    "CarTally",
    "ClosedLane",
    "Counts",
    "Lane",
    "LaneKey",
    "LaneTally",
    "OnTheirWay",
    "close",
]

LaneKey: TypeAlias = tuple[str, str]
"""Group of the cars and name of the stream."""

OnTheirWay: TypeAlias = "Mapping[LaneKey, Mapping[int, Collection[int]]]"
"""Numbers of messages that may still arrive, by lane and car."""

MAX_GAPS: Final = 262_144
"""Gaps that the books of one connection remember, some 20 MB. When there are more, the oldest gap
of the car that opened the newest is forgotten: its numbers stay lost, and one that comes after all
counts as repeated. So an overflow can only make `lost` too large, never too small."""

_US_PER_S: Final = 1e6


class Lane:
    """One watched stream of one group of cars.

    Args:
        group: Group of the cars.
        stream: Name of the stream.
        encoding: How its payloads are to be read.
        cars: Numbers of the cars this connection watches.

    Attributes:
        seen: Messages that arrived, each number counted once.
        repeated: Messages with a number that had arrived before.
        out_of_order: Messages that arrived after a later one.
        undecodable: Messages without a readable stamp.
        strangers: Messages that were due before the run began: those of another run.
        forgotten: Numbers of gaps that were forgotten.
    """

    __slots__ = (
        "cars",
        "encoding",
        "forgotten",
        "key",
        "out_of_order",
        "repeated",
        "seen",
        "strangers",
        "undecodable",
    )

    def __init__(self, group: str, stream: str, encoding: Encoding, cars: Sequence[int]) -> None:
        self.key: LaneKey = (group, stream)
        self.encoding: Encoding = encoding
        self.cars = cars
        self.seen = 0
        self.repeated = 0
        self.out_of_order = 0
        self.undecodable = 0
        self.strangers = 0
        self.forgotten = 0

    @property
    def arrived(self) -> int:
        """All messages of the lane that arrived, whatever they were."""
        return self.seen + self.repeated + self.undecodable + self.strangers


class _Sequence:
    """What is known about the numbers of one stream of one car.

    Attributes:
        lane: Where its messages are counted.
        car: Number of the car.
        next: Number after the highest that arrived.
        missing: Numbers below it that did not arrive.
        gaps: Those numbers as `start, stop, start, stop, ...`, strictly ascending, without the
            forgotten ones; None while there are none.
    """

    __slots__ = ("car", "gaps", "lane", "missing", "next")

    def __init__(self, lane: Lane, car: int) -> None:
        self.lane = lane
        self.car = car
        self.next = 0
        self.missing = 0
        self.gaps: list[int] | None = None


class Books:
    """The books of one connection.

    Args:
        lanes: What it watches.
        find: The lane and car of a topic, or None for a topic it does not watch: a wildcard brings
            whatever fits it. Asked once a watched topic.
        start_unix_us: When the run began; what was due earlier is of another run.
        max_gaps: See `MAX_GAPS`.

    Attributes:
        unknown: Messages on topics that are not watched.
        lane: The lane of the last message that `take` gave a latency for.
    """

    def __init__(
        self,
        lanes: Iterable[Lane],
        find: Callable[[str], tuple[LaneKey, int] | None],
        *,
        start_unix_us: int = 0,
        max_gaps: int = MAX_GAPS,
    ) -> None:
        self.lanes = {lane.key: lane for lane in lanes}
        self.unknown = 0
        self.lane: Lane | None = None
        self._find = find
        self._start_us = start_unix_us
        self._max_gaps = max_gaps
        self._gap_count = 0
        self._by_topic: dict[str, _Sequence] = {}

    def take(self, topic: str, payload: bytes, arrived_unix_us: int) -> float | None:
        """Enter one message.

        Args:
            topic: Its topic.
            payload: Its payload, any bytes.
            arrived_unix_us: When it arrived.

        Returns:
            Seconds since its intended send time (negative when clocks differ), or None for a
            message that is no news: repeated, unreadable, unknown, or of another run.
        """
        sequence = self._by_topic.get(topic)
        if sequence is None:
            sequence = self._open(topic)
            if sequence is None:
                self.unknown += 1
                return None
        lane = sequence.lane
        stamp = read_stamp(lane.encoding, payload)
        if stamp is None:
            lane.undecodable += 1
            return None
        number, due_us = stamp
        if due_us < self._start_us:
            lane.strangers += 1
            return None
        if number == sequence.next:
            sequence.next = number + 1
        elif not self._enter(sequence, number):
            lane.repeated += 1
            return None
        lane.seen += 1
        self.lane = lane
        return (arrived_unix_us - due_us) / _US_PER_S

    def seen_by_car(self, key: LaneKey) -> dict[int, int]:
        """How many messages of each car of a lane arrived; cars never heard are left out."""
        return {
            sequence.car: sequence.next - sequence.missing
            for sequence in self._by_topic.values()
            if sequence.lane.key == key
        }

    def tallies(self) -> list[LaneTally]:
        """All that closing the books needs, as plain values that go between processes."""
        heard: dict[LaneKey, list[CarTally]] = {key: [] for key in self.lanes}
        for sequence in self._by_topic.values():
            heard[sequence.lane.key].append(
                CarTally(
                    sequence.car,
                    sequence.next - sequence.missing,
                    sequence.next,
                    list(sequence.gaps or ()),
                )
            )
        return [
            LaneTally(
                group=lane.key[0],
                stream=lane.key[1],
                cars=list(lane.cars),
                heard=heard[lane.key],
                repeated=lane.repeated,
                out_of_order=lane.out_of_order,
                undecodable=lane.undecodable,
                strangers=lane.strangers,
                forgotten=lane.forgotten,
            )
            for lane in self.lanes.values()
        ]

    def close(
        self,
        observer: str,
        written: Mapping[LaneKey, Counts],
        on_their_way: OnTheirWay | None = None,
    ) -> list[ClosedLane]:
        """The books of this connection alone; see the function `close` for those of several."""
        return close(observer, self.tallies(), written, on_their_way)

    def _open(self, topic: str) -> _Sequence | None:
        found = self._find(topic)
        lane = None if found is None else self.lanes.get(found[0])
        if found is None or lane is None:
            return None
        sequence = self._by_topic[topic] = _Sequence(lane, found[1])
        return sequence

    def _enter(self, sequence: _Sequence, number: int) -> bool:
        """Note a number that is not the next one; whether it is new."""
        gaps = sequence.gaps
        if number > sequence.next:
            if gaps is None:
                gaps = sequence.gaps = []
            gaps += (sequence.next, number)
            sequence.missing += number - sequence.next
            sequence.next = number + 1
            self._gap_count += 1
        else:
            # An odd place lies behind a start and before its stop: inside a gap.
            place = bisect_right(gaps, number) if gaps else 0
            if not gaps or not place & 1:
                return False
            start, stop = gaps[place - 1 : place + 1]
            left = [start, number] if start < number else []
            right = [number + 1, stop] if number + 1 < stop else []
            gaps[place - 1 : place + 1] = left + right
            sequence.missing -= 1
            sequence.lane.out_of_order += 1
            self._gap_count += (len(left) + len(right)) // 2 - 1
            if not gaps:
                sequence.gaps = None
        if self._gap_count > self._max_gaps and gaps:
            sequence.lane.forgotten += gaps[1] - gaps[0]
            del gaps[:2]
            self._gap_count -= 1
        return True


# Closing


class Counts(Protocol):
    """A number for every car number: a list, an array or a mapping."""

    def __getitem__(self, car: int, /) -> int:
        """The number of that car."""


class CarTally(msgspec.Struct, frozen=True, array_like=True):
    """What came from one car on one stream.

    Attributes:
        car: Number of the car.
        seen: Messages that arrived, each counted once.
        next: Number after the highest that arrived.
        gaps: Numbers below it that did not, as `start, stop, start, stop, ...`.
    """

    car: int
    seen: int
    next: int
    gaps: list[int]

    def has(self, number: int) -> bool:
        """Whether a number arrived; True also for one whose gap was forgotten."""
        return number < self.next and not bisect_right(self.gaps, number) & 1


class LaneTally(msgspec.Struct, frozen=True, kw_only=True):
    """One connection's books on one lane; the counters are those of `Lane`.

    Attributes:
        group: Group of the cars.
        stream: The stream.
        cars: The cars watched.
        heard: Those of them that were heard.
    """

    group: str
    stream: str
    cars: list[int]
    heard: list[CarTally]
    repeated: int
    out_of_order: int
    undecodable: int
    strangers: int
    forgotten: int


@dataclass(frozen=True, slots=True)
class ClosedLane:
    """The closed books of a group of observers on one stream of one group of cars.

    Attributes:
        books: What the result records.
        strangers: Messages of another run on the same topics.
        surplus: Messages seen beyond what their cars wrote. Unless it is 0 somebody else publishes
            as these cars, and `books.lost` is only a lower bound.
        forgotten: Numbers of gaps that were forgotten. Unless it is 0, `books.lost` and
            `books.repeated` are upper bounds and `books.seen` and `books.out_of_order` lower ones.
    """

    books: StreamBooks
    strangers: int
    surplus: int
    forgotten: int


def close(
    observer: str,
    tallies: Iterable[LaneTally],
    written: Mapping[LaneKey, Counts],
    on_their_way: OnTheirWay | None = None,
) -> list[ClosedLane]:
    """Close the books of all connections of a group of observers.

    What was lost follows from the counts alone: a car's messages that were written, did not arrive
    and are not on their way. So the tail of a stream, of which no later message tells, counts too,
    and it does not matter whether the numbers written have holes.

    Args:
        observer: Name of the observers.
        tallies: Of every connection, in any order.
        written: For each lane, how many messages each car wrote, by car number.
        on_their_way: Numbers of written messages that may still arrive (QoS 1 without PUBACK).
            One that arrived already is not taken off.

    Raises:
        LookupError: `written` lacks a lane or a car that was watched.
    """
    by_key: dict[LaneKey, list[LaneTally]] = {}
    for tally in tallies:
        by_key.setdefault((tally.group, tally.stream), []).append(tally)
    return [
        _close_lane(observer, key, of_key, written[key], (on_their_way or {}).get(key, {}))
        for key, of_key in by_key.items()
    ]


def _close_lane(
    observer: str,
    key: LaneKey,
    tallies: list[LaneTally],
    written: Counts,
    on_their_way: Mapping[int, Collection[int]],
) -> ClosedLane:
    total = seen = lost = surplus = 0
    watched: set[int] = set()
    for tally in tallies:
        heard = {of_car.car: of_car for of_car in tally.heard}
        for car in tally.cars:
            of_car = heard.pop(car, None) or CarTally(car, 0, 0, [])
            wrote = int(written[car])
            away = sum(not of_car.has(number) for number in on_their_way.get(car, ()))
            total += wrote
            seen += of_car.seen
            lost += max(0, wrote - of_car.seen - away)
            surplus += max(0, of_car.seen - wrote)
        watched.update(tally.cars)
        surplus += sum(of_car.seen for of_car in heard.values())
    return ClosedLane(
        StreamBooks(
            observer=observer,
            group=key[0],
            stream=key[1],
            cars=len(watched),
            written=total,
            seen=seen,
            lost=lost,
            repeated=sum(tally.repeated for tally in tallies),
            out_of_order=sum(tally.out_of_order for tally in tallies),
            undecodable=sum(tally.undecodable for tally in tallies),
        ),
        strangers=sum(tally.strangers for tally in tallies),
        surplus=surplus,
        forgotten=sum(tally.forgotten for tally in tallies),
    )
