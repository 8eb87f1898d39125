"""When batches close, what they are numbered, and how large they get."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import Batch, Clock, decode_batch
from agent.telemetry.streams import Stream
from agent.vehicle.vss import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.telemetry.columns import Row

NUMBER = Signal(path="Morai.Number", kind="sensor", datatype="float", resolution=0.01)
OTHER = Signal(path="Morai.Other", kind="sensor", datatype="float", resolution=1)
TEXT = Signal(path="Morai.Text", kind="sensor", datatype="string")
LIST = Signal(path="Morai.List", kind="sensor", datatype="float[]", resolution=0.1)

Sample = tuple[float | None, float | None, str | None, tuple[float, ...] | None]


def as_row(sample: Sample, _at_s: float) -> Row:
    """Two measured values, a text and a list."""
    return sample[:2], sample[2:]


STREAM: Stream[Sample] = Stream("state", (NUMBER, OTHER), (TEXT, LIST), as_row)


def batcher(
    max_samples: int = 50, max_delay_s: float = 1.0, max_bytes: int = 5120
) -> Batcher[Sample]:
    """A batcher of the test's own stream."""
    limits = BatchLimits(max_samples=max_samples, max_delay_s=max_delay_s, max_bytes=max_bytes)
    return Batcher(STREAM, "boot-1", limits, thing="car-0001", topic_bytes=28)


def sample(number: float) -> Sample:
    """A sample told apart by its first value."""
    return (number, None, "same", None)


def numbers(payloads: Sequence[bytes]) -> list[object]:
    """The first value of every sample of some payloads."""
    return [value for payload in payloads for value in decode_batch(payload).column("Morai.Number")]


def test_batch_closes_at_its_sample_limit() -> None:
    """The sample that fills a batch closes it, and the next batch counts on."""
    b = batcher(max_samples=3)
    payloads = [b.add(sample(n), 100 + n / 10) for n in range(7)]
    assert [len(closed) for closed in payloads] == [0, 0, 1, 0, 0, 1, 0]
    first, second = (decode_batch(closed[0]) for closed in payloads if closed)
    assert (first.seq, first.first, first.count) == (0, 0, 3)
    assert (second.seq, second.first, second.count) == (1, 3, 3)
    assert b.waiting == 1
    assert (b.samples, b.batches) == (7, 2)


def test_batch_closes_when_its_oldest_sample_is_due() -> None:
    """The deadline is the first sample's time plus the delay, whatever came after it."""
    b = batcher(max_delay_s=0.5)
    assert b.poll(1e12) == []
    b.add(sample(1), 100.0, now_s=7.0)
    b.add(sample(2), 100.3, now_s=7.3)
    assert b.deadline_s == 7.5
    assert b.poll(7.49) == []
    (payload,) = b.poll(7.5)
    assert decode_batch(payload).dt == [0, 300]
    assert b.poll(99.0) == []
    assert b.waiting == 0


def test_delay_of_zero_sends_every_sample_at_once() -> None:
    """Events do not wait for company."""
    b = batcher(max_delay_s=0)
    assert [len(b.add(sample(n), 1.0)) for n in range(3)] == [1, 1, 1]


def test_flush_closes_what_is_open() -> None:
    """Before a shutdown the open batch goes out; an empty one does not."""
    b = batcher()
    assert b.flush() == []
    b.add(sample(1), 1.0)
    assert numbers(b.flush()) == [1]
    assert b.flush() == []


def test_times_are_milliseconds_from_the_documents_own_base() -> None:
    """Rounding of base and offsets does not add up to more than half a millisecond."""
    b = batcher()
    times = [1_790_000_000.0004, 1_790_000_000.0206, 1_789_999_999.9]
    for at_s in times:
        b.add(sample(0), at_s)
    batch = decode_batch(b.flush()[0])
    assert (batch.t0, batch.dt) == (1_790_000_000.0, [0, 21, -100])
    assert batch.times_s == pytest.approx(times, abs=0.00051)


def test_document_says_where_it_comes_from() -> None:
    """Thing, stream, boot, versions and clock stand in every batch."""
    b = batcher()
    b.clock = Clock("simulator", "synchronised")
    b.add(sample(1), 1.0)
    batch = decode_batch(b.flush()[0])
    assert (batch.thing, batch.stream, batch.boot) == ("car-0001", "state", "boot-1")
    assert (batch.schema, batch.vss, batch.replayed) == ("morai-edge/telemetry/1", "6.0", False)
    assert batch.clock == Clock("simulator", "synchronised")


def test_clock_change_waits_for_the_next_batch() -> None:
    """A batch states the clock it was opened with."""
    b = batcher()
    b.add(sample(1), 1.0)
    b.clock = Clock("receive", "unsynchronised")
    b.add(sample(2), 1.0)
    assert decode_batch(b.flush()[0]).clock.quality == "unknown"
    b.add(sample(3), 1.0)
    assert decode_batch(b.flush()[0]).clock.quality == "unsynchronised"


