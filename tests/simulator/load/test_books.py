"""The observers' books agree with a naive model of them, and never claim a false zero."""

from __future__ import annotations

import json
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.traffic.books import Books, Counts, Lane, LaneKey, LaneTally, close

STATE: LaneKey = ("vans", "state")
GNSS: LaneKey = ("vans", "gnss")


def topic(car: int, stream: str = "state") -> str:
    """The topic of a car's stream."""
    return f"dt/morai/load/car-{car}/{stream}"


def find(name: str) -> tuple[LaneKey, int] | None:
    """The lane and car of a topic."""
    thing, _, stream = name.removeprefix("dt/morai/load/").partition("/")
    if not thing.startswith("car-"):
        return None
    return ("vans", stream), int(thing[4:])


def message(number: int, due_us: int = 5_000_000) -> bytes:
    """A payload with a stamp."""
    return json.dumps({"seq": number, "due_us": due_us}).encode()


def books(cars: int = 2, **options: int) -> Books:
    """Books on the states of some cars."""
    return Books([Lane("vans", "state", "flat", range(cars))], find, **options)


def test_a_message_in_order_gives_its_latency() -> None:
    """The latency counts from the intended send time in the message."""
    book = books()
    assert book.take(topic(0), message(0, 5_000_000), 5_012_500) == pytest.approx(0.0125)
    assert book.lane is book.lanes[STATE]
    assert book.lanes[STATE].seen == 1
    assert book.take(topic(0), message(1, 6_000_000), 5_999_000) == pytest.approx(-0.001)


def test_each_kind_of_message_is_counted_as_what_it_is() -> None:
    """Repeated, late, unreadable, foreign and unknown messages each have their counter."""
    book = books(start_unix_us=1_000)
    for number in (0, 3, 1, 3, 0, 1):
        book.take(topic(1), message(number), 5_000_000)
    assert book.take(topic(1), b"{", 5_000_000) is None
    assert book.take(topic(1), message(2, due_us=999), 5_000_000) is None
    assert book.take(topic(1, "gnss"), message(0), 5_000_000) is None
    assert book.take("somebody/else", message(0), 5_000_000) is None
    lane = book.lanes[STATE]
    assert (lane.seen, lane.repeated, lane.out_of_order) == (3, 3, 1)
    assert (lane.undecodable, lane.strangers, book.unknown) == (1, 1, 2)
    assert book.seen_by_car(STATE) == {1: 3}


def test_repeated_messages_have_no_latency() -> None:
    """Only the first copy of a message says how long it took."""
    book = books()
    book.take(topic(0), message(0), 5_000_000)
    assert book.take(topic(0), message(0), 6_000_000) is None


def test_the_tail_that_never_arrived_is_lost() -> None:
    """A stream that breaks off has no later message to tell of the gap; the counts do."""
    book = books(cars=3)
    for number in range(5):
        book.take(topic(0), message(number), 5_000_000)
    book.take(topic(1), message(1), 5_000_000)
    [closed] = book.close("watchers", {STATE: np.array([8, 2, 4])})
    assert (closed.books.cars, closed.books.written, closed.books.seen) == (3, 14, 6)
    # 3 of the tail of car 0, number 0 of car 1, and everything of car 2, which was never heard.
    assert closed.books.lost == 3 + 1 + 4
    assert (closed.surplus, closed.strangers, closed.forgotten) == (0, 0, 0)


def test_what_is_on_its_way_is_not_lost_unless_it_came() -> None:
    """An unacknowledged message is not lost yet; one that arrived hides no other's loss."""
    book = books(cars=1)
    for number in (0, 1, 3, 9):
        book.take(topic(0), message(number), 5_000_000)
    [closed] = book.close("watchers", {STATE: [11]}, {STATE: {0: [9, 10, 2]}})
    # Written 0..10; seen 0, 1, 3, 9; on their way 2 and 10; lost 4 to 8.
    assert closed.books.lost == 5


def test_numbers_with_holes_do_not_matter() -> None:
    """Messages that were never written leave holes in the numbers, and are not lost."""
    book = books(cars=1)
    for number in (0, 1, 7, 8):
        book.take(topic(0), message(number), 5_000_000)
    [closed] = book.close("watchers", {STATE: {0: 5}})
    assert closed.books.lost == 1


def test_a_surplus_is_reported() -> None:
    """More seen than written means somebody else publishes as the car; it is not hidden."""
    book = books(cars=1)
    for number in range(3):
        book.take(topic(0), message(number), 5_000_000)
        book.take(topic(1), message(number), 5_000_000)
    [closed] = book.close("watchers", {STATE: [2]})
    # One more than car 0 wrote, and three of a car that is not watched.
    assert (closed.books.seen, closed.books.lost, closed.surplus) == (3, 0, 4)


