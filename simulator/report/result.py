"""The fold of a run's records: the one place where figures are made, live and afterwards alike.

Owns what is kept of a run (counters and latencies by phase and group, one slice a second, events,
books) and what each metric of `simulator.scenario.checks.METRICS` means in terms of the records.
Memory is bounded whatever the run's length. Knows nothing about how figures are shown or judged.

Bounds: 3,600 slices, then the slices become twice as long; 2,048 cuts for each of counters and
latencies, beyond which records count under the cut `other`; 10,000 events, books and probes; 1,000
reason codes; 256 tracks of 512 positions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeVar

from simulator.load.histograms import HistogramError
from simulator.load.records import (
    End,
    Event,
    Header,
    RecordError,
    Snapshot,
    StreamBooks,
    TargetReport,
)
from simulator.report.edges import EdgeRow, edges_of
from simulator.report.generator import GeneratorHealth, health_of
from simulator.report.metrics import value_of
from simulator.report.reading import read_records
from simulator.report.slices import Slice, SliceBook
from simulator.report.sparse import SparseHistogram
from simulator.scenario.checks import METRICS, Check
from simulator.scenario.timetable import AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hdrh.histogram import HdrHistogram

    from simulator.load.records import Position, Probed, Record

LONGEST_RUN_S: Final = 31 * 86_400.0
"""Records of later times are refused; a scenario may take thirty days."""
SILENT_AFTER_S: Final = 5.0
"""A worker whose last snapshot is this much older than the newest has no cars online any more."""
OTHER: Final = "other"
"""Group and phase of everything beyond the bound on cuts."""
NOT_SENT: Final = ("not_sent_offline", "not_sent_window", "not_sent_backpressure")

_MAX_CUTS: Final = 2048
_MAX_LISTED: Final = 10_000
_MAX_REASONS: Final = 1000
_MAX_TRACKS: Final = 256
_MAX_TRACK_POINTS: Final = 512
_MAX_WORKERS: Final = 1024
# A snapshot that was due at the end of the last phase is a little late.
_END_TOLERANCE_S: Final = 0.1

_Cut = tuple[str, str, str]
_Listed = TypeVar("_Listed", Event, StreamBooks)


class Result:
    """What is known of a run so far.

    Records may be added in the order in which they come, snapshots of different workers in any.

    Attributes:
        header: What was planned; None before the first record.
        end: How it ended; None while it goes on, and for a result that was cut off.
        events: Marks on the time axis, in the order in which they came.
        books: The closed books of the observers.
        target: The last report of the stand-in.
        checks: The checks of the scenario, parsed.
        reasons: Reason codes and link failures with their numbers.
        probed: Name of the probes and of an edge to what they saw there.
        tracks: Car number to its (time, latitude, longitude), thinned out evenly over time.
        resident_bytes: The most memory each process used; the target's under `target`.
        damaged_histograms: Latencies that could not be read, and are missing everywhere.
        dropped: What was left out to keep memory bounded, by kind.
        is_truncated: Whether the last line of the file it was read from was cut off.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        self.end: End | None = None
        self.events: list[Event] = []
        self.books: list[StreamBooks] = []
        self.target: TargetReport | None = None
        self.checks: tuple[Check, ...] = ()
        self.reasons: dict[str, int] = {}
        self.probed: dict[tuple[str, str], Probed] = {}
        self.tracks: dict[int, list[tuple[float, float, float]]] = {}
        self.resident_bytes: dict[str, int] = {}
        self.damaged_histograms = 0
        self.dropped: dict[str, int] = defaultdict(int)
        self.is_truncated = False
        self._elapsed_s = 0.0
        self._slices = SliceBook()
        self._counts: dict[_Cut, int] = {}
        self._latencies: dict[_Cut, SparseHistogram] = {}
        self._last: dict[int, Snapshot] = {}
        self._last_in_time: dict[int, Snapshot] = {}
        self._most_online: dict[str, int] = {}
        self._track_strides: dict[int, tuple[int, int]] = {}
        self._health: tuple[int, GeneratorHealth] | None = None
        self._revision = 0

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a result file; one whose last line is cut off is a partial result.

        Raises:
            ConfigurationError: It is missing, no result, of another version, or damaged; the text
                names the line.
            StorageError: It could not be read.
        """
        result = cls()
        result.is_truncated = read_records(path, result.add)
        return result

    # Folding

    def add(self, record: Record) -> None:
        """Fold one record in.

        Raises:
            RecordError: No run writes such a record: it has an impossible time, is a second header,
                comes before the header, or holds checks that cannot be read.
        """
        self._revision += 1
        if isinstance(record, Header):
            self._add_header(record)
            return
        if self.header is None:
            raise RecordError("the header is missing before it")
        for time_s in _times_s(record):
            if not 0.0 <= time_s <= LONGEST_RUN_S:
                raise RecordError(f"it is of {time_s:g} s")
            self._elapsed_s = max(self._elapsed_s, time_s)
        match record:
            case Snapshot():
                self._add_snapshot(record)
            case Event():
                self._keep(self.events, record, "events")
            case StreamBooks():
                self._keep(self.books, record, "books")
            case TargetReport():
                self._add_target(record)
            case End():
                self.end = record

    def _add_header(self, header: Header) -> None:
        if self.header is not None:
            raise RecordError("it is a second header")
        texts = header.scenario.get("checks", [])
        try:
            self.checks = tuple(Check.parse(text) for text in texts)
        except (ValueError, TypeError, AttributeError) as error:
            raise RecordError(f"its checks cannot be read: {error}") from error
        self.header = header

    def _add_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.end_s < snapshot.start_s:
            raise RecordError("it ends before it starts")
        if snapshot.worker not in self._last and len(self._last) >= _MAX_WORKERS:
            raise RecordError(f"there are more than {_MAX_WORKERS} workers")
        _keep_newest(self._last, snapshot)
        if snapshot.end_s <= self._phases_end_s() + _END_TOLERANCE_S:
            _keep_newest(self._last_in_time, snapshot)
        online = self.online
        for group, cars in online.items():
            self._most_online[group] = max(cars, self._most_online.get(group, 0))
        within = self._slices.at((snapshot.start_s + snapshot.end_s) / 2)
        within.online = online
        within.add_use(snapshot.worker, snapshot.process.cpu_s, snapshot.end_s - snapshot.start_s)
        self._note_memory(f"worker {snapshot.worker}", snapshot.process.resident_bytes)
        for count in snapshot.counts:
            cut = self._cut(self._counts, count.name, count.group, count.phase)
            self._counts[cut] = self._counts.get(cut, 0) + count.value
            within.counts[cut[0]] = within.counts.get(cut[0], 0) + count.value
        for item in snapshot.latencies:
            self._add_latencies(within, item.metric, item.group, item.phase, item.histogram)
        for reason, number in snapshot.reasons.items():
            self._add_reason(reason, number)
        for position in snapshot.positions:
            self._add_position(snapshot.end_s, position)
        for probed in snapshot.probed:
            if len(self.probed) < _MAX_LISTED:
                self.probed[probed.probes, probed.edge] = probed
            else:
                self.dropped["probes"] += 1

    def _add_latencies(self, within: Slice, metric: str, group: str, phase: str, text: str) -> None:
        try:
            histogram = SparseHistogram.decode(text)
        except HistogramError:
            self.damaged_histograms += 1
            return
        cut = self._cut(self._latencies, metric, group, phase)
        within.add_latencies(cut[0], histogram)
        if cut not in self._latencies:
            self._latencies[cut] = SparseHistogram()
        self._latencies[cut].add(histogram)

    def _cut(self, known: Mapping[_Cut, object], name: str, group: str, phase: str) -> _Cut:
        cut = (name, group, phase)
        if cut in known or len(known) < _MAX_CUTS:
            return cut
        self.dropped["cuts"] += 1
        return (name if name in METRICS else OTHER, OTHER, OTHER)

    def _add_reason(self, reason: str, number: int) -> None:
        if reason not in self.reasons and len(self.reasons) >= _MAX_REASONS:
            reason = OTHER
        self.reasons[reason] = self.reasons.get(reason, 0) + number

    def _add_position(self, time_s: float, position: Position) -> None:
        vehicle = position.vehicle
        if vehicle not in self.tracks and len(self.tracks) >= _MAX_TRACKS:
            self.dropped["tracks"] += 1
            return
        track = self.tracks.setdefault(vehicle, [])
        stride, seen = self._track_strides.get(vehicle, (1, 0))
        if seen % stride == 0:
            track.append((time_s, position.latitude_deg, position.longitude_deg))
        if len(track) > _MAX_TRACK_POINTS:
            del track[1::2]
            stride *= 2
        self._track_strides[vehicle] = (stride, seen + 1)

    def _add_target(self, report: TargetReport) -> None:
        before, self.target = self.target, report
        # A report tells of the time before it.
        within = self._slices.at(math.nextafter(report.at_s, 0.0))
        passed_s = report.at_s - (before.at_s if before else 0.0)
        if passed_s > 0:
            within.target_cpu_share = report.process.cpu_s / passed_s
        for cause, total in report.refusals.items():
            more = total - (before.refusals.get(cause, 0) if before else 0)
            if more > 0:
                within.refusals[cause] = within.refusals.get(cause, 0) + more
        self._note_memory("target", report.process.resident_bytes)

    def _note_memory(self, process: str, resident_bytes: int) -> None:
        known = self.resident_bytes.get(process, 0)
        self.resident_bytes[process] = max(known, resident_bytes)

    def _keep(self, listed: list[_Listed], record: _Listed, kind: str) -> None:
        if len(listed) < _MAX_LISTED:
            listed.append(record)
        else:
            self.dropped[kind] += 1

    # Time

    @property
    def elapsed_s(self) -> float:
        """The latest time any record speaks of."""
        return self._elapsed_s

    @property
    def phase_now(self) -> str:
        """Name of the phase at `elapsed_s`; `drain` after the last one, empty before the header."""
        if self.header is None:
            return ""
        for phase in self.header.phases:
            if self._elapsed_s < phase.end_s:
                return phase.name
        return AFTER

    @property
    def is_partial(self) -> bool:
        """Whether the run was not completed (or is still going on)."""
        return self.end is None or self.end.outcome != "completed"

    def measured_s(self, phase: str | None = None) -> float:
        """How long a phase took so far, or all of them; 0 for one that never began."""
        if phase == AFTER:
            return max(0.0, self._elapsed_s - self._phases_end_s())
        if self.header is None:
            return 0.0
        return sum(
            max(0.0, min(planned.end_s, self._elapsed_s) - planned.start_s)
            for planned in self.header.phases
            if phase is None or planned.name == phase
        )

    def _phases_end_s(self) -> float:
        phases = self.header.phases if self.header else []
        return max((phase.end_s for phase in phases), default=0.0)

    # Figures

    @property
    def groups(self) -> list[str]:
        """Names of the groups of cars, in the order of the scenario."""
        return [group.name for group in self.header.groups] if self.header else []

    @property
    def phases(self) -> list[str]:
        """Names of the phases, in order."""
        return [phase.name for phase in self.header.phases] if self.header else []

    @property
    def applications(self) -> list[str]:
        """Names of the applications that counted anything, in alphabetical order."""
        named = {group for kept in (self._counts, self._latencies) for _, group, _ in kept}
        return sorted((named | {book.observer for book in self.books}) - {*self.groups, OTHER})

    def cuts_of(self, metric: str) -> tuple[set[str], set[str]]:
        """The groups and the phases for which a counter or latency was recorded."""
        cuts = [cut for kept in (self._counts, self._latencies) for cut in kept if cut[0] == metric]
        return {group for _, group, _ in cuts}, {phase for _, _, phase in cuts}

    def count(self, name: str, group: str | None = None, phase: str | None = None) -> int:
        """Sum of a counter; `not_sent` is the sum of its causes."""
        if name == "not_sent":
            return sum(self.count(cause, group, phase) for cause in NOT_SENT)
        return sum(value for cut, value in self._counts.items() if _is_in(cut, name, group, phase))

    def spread(
        self, metric: str, group: str | None = None, phase: str | None = None
    ) -> SparseHistogram:
        """Latencies of all matching cuts together; cheap, with percentiles."""
        return SparseHistogram.merged(
            histogram
            for cut, histogram in self._latencies.items()
            if _is_in(cut, metric, group, phase)
        )

    def latency(
        self, metric: str, group: str | None = None, phase: str | None = None
    ) -> HdrHistogram:
        """The same as `spread`, as a histogram of `hdrhistogram` in microseconds."""
        return self.spread(metric, group, phase).dense()

    def asked(self, group: str | None = None) -> int:
        """Cars asked for."""
        planned = self.header.groups if self.header else []
        return sum(item.asked for item in planned if group in {None, item.name})

    def connected(self, group: str | None = None) -> int:
        """Cars that were connected at least once.

        Without the end record: the most that were online at one time, which is a lower bound.
        """
        known = self._most_online if self.end is None else self.end.connected
        names = self.groups if group is None else [group]
        return sum(known.get(name, 0) for name in names)

    @property
    def online(self) -> dict[str, int]:
        """Group to cars that are connected, as the workers said last."""
        return _online(self._last, self.groups)

    @property
    def series(self) -> list[Slice]:
        """The run second by second from 0, without gaps; of a long run in longer slices."""
        return self._slices.series()

    @property
    def slice_s(self) -> float:
        """Length of a slice."""
        return self._slices.length_s

    @property
    def generator(self) -> GeneratorHealth:
        """How the load generator itself was doing."""
        if self._health is None or self._health[0] != self._revision:
            self._health = (self._revision, health_of(self))
        return self._health[1]

    def value(
        self,
        metric: str,
        statistic: str | None = None,
        group: str | None = None,
        phase: str | None = None,
        quota: str | None = None,
    ) -> float | None:
        """The value of a metric; None when nothing was measured.

        Args:
            metric: A name of `METRICS`.
            statistic: `p99`, `max`, `min`, `mean` or `count` of a latency; None for the others.
            group: Only this group of cars, or of applications.
            phase: Only this phase.
            quota: Only this quota.

        Returns:
            Milliseconds, a number, a share from 0 to 1, or USD.

        Raises:
            KeyError: There is no such metric.
        """
        return value_of(self, metric, statistic, group, phase, quota)

    @property
    def edges(self) -> list[EdgeRow]:
        """The edges of quotas that were to be probed, and how that went."""
        return edges_of(self)

    @property
    def has_snapshots(self) -> bool:
        """Whether any worker reported anything."""
        return bool(self._last)

    def online_at_end(self, group: str | None = None) -> float | None:
        """Cars that were connected when the last phase ended, or now while it goes on."""
        if not self._last_in_time:
            return None
        online = _online(self._last_in_time, self.groups)
        return float(sum(cars for name, cars in online.items() if group in {None, name}))

    def books_of(self, group: str | None) -> list[StreamBooks]:
        """The books on a group of cars, or those of the observers with this name; None: all."""
        return [book for book in self.books if group in {None, book.group, book.observer}]


def _online(last: dict[int, Snapshot], groups: list[str]) -> dict[str, int]:
    newest_s = max((snapshot.end_s for snapshot in last.values()), default=0.0)
    heard = [s for s in last.values() if newest_s - s.end_s <= SILENT_AFTER_S]
    return {group: sum(snapshot.online.get(group, 0) for snapshot in heard) for group in groups}


def _keep_newest(kept: dict[int, Snapshot], snapshot: Snapshot) -> None:
    known = kept.get(snapshot.worker)
    if known is None or snapshot.end_s >= known.end_s:
        kept[snapshot.worker] = Snapshot(
            snapshot.worker,
            snapshot.number,
            snapshot.start_s,
            snapshot.end_s,
            [],
            [],
            snapshot.online,
            {},
            snapshot.process,
        )


def _times_s(record: Snapshot | Event | TargetReport | StreamBooks | End) -> tuple[float, ...]:
    if isinstance(record, Snapshot):
        return record.start_s, record.end_s
    return () if isinstance(record, StreamBooks) else (record.at_s,)


def _is_in(cut: _Cut, name: str, group: str | None, phase: str | None) -> bool:
    return cut[0] == name and group in {None, cut[1]} and phase in {None, cut[2]}
