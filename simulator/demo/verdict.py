"""The outcome of a demo run: the checks, the books, the latencies, as table and as JSON.

Pure: takes numbers, gives text and documents. It measures nothing itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.demo.streambook import StreamRecord, percentile_ms

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = "morai-edge/demo-verdict/1"
# From this width on, a check and its detail share a line.
_WIDE = 120


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and whether it was kept.

    Attributes:
        name: The promise, in words.
        held: Whether it was kept.
        detail: What was measured.
    """

    name: str
    held: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """The books of one stream.

    Attributes:
        stream: Stream name.
        sent: Samples the simulator sent; `None` where samples are not datagrams.
        received: Samples the application received, each counted once.
        lost: Samples that were sent or numbered and did not arrive.
        repeated: Samples that arrived again.
        out_of_order: Samples that arrived after a later one.
        invented: Samples received beyond those that were sent.
        misnumbered: Messages whose batch number contradicts their sample numbers.
        messages: MQTT messages received.
        payload_bytes: Bytes of payload received.
        pipeline_p50_ms: Datagram to application, newest sample of each message, median.
        pipeline_p99_ms: The same, 99th percentile.
        sample_p99_ms: Datagram to application of every sample, the time in the batch included.
    """

    stream: str
    sent: int | None
    received: int
    lost: int
    repeated: int
    out_of_order: int
    invented: int
    misnumbered: int
    messages: int
    payload_bytes: int
    pipeline_p50_ms: float
    pipeline_p99_ms: float
    sample_p99_ms: float

    @property
    def wrong(self) -> int:
        """How many things are wrong with the stream."""
        return self.lost + self.repeated + self.out_of_order + self.invented + self.misnumbered


def stream_verdict(name: str, sent: int | None, record: StreamRecord | None) -> StreamVerdict:
    """Close the books of one stream.

    Args:
        name: Stream name.
        sent: Samples the simulator sent, or `None` when it does not count in samples.
        record: What the application noted; `None` when it never heard of the stream.
    """
    if record is None:
        record = StreamRecord("")
    surplus = 0 if sent is None else record.samples - sent
    return StreamVerdict(
        name,
        sent,
        record.samples,
        max(record.lost, -surplus),
        record.repeated,
        record.out_of_order,
        max(0, surplus),
        record.misnumbered,
        record.batches,
        record.bytes,
        round(percentile_ms(record.newest_age, 50), 2),
        round(percentile_ms(record.newest_age, 99), 2),
        round(percentile_ms(record.sample_age, 99), 2),
    )


@dataclass(slots=True)
class Verdict:
    """Everything the run found out.

    Attributes:
        checks: The promises, in the order they were tried.
        streams: The books of every stream.
        round_trips_ms: Command to first answer, in milliseconds, as they came.
        duration_s: How long the run took.
        notes: Sentences worth knowing.
    """

    checks: list[Check] = field(default_factory=list)
    streams: list[StreamVerdict] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    duration_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether every check held, and there was at least one."""
        return bool(self.checks) and all(check.held for check in self.checks)

    def document(self) -> dict[str, Any]:
        """The verdict as a JSON-ready document."""
        return {
            "format": FORMAT,
            "held": self.held,
            "duration_s": round(self.duration_s, 3),
            "checks": [asdict(check) for check in self.checks],
            "streams": [asdict(stream) for stream in self.streams],
            "command_round_trip_ms": {
                "count": len(self.round_trips_ms),
                "median": _median(self.round_trips_ms),
                "max": round(max(self.round_trips_ms, default=0.0), 2),
            },
            "notes": self.notes,
        }

    def print(self, console: Console, *, only_failed: bool = False) -> None:
        """Print checks, books and latencies as tables.

        Args:
            console: Where to.
            only_failed: Leave out the checks that held, because they were printed as they came.
        """
        shown = [check for check in self.checks if not (only_failed and check.held)]
        if shown:
            console.print()
            console.print(_check_table(shown, wide=console.width >= _WIDE))
        if self.streams:
            console.print()
            console.print(_stream_table(self.streams))
        if self.round_trips_ms:
            console.print(
                f"Command to first answer: median {_median(self.round_trips_ms):.1f} ms,"
                f" worst {max(self.round_trips_ms):.1f} ms of {len(self.round_trips_ms)}."
            )
        for note in self.notes:
            console.print(Text(printable(note), "dim"))
        failed = sum(not check.held for check in self.checks)
        console.print()
        if self.held:
            console.print(
                Text(
                    f"Every check held ({len(self.checks)}), {self.duration_s:.0f} s.", "bold green"
                )
            )
        else:
            console.print(Text(f"{failed} of {len(self.checks)} checks failed.", "bold red"))


def _check_table(checks: list[Check], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if wide:
        table.add_column(style="dim", overflow="fold")
    for check in checks:
        mark = Text("ok", "green") if check.held else Text("FAILED", "bold red")
        if wide:
            table.add_row(mark, Text(check.name), Text(printable(check.detail)))
        else:
            below = f"\n  {printable(check.detail)}" if check.detail else ""
            table.add_row(mark, Text.assemble(check.name, (below, "dim")))
    return table


def _stream_table(streams: list[StreamVerdict]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stream")
    for title in ("sent", "received", "lost", "again", "late", "msgs", "kB"):
        table.add_column(title, justify="right")
    table.add_column("p50 ms", justify="right")
    table.add_column("p99 ms", justify="right")
    for item in streams:
        table.add_row(
            Text(printable(item.stream)),
            "" if item.sent is None else f"{item.sent:,}",
            f"{item.received:,}",
            _alarming(item.lost),
            _alarming(item.repeated),
            _alarming(item.out_of_order),
            f"{item.messages:,}",
            f"{item.payload_bytes / 1000:,.1f}",
            f"{item.pipeline_p50_ms:.1f}",
            f"{item.pipeline_p99_ms:.1f}",
        )
    return table


def _alarming(count: int) -> Text:
    return Text(f"{count:,}", "bold red" if count else "")


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return round(ordered[len(ordered) // 2], 2) if ordered else 0.0
