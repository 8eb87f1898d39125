"""When samples become a message: one open batch per stream, closed by size, count, age or request.

Owns the numbering of samples and batches and the decision to close. A batch is closed before it
would outgrow one metered unit of AWS IoT Core, so a stream costs as few units as its samples need.
The size is known exactly after every sample, without encoding anything. This module must not know
what samples mean (`agent.telemetry.streams`) or what happens to the payloads it hands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from agent.telemetry.columns import Columns
from agent.telemetry.payload import (
    MAX_PAYLOAD_BYTES,
    MAX_SAMPLES,
    METERING_UNIT_BYTES,
    Clock,
    document_head,
)

if TYPE_CHECKING:
    from agent.telemetry.columns import PreparedRow
    from agent.telemetry.streams import Stream

__all__ = ["BatchLimits", "Batcher"]

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """When a batch closes.

    Attributes:
        max_samples: Samples at most, 1 to 4,096.
        max_delay_s: The oldest sample waits at most this long; 0 closes with every sample.
        max_bytes: Topic and payload together. Only a single sample may exceed it, and travels
            alone then.

    Raises:
        ValueError: A limit is out of range.
    """

    max_samples: int = 50
    max_delay_s: float = 1.0
    max_bytes: int = METERING_UNIT_BYTES

    def __post_init__(self) -> None:
        if not 1 <= self.max_samples <= MAX_SAMPLES:
            raise ValueError(f"max_samples must be 1 to {MAX_SAMPLES}, not {self.max_samples}")
        if not 0 <= self.max_delay_s < math.inf:
            raise ValueError(f"max_delay_s must not be negative, found {self.max_delay_s}")
        if not 1 <= self.max_bytes <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"max_bytes must be 1 to {MAX_PAYLOAD_BYTES}, not {self.max_bytes}")


class Batcher(Generic[S]):
    """Collects the samples of one stream into batch documents.

    Every sample given to `add` leaves in exactly one payload, in order, unless it alone makes a
    document larger than an MQTT payload may be: such a sample is dropped and counted, and shows as
    a jump of `first` in the next batch. Batch numbers have no gaps.

    Args:
        stream: What the samples are.
        boot_id: Identity of this run of the agent.
        limits: When a batch closes.
        thing: Thing name written into every document.
        topic_bytes: Length of the topic the payloads will be published on; it is metered too.
        clock: What the times given to `add` mean.

    Attributes:
        clock: May be replaced at any time; the next batch that opens carries the new one.
        samples: Samples taken in so far.
        batches: Payloads handed out so far.
        dropped_too_large: Samples dropped because no MQTT message can carry them.
    """

    __slots__ = (
        "_boot_id",
        "_columns",
        "_deadline_s",
        "_first",
        "_head",
        "_limit",
        "_limits",
        "_offsets",
        "_offsets_size",
        "_stream",
        "_t0_s",
        "_tail",
        "_thing",
        "batches",
        "clock",
        "dropped_too_large",
        "samples",
    )

    def __init__(
        self,
        stream: Stream[S],
        boot_id: str,
        limits: BatchLimits | None = None,
        *,
        thing: str = "",
        topic_bytes: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._stream = stream
        self._boot_id = boot_id
        self._limits = limits or BatchLimits()
        self._limit = self._limits.max_bytes - topic_bytes
        self._thing = thing
        self.clock = clock or Clock()
        self.samples = 0
        self.batches = 0
        self.dropped_too_large = 0
        self._columns = Columns(stream.measured, stream.stepped)
        self._offsets: list[str] = []
        self._offsets_size = 0
        self._deadline_s: float | None = None
        self._t0_s = 0.0
        self._first = 0
        self._head = self._tail = ""

    @property
    def deadline_s(self) -> float | None:
        """When `poll` has something to do, in the time of `now_s`; `None` with nothing waiting."""
        return self._deadline_s

    @property
    def waiting(self) -> int:
        """Samples in the open batch."""
        return len(self._offsets)

    def add(self, sample: S, received_at_s: float, now_s: float | None = None) -> list[bytes]:
        """Take in one sample.

        Args:
            sample: The sample.
            received_at_s: Its Unix time, as `clock` says. It may step back; offsets can be
                negative.
            now_s: The present in the clock that `poll` is called with; a monotonic one keeps
                deadlines right when the Unix time steps. `received_at_s` when left out.

        Returns:
            The payloads this closed, in order; often none, at most two.

        Raises:
            ValueError: `received_at_s` is not a finite number.
        """
        if not math.isfinite(received_at_s):
            raise ValueError(f"received_at_s must be finite, not {received_at_s}")
        closed = []
        row = self._stream.row(sample, received_at_s)
        prepared = self._columns.prepare(row)
        offset = self._offset(received_at_s)
        if self._offsets and self._size_with(prepared, offset) > self._limit:
            closed.append(self._close())
            prepared = self._columns.prepare(row)
        if not self._offsets:
            self._open(received_at_s, received_at_s if now_s is None else now_s)
            offset = "0"
            if self._size_with(prepared, offset) > MAX_PAYLOAD_BYTES:
                self.samples += 1
                self.dropped_too_large += 1
                self._deadline_s = None
                return closed
        size = self._size_with(prepared, offset)
        self._columns.append(prepared)
        self._offsets.append(offset)
        self._offsets_size += len(offset) + 1
        self.samples += 1
        if (
            len(self._offsets) >= self._limits.max_samples
            or self._limits.max_delay_s == 0
            or size >= self._limit
        ):
            closed.append(self._close())
        return closed

    def poll(self, now_s: float) -> list[bytes]:
        """Close the open batch if its oldest sample has waited long enough."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        return [self._close()]

    def flush(self) -> list[bytes]:
        """Close the open batch now, as before a shutdown."""
        return [self._close()] if self._offsets else []

    def _open(self, t0_s: float, now_s: float) -> None:
        # Offsets count from what the document says, so that rounding does not add up.
        self._t0_s = round(t0_s, 3)
        self._deadline_s = now_s + self._limits.max_delay_s
        self._first = self.samples
        self._head, self._tail = document_head(
            thing=self._thing,
            stream=self._stream.name,
            boot=self._boot_id,
            seq=self.batches,
            first=self._first,
            t0_s=self._t0_s,
            clock=self.clock,
        )

    def _offset(self, at_s: float) -> str:
        return str(round((at_s - self._t0_s) * 1000)) if self._offsets else "0"

    def _size_with(self, prepared: PreparedRow, offset: str) -> int:
        """Length of the document if this sample were its last."""
        return (
            len(self._head)
            + len(str(len(self._offsets) + 1))
            + len(',"dt":[]')
            + self._offsets_size
            + len(offset)
            + len(self._tail)
            + self._columns.size
            + prepared.growth
            + len("}")
        )

    def _close(self) -> bytes:
        payload = (
            f'{self._head}{len(self._offsets)},"dt":[{",".join(self._offsets)}]'
            f"{self._tail}{self._columns.render()}}}"
        ).encode("ascii")
        self.batches += 1
        self._columns.clear()
        self._offsets = []
        self._offsets_size = 0
        self._deadline_s = None
        return payload