def test_sample_larger_than_a_unit_travels_alone() -> None:
    """A sample that no unit can hold is sent at once, and the ones around it are not delayed."""
    b = batcher()
    large: Sample = (2.0, None, "x" * 6000, None)
    assert b.add(sample(1), 1.0) == []
    payloads = b.add(large, 1.1)
    assert [decode_batch(payload).count for payload in payloads] == [1, 1]
    assert numbers(payloads) == [1, 2]
    assert len(payloads[1]) > 5120
    assert b.add(sample(3), 1.2) == []


def test_sample_no_message_can_carry_is_dropped_and_counted() -> None:
    """Beyond 128 KB a sample is lost, which shows as a jump of `first` and not of `seq`."""
    b = batcher()
    payloads = b.add(sample(1), 1.0)
    payloads += b.add((2.0, None, "x" * 131_072, None), 1.1)
    assert b.deadline_s is None
    payloads += b.add(sample(3), 1.2)
    payloads += b.flush()
    batches = [decode_batch(payload) for payload in payloads]
    assert [(item.seq, item.first, item.count) for item in batches] == [(0, 0, 1), (1, 2, 1)]
    assert (b.samples, b.dropped_too_large) == (3, 1)


def test_time_that_is_no_number_is_a_mistake_of_the_caller() -> None:
    """A NaN time would poison the document."""
    with pytest.raises(ValueError, match="finite"):
        batcher().add(sample(1), math.nan)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_samples": 0},
        {"max_samples": 4097},
        {"max_delay_s": -1},
        {"max_delay_s": math.inf},
        {"max_bytes": 0},
        {"max_bytes": 131_073},
    ],
)
def test_limits_out_of_range_are_refused(limits: dict[str, int]) -> None:
    """A limit the document cannot keep is an error at once."""
    with pytest.raises(ValueError, match="must"):
        BatchLimits(**limits)


VALUES = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.001, 1.0, math.nan, math.inf, -math.inf]),
    st.floats(-1e6, 1e6),
)
TEXTS = st.one_of(st.none(), st.sampled_from(["D", "EXTERNAL", 'a"b\\', "도로", "\ud800", ""]))
LISTS = st.one_of(st.none(), st.just(()), st.lists(st.floats(-99, 99), max_size=5).map(tuple))
SAMPLES = st.tuples(VALUES, VALUES, TEXTS, LISTS)


@given(
    st.lists(st.tuples(SAMPLES, st.floats(-2, 5)), max_size=80),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.5, 1e9]),
    st.integers(300, 1200),
)
def test_every_sample_leaves_once_in_order_within_the_limits(
    inputs: list[tuple[Sample, float]], max_samples: int, max_delay_s: float, max_bytes: int
) -> None:
    """No sample is lost or repeated, numbers have no gaps, no batch outgrows its limits."""
    b = batcher(max_samples, max_delay_s, max_bytes)
    now_s = 1_790_000_000.0
    payloads: list[bytes] = []
    given_times: list[float] = []
    for item, step_s in inputs:
        now_s += step_s
        given_times.append(now_s)
        payloads += b.add(item, now_s)
        payloads += b.poll(now_s)
    payloads += b.flush()
    batches = [decode_batch(payload) for payload in payloads]

    assert [item.seq for item in batches] == list(range(len(batches)))
    first = 0
    for batch, payload in zip(batches, payloads, strict=True):
        assert batch.first == first
        first += batch.count
        assert batch.count <= max_samples
        assert batch.count == 1 or len(payload) + 28 <= max_bytes
    times = [time_s for batch in batches for time_s in batch.times_s]
    assert times == pytest.approx(given_times, abs=0.00051)
    rows = [row for batch in batches for row in batch.rows()]
    assert [_read(row) for row in rows] == [_expected(item) for item, _ in inputs]


def _read(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[path] for path in ("Morai.Number", "Morai.Other", "Morai.Text", "Morai.List"))


def _expected(item: Sample) -> tuple[object, ...]:
    number, other, text, values = item
    return (
        _rounded(number, 2),
        _rounded(other, 0),
        "?" if text == "\ud800" else text,
        None if values is None else [_rounded(value, 1) for value in values],
    )


def _rounded(value: float | None, decimals: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, decimals)


@given(st.lists(SAMPLES, min_size=1, max_size=40))
def test_a_batch_is_not_closed_before_it_is_full(samples: list[Sample]) -> None:
    """The size a batch is closed for is the real one: the next sample really had no room."""
    max_bytes = 700
    b = batcher(4096, 1e9, max_bytes)
    closed: list[tuple[bytes, Sample]] = []
    for item in samples:
        closed += [(payload, item) for payload in b.add(item, 1.0)]
    for payload, next_sample in closed:
        batch = decode_batch(payload)
        if batch.count > 1 or len(payload) + 28 < max_bytes:
            assert len(_document_of([*_samples_of(batch), next_sample])) + 28 > max_bytes


def _samples_of(batch: Batch) -> list[Sample]:
    return [
        (row["Morai.Number"], row["Morai.Other"], row["Morai.Text"], _tuple(row["Morai.List"]))  # type: ignore[misc] # JSON values
        for row in batch.rows()
    ]


def _tuple(value: object) -> tuple[float, ...] | None:
    return tuple(value) if isinstance(value, list) else None


def _document_of(samples: list[Sample]) -> bytes:
    b = batcher(4096, 1e9, 131_072)
    for item in samples:
        b.add(item, 1.0)
    return b.flush()[0]
