"""The books on telemetry streams, against real batches and a count by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import Batch, decode_batch
from agent.telemetry.streams import state_stream, traffic_light_stream
from agent.vehicle.state import EgoState, TrafficLamp, TrafficLight
from simulator.demo.streambook import MAX_GAPS, MAX_RUNS, StreamBook, StreamRecord, percentile_ms

TOPIC = "dt/morai/demo/car-1/traffic-light"
START_S = 1_700_000_000.0


def payloads(samples: int, max_samples: int = 1, boot: str = "boot-1") -> list[bytes]:
    """Batches of so many samples, made by the agent's own batcher, 20 ms apart."""
    limits = BatchLimits(max_samples=max_samples, max_delay_s=3600)
    batcher = Batcher(traffic_light_stream(), boot, limits, thing="car-1")
    light = TrafficLight(light_id="C119BS010001", layout=0, lamps=TrafficLamp.RED)
    closed = [
        payload
        for number in range(samples)
        for payload in batcher.add(light, START_S + number / 50, now_s=0.0)
    ]
    return closed + batcher.flush()


def batches(samples: int, max_samples: int = 1) -> list[Batch]:
    """The same, decoded."""
    return [decode_batch(payload) for payload in payloads(samples, max_samples)]


@dataclass
class Naive:
    """Counts as a person would: one entry for every sample number."""

    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0

    @classmethod
    def count(cls, delivered: list[range]) -> Naive:
        """Go through the deliveries one sample at a time."""
        books = cls()
        seen: set[int] = set()
        for numbers in delivered:
            latest_before = max(seen, default=-1)
            for number in numbers:
                if number in seen:
                    books.repeated += 1
                    continue
                seen.add(number)
                books.out_of_order += number < latest_before
        books.lost = sum(number not in seen for number in range(max(seen, default=-1) + 1))
        return books


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[bytes], list[range]]:
    """Batches of a real run, some lost, some twice, in any order; and the samples of each."""
    samples = draw(st.integers(1, 40))
    size = draw(st.integers(1, 7))
    sent = payloads(samples, size)
    covered = [range(at, min(at + size, samples)) for at in range(0, samples, size)]
    arrivals = draw(st.lists(st.integers(0, len(sent) - 1), max_size=60))
    return [sent[number] for number in arrivals], [covered[number] for number in arrivals]


@given(deliveries())
def test_any_delivery_is_counted_exactly(delivery: tuple[list[bytes], list[range]]) -> None:
    """Whatever is lost, repeated or reordered, every sample is accounted for."""
    arriving, covered = delivery
    handed_on: list[Batch] = []
    book = StreamBook(handed_on.append)

    for payload in arriving:
        book.add(TOPIC, payload, START_S + 10)

    expected = Naive.count(covered)
    record = book.stream("traffic-light") or StreamRecord("")
    distinct = {number for numbers in covered for number in numbers}
    assert (record.lost, record.repeated, record.out_of_order) == (
        expected.lost,
        expected.repeated,
        expected.out_of_order,
    )
    assert record.samples == len(distinct) == sum(batch.count for batch in handed_on)
    assert record.batches == len(arriving)
    assert record.bytes == sum(map(len, arriving))
    assert record.misnumbered == book.undecodable == 0


@given(st.integers(2, 30), st.data())
def test_a_jump_in_sample_numbers_is_loss(samples: int, data: st.DataObject) -> None:
    """Samples that an agent numbered and never sent are lost, though no batch is missing."""
    sent = batches(samples)
    at = data.draw(st.integers(1, samples - 1))
    jump = data.draw(st.integers(1, 1000))
    record = StreamRecord("boot-1")

    for number, batch in enumerate(sent):
        first = batch.first + (jump if number >= at else 0)
        record.add(msgspec.structs.replace(batch, first=first), 100, START_S)

    assert (record.samples, record.lost, record.misnumbered) == (samples, jump, 0)


def test_a_batch_number_that_is_skipped_is_noticed() -> None:
    """Batch numbers have no gaps: a jump without missing samples contradicts the contract."""
    first, second = batches(2)
    record = StreamRecord("boot-1")
    record.add(first, 100, START_S)

    record.add(msgspec.structs.replace(second, seq=5), 100, START_S)

    assert (record.samples, record.lost, record.misnumbered) == (2, 0, 1)


def test_a_batch_number_that_is_used_again_is_noticed() -> None:
    """New samples under an old batch number contradict the contract, and are counted once."""
    first, second = batches(2)
    record = StreamRecord("boot-1")
    record.add(first, 100, START_S)

    record.add(msgspec.structs.replace(second, seq=0), 100, START_S)

    assert (record.samples, record.repeated, record.misnumbered) == (2, 0, 1)


def test_overlapping_batches_do_not_hide_a_loss() -> None:
    """Samples sent in two different batches count once, and the contradiction is noted."""
    first, second, third = batches(9, max_samples=3)
    record = StreamRecord("boot-1")
    record.add(first, 100, START_S)
    record.add(msgspec.structs.replace(second, first=2), 100, START_S)

    record.add(third, 100, START_S)

    # 0 1 2, then 2 3 4, then 6 7 8: sample 2 came twice and sample 5 never.
    assert (record.samples, record.repeated, record.lost) == (8, 1, 1)
    assert record.misnumbered >= 1