def test_a_written_count_that_is_missing_is_an_error() -> None:
    """Without the count of a watched car nothing exact can be said, so nothing is."""
    with pytest.raises(LookupError):
        books(cars=2).close("watchers", {STATE: {0: 1}})
    with pytest.raises(LookupError):
        books(cars=2).close("watchers", {})


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["state", "gnss"]), st.integers(0, 30)),
        max_size=120,
    ),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_the_books_agree_with_a_naive_model(
    arrivals: list[tuple[int, str, int]], away: list[int]
) -> None:
    """For any order, repetition and loss the books say what sets of numbers say."""
    lanes = [Lane("vans", stream, "flat", range(3)) for stream in ("state", "gnss")]
    book = Books(lanes, find)
    seen: dict[tuple[str, int], set[int]] = {}
    repeated = {"state": 0, "gnss": 0}
    late = {"state": 0, "gnss": 0}
    for car, stream, number in arrivals:
        known = seen.setdefault((stream, car), set())
        latency = book.take(topic(car, stream), message(number), 5_000_000)
        assert (latency is None) == (number in known)
        if number in known:
            repeated[stream] += 1
        elif known and number < max(known):
            late[stream] += 1
        known.add(number)
    written: dict[LaneKey, Counts] = {STATE: [31] * 3, GNSS: {0: 31, 1: 31, 2: 31}}
    # The books travel between processes as JSON or msgpack before they are closed.
    tallies = msgspec.json.decode(msgspec.json.encode(book.tallies()), type=list[LaneTally])
    for closed in close("w", tallies, written, {STATE: {1: set(away)}}):
        stream = closed.books.stream
        per_car = [seen.get((stream, car), set()) for car in range(3)]
        assert book.seen_by_car(("vans", stream)) == {
            car: len(known) for car, known in enumerate(per_car) if known
        }
        assert closed.books.seen == sum(map(len, per_car))
        missing = [set(range(31)) - known for known in per_car]
        if stream == "state":
            missing[1] -= set(away)
        assert closed.books.lost == sum(map(len, missing))
        assert closed.books.repeated == repeated[stream]
        assert closed.books.out_of_order == late[stream]
        assert (closed.surplus, closed.forgotten) == (0, 0)


@given(st.permutations(range(40)), st.integers(0, 6), st.integers(0, 40))
def test_forgetting_gaps_never_hides_a_loss(order: list[int], room: int, arrived: int) -> None:
    """With too little room for gaps `lost` can be too large and never too small."""
    book = books(cars=1, max_gaps=room)
    for number in order[:arrived]:
        book.take(topic(0), message(number), 5_000_000)
        [tally] = book.tallies()
        assert sum(len(car.gaps) for car in tally.heard) <= 2 * room
    [closed] = book.close("w", {STATE: [40]})
    lane = book.lanes[STATE]
    assert closed.books.lost >= 40 - arrived
    assert closed.books.lost - (40 - arrived) == lane.repeated
    assert closed.forgotten >= lane.repeated


def test_a_number_out_of_all_proportion_does_no_harm() -> None:
    """One message with a huge number costs one gap; those that follow are still each counted."""
    book = books(cars=1)
    book.take(topic(0), message(2**53 - 1), 5_000_000)
    for number in range(100):
        book.take(topic(0), message(number), 5_000_000)
    assert book.seen_by_car(STATE) == {0: 101}


@given(st.binary(max_size=60), st.text(max_size=20))
def test_nothing_that_arrives_raises(payload: bytes, name: str) -> None:
    """Any payload on a watched topic and any topic is entered without an exception."""
    book = books()
    assert book.take(topic(0), payload, 0) is None
    assert book.take(name, payload, 0) is None


def test_several_connections_are_closed_together() -> None:
    """The books of observers that share the cars, or all watch the same, add up."""
    first = Books([Lane("vans", "state", "flat", [0, 1])], find)
    second = Books([Lane("vans", "state", "flat", [1, 2])], find)
    generator = random.Random(4)
    for number in range(100):
        for book, cars in ((first, (0, 1)), (second, (1, 2))):
            for car in cars:
                if generator.random() < 0.9:
                    book.take(topic(car), message(number), 5_000_000)
    [closed] = close("w", first.tallies() + second.tallies(), {STATE: [100, 100, 100]})
    assert (closed.books.cars, closed.books.written) == (3, 400)
    assert closed.books.lost == 400 - closed.books.seen
    assert closed.books.seen == first.lanes[STATE].seen + second.lanes[STATE].seen
