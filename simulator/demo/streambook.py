"""Keeps the books on telemetry streams: what arrived, what is missing, what came twice or late.

The public contract numbers the batches and the samples of each stream from the start of an agent's
run, so an observer can tell exactly what is missing without asking the sender. Pure: the arrival
time is an argument.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hdrh.histogram import HdrHistogram

from agent.telemetry.payload import Batch, PayloadError, decode_batch

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_GAPS = 4096
"""Gaps in a stream that are remembered. Beyond it the oldest is given up: its samples stay lost,
and if they come after all they count as repeated."""

MAX_RUNS = 32
"""Runs of streams whose books are kept. Beyond it the books opened first are thrown away."""

_HIGHEST_US = 600_000_000  # ten minutes; later arrivals are recorded as ten minutes
_DIGITS = 3


def latency_histogram() -> HdrHistogram:
    """An empty histogram of microseconds, exact to three digits."""
    return HdrHistogram(1, _HIGHEST_US, _DIGITS)


def record_latency(histogram: HdrHistogram, seconds: float) -> None:
    """Record a latency; a negative one (clocks differ) counts as the smallest."""
    # Bounded before it is rounded: times come from outside and may be as large as floats get.
    bounded_s = min(seconds, _HIGHEST_US / 1e6) if seconds > 0 else 0.0
    histogram.record_value(max(1, round(bounded_s * 1e6)))


def percentile_ms(histogram: HdrHistogram, percent: float) -> float:
    """A percentile in milliseconds; 0 for an empty histogram."""
    return float(histogram.get_value_at_percentile(percent)) / 1000


@dataclass(slots=True)
class StreamRecord:
    """What an observer knows about one stream of one run of an agent.

    Attributes:
        boot: Identity of the run.
        batches: Messages received, repeated ones included.
        samples: Samples received, each counted once.
        lost: Samples that were numbered and did not arrive.
        repeated: Samples received again.
        out_of_order: Samples that arrived after a later one.
        misnumbered: Messages whose batch number contradicts their sample numbers.
        bytes: Payload bytes received.
        newest_age: Age of the newest sample of each message at arrival.
        sample_age: Age of every sample at arrival, the time in the batch included.
        last: The batch with the latest samples.
        last_arrival_s: When it arrived, Unix seconds.
    """

    boot: str
    batches: int = 0
    samples: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    misnumbered: int = 0
    bytes: int = 0
    newest_age: HdrHistogram = field(default_factory=latency_histogram)
    sample_age: HdrHistogram = field(default_factory=latency_histogram)
    last: Batch | None = None
    last_arrival_s: float = 0.0
    # Sample numbers below the end that did not arrive: [start, stop), ascending, disjoint.
    _gaps: list[tuple[int, int]] = field(default_factory=list)
    _end: int = 0
    _highest_seq: int = -1

    @property
    def expected(self) -> int:
        """Number after the highest sample number seen."""
        return self._end

    def value(self, path: str) -> Any:
        """The newest value of a signal, or `None` when it never came."""
        last = self.last
        if last is None or path not in last.columns:
            return None
        return last.column(path)[-1]

    def add(self, batch: Batch, size: int, arrived_s: float) -> bool:
        """Take a batch into the books; `False` when all of it is a repetition."""
        self.batches += 1
        self.bytes += size
        is_latest = batch.first >= self._end
        if not self._is_numbered_well(batch):
            self.misnumbered += 1
        fresh = self._enter(batch.first, batch.first + batch.count)
        self._highest_seq = max(self._highest_seq, batch.seq)
        self.samples += fresh
        self.repeated += batch.count - fresh
        if not fresh:
            return False
        if not is_latest:
            self.out_of_order += fresh
        times_s = batch.times_s
        record_latency(self.newest_age, arrived_s - times_s[-1])
        for time_s in times_s:
            record_latency(self.sample_age, arrived_s - time_s)
        if is_latest:
            self.last = batch
            self.last_arrival_s = arrived_s
        return True

    def _is_numbered_well(self, batch: Batch) -> bool:
        """Whether batches and samples are numbered alike: batches have no gaps, and none is empty.

        So the latest samples come in the latest batch, and every batch missing before it accounts
        for at least one missing sample.
        """
        missing_batches = batch.seq - self._highest_seq - 1
        if batch.first >= self._end:
            return 0 <= missing_batches <= batch.first - self._end
        return missing_batches < 0 and batch.first + batch.count <= self._end

    def _enter(self, start: int, stop: int) -> int:
        """Note sample numbers `[start, stop)` as received; how many of them are new."""
        fresh = 0
        if start > self._end:
            self._gaps.append((self._end, start))
            self.lost += start - self._end
            if len(self._gaps) > MAX_GAPS:
                del self._gaps[0]
        elif start < self._end and self._gaps:
            fresh = self._fill(start, stop)
            self.lost -= fresh
        if stop > self._end:
            fresh += stop - max(start, self._end)
            self._end = stop
        return fresh

    def _fill(self, start: int, stop: int) -> int:
        gaps = self._gaps
        at = bisect_left(gaps, start, key=lambda gap: gap[1] - 1)
        until = bisect_left(gaps, stop, key=lambda gap: gap[0])
        touched = gaps[at:until]
        left = [(low, min(high, start)) for low, high in touched[:1] if low < start]
        right = [(max(low, stop), high) for low, high in touched[-1:] if high > stop]
        gaps[at:until] = left + right
        if len(gaps) > MAX_GAPS:
            del gaps[0]
        return sum(min(high, stop) - max(low, start) for low, high in touched)


class StreamBook:
    """The books on every stream of one vehicle.

    Args:
        on_batch: Called with each new batch, repetitions excluded.
    """

    def __init__(self, on_batch: Callable[[Batch], None] | None = None) -> None:
        self.on_batch = on_batch
        self.undecodable = 0
        self.last_error = ""
        self.records: dict[tuple[str, str], StreamRecord] = {}
        self._newest: dict[str, StreamRecord] = {}

    def add(self, topic: str, payload: bytes, arrived_s: float) -> None:
        """Take one telemetry message into the books. Total: bad payloads are counted.

        Args:
            topic: Its topic; the stream in it must be the one in the document.
            payload: The document.
            arrived_s: Unix time of arrival.
        """
        try:
            batch = decode_batch(payload)
        except PayloadError as error:
            self.undecodable += 1
            self.last_error = str(error)
            return
        if topic.rpartition("/")[2] != batch.stream:
            self.undecodable += 1
            self.last_error = f"stream {batch.stream!r} on topic {topic}"
            return
        key = (batch.stream, batch.boot)
        record = self.records.get(key)
        if record is None:
            record = self._open(key)
        if record.add(batch, len(payload), arrived_s) and self.on_batch is not None:
            self.on_batch(batch)

    def _open(self, key: tuple[str, str]) -> StreamRecord:
        stream, boot = key
        record = self.records[key] = self._newest[stream] = StreamRecord(boot)
        if len(self.records) > MAX_RUNS:
            oldest = next(iter(self.records))
            closed = self.records.pop(oldest)
            if self._newest.get(oldest[0]) is closed:
                del self._newest[oldest[0]]
        return record

    def stream(self, name: str) -> StreamRecord | None:
        """The books on the run of a stream that was heard of last."""
        return self._newest.get(name)

    def value(self, path: str, stream: str = "state") -> Any:
        """The newest value of a signal of a stream, or `None`."""
        record = self._newest.get(stream)
        return None if record is None else record.value(path)

    def number(self, path: str, stream: str = "state") -> float | None:
        """The newest value of a signal if it is a finite number, else `None`."""
        value = self.value(path, stream)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:  # JSON has integers of any length
            return None
        return number if math.isfinite(number) else None