def test_memory_is_bounded_by_forgetting_the_oldest_gap() -> None:
    """Beyond the bound the oldest gap is given up: it stays lost, and its straggler is repeated."""
    beyond = 3
    gaps = MAX_GAPS + beyond
    sample = batches(1)[0]

    def numbered(number: int) -> Batch:
        return msgspec.structs.replace(sample, seq=number, first=number)

    record = StreamRecord("boot-1")
    for gap in range(gaps):
        record.add(numbered(2 * gap + 1), 100, START_S)
    assert (record.samples, record.lost) == (gaps, gaps)
    assert len(record._gaps) == MAX_GAPS

    for gap in range(gaps):
        record.add(numbered(2 * gap), 100, START_S)

    assert (record.lost, record.repeated) == (beyond, beyond)
    assert (record.samples, record.out_of_order) == (2 * gaps - beyond, MAX_GAPS)


def test_runs_are_bounded_and_the_newest_counts() -> None:
    """Every run of an agent has its own books; those opened first go when there are too many."""
    book = StreamBook()
    for run in range(MAX_RUNS + 5):
        book.add(TOPIC, payloads(1, boot=f"boot-{run}")[0], START_S)
    straggler = payloads(2, boot=f"boot-{MAX_RUNS}")[1]

    book.add(TOPIC, straggler, START_S)

    assert len(book.records) == MAX_RUNS
    newest = book.stream("traffic-light")
    assert newest is not None
    assert newest.boot == f"boot-{MAX_RUNS + 4}"


def test_stream_names_are_bounded_too() -> None:
    """A sender that makes up stream names cannot fill the memory."""
    book = StreamBook()
    plain = payloads(1)[0]
    for number in range(MAX_RUNS + 5):
        name = f"made-up-{number}"
        book.add(f"dt/{name}", plain.replace(b"traffic-light", name.encode()), START_S)

    assert len(book.records) == len(book._newest) == MAX_RUNS
    assert book.stream("made-up-0") is None
    assert book.stream(f"made-up-{MAX_RUNS + 4}") is not None


@given(st.binary(max_size=200) | st.sampled_from([b"", b"{}", b"[" * 100_000]))
def test_any_payload_is_counted_not_raised(payload: bytes) -> None:
    """Bytes that are no batch raise nothing and are counted."""
    book = StreamBook()

    book.add(TOPIC, payload, START_S)

    assert (book.undecodable, book.records) == (1, {})
    assert book.last_error


def test_a_batch_on_the_topic_of_another_stream_is_refused() -> None:
    """The stream of a document must be the one its topic names."""
    book = StreamBook()

    book.add("dt/morai/demo/car-1/state", payloads(1)[0], START_S)

    assert (book.undecodable, book.stream("traffic-light")) == (1, None)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1))
def test_any_time_of_a_sample_is_survived(t0_s: float, offset_ms: int) -> None:
    """Sample times come from outside; the strangest one becomes a latency within the scale."""
    record = StreamRecord("boot-1")
    batch = msgspec.structs.replace(batches(1)[0], t0=t0_s, dt=[offset_ms])

    record.add(batch, 100, START_S)

    assert 0 < percentile_ms(record.newest_age, 100) <= 601_000


def test_latency_is_arrival_minus_the_time_of_the_sample() -> None:
    """Newest age looks at the last sample of a message, sample age at all of them."""
    record = StreamRecord("boot-1")

    record.add(batches(3, max_samples=3)[0], 100, START_S + 0.1)

    # Samples at 0, 20 and 40 ms, all arrived at 100 ms; three significant digits are kept.
    assert percentile_ms(record.newest_age, 50) == pytest.approx(60, rel=2e-3)
    assert percentile_ms(record.sample_age, 100) == pytest.approx(100, rel=2e-3)
    assert percentile_ms(record.sample_age, 1) == pytest.approx(60, rel=2e-3)


def test_the_newest_value_is_that_of_the_highest_sample_number() -> None:
    """A late batch does not turn the speed back."""
    batcher = Batcher(state_stream(), "boot-1", BatchLimits(max_samples=1))
    early, late = (
        payload
        for speed in (10.0, 20.0)
        for payload in batcher.add(EgoState(speed_mps=speed), START_S)
    )
    book = StreamBook()
    book.add("dt/morai/demo/car-1/state", late, START_S)

    book.add("dt/morai/demo/car-1/state", early, START_S)

    assert book.value("Vehicle.Speed") == 72.0
    assert book.value("Vehicle.Nothing") is None
    assert book.value("Vehicle.Speed", "imu") is None


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12.5", 12.5),
        ("-3", -3.0),
        ("null", None),
        ("true", None),
        ('"fast"', None),
        ("[1,2]", None),
        ("9" * 400, None),
        ("1" + "0" * 300, 1e300),
    ],
)
def test_a_number_is_a_finite_number_or_nothing(written: str, number: float | None) -> None:
    """What a panel draws or a check compares is a float, whatever the sender wrote."""
    book = StreamBook()
    payload = payloads(1)[0].decode()
    columns = payload.index('"columns"')

    book.add(TOPIC, f'{payload[:columns]}"columns":{{"X":[{written}]}}}}'.encode(), START_S)

    found = book.number("X", "traffic-light")
    assert found == number
    assert found is None or math.isfinite(found)
