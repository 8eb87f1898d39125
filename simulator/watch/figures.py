"""What there is to say about a run at one moment: the figures behind the panel and the lines.

Owns what "now" means: rates are means of the last three seconds that every worker has reported,
recent latencies those of the last ten. Derives; draws and formats nothing. Pure: the time is an
argument, on the clock of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.report.quotas import refused_by_quota
from simulator.report.result import NOT_SENT, SILENT_AFTER_S
from simulator.report.slices import Slice
from simulator.report.sparse import SparseHistogram
from simulator.scenario.checks import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.load.records import PlannedFault
    from simulator.report.result import Result

HISTORY_S: Final = 60.0
RECENT_S: Final = 10.0
RATE_OVER_S: Final = 3.0
PERCENTILES: Final = (50.0, 99.0, 100.0)
SETTLES_S: Final = 0.75
"""How long after its end a slice may lack a worker: a snapshot belongs to the slice of its middle,
so one of a second ends up to half a second later, and then it has to come in."""

RATES: Final[Mapping[str, str]] = {
    "connects": "connects",
    "publishes": "published",
    "acks": "acknowledged",
    "received": "received",
    "commands": "commands_sent",
}
"""Name of a rate to the counter it is of."""

_QUOTAS_NAMED: Final = 2

LATENCIES: Final = tuple(metric.name for metric in METRICS.values() if metric.kind == "latency")


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate now, and how it came there.

    Attributes:
        per_s: Mean of the last `RATE_OVER_S` seconds.
        total: Since the start.
        history: The rate of each slice of the last minute, the newest last; NaN before the start.
    """

    per_s: float
    total: int
    history: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of one metric in milliseconds, as in `PERCENTILES`.

    Attributes:
        metric: Its name.
        count: Values since the start.
        recent_ms: Of the last `RECENT_S` seconds; None when there were none.
        whole_ms: Since the start.
        history_ms: The p99 of each slice of the last minute; NaN where there was no value.
    """

    metric: str
    count: int
    recent_ms: tuple[float, ...] | None
    whole_ms: tuple[float, ...]
    history_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is.

    Attributes:
        elapsed_s: Since the start.
        planned_s: Length of all phases together; 0 while no plan is known.
        phase: Index of the current phase; None before the plan is known and after the last phase.
    """

    elapsed_s: float
    planned_s: float
    phase: int | None

    @property
    def left_s(self) -> float:
        """Until the end of the last phase."""
        return max(0.0, self.planned_s - self.elapsed_s)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that should not happen, with how often it did.

    Attributes:
        name: In words.
        number: None when it is not known before the end.
        detail: What it consists of, or nothing.
        is_fault: Whether more than none is bad in itself; a disconnect may be planned.
    """

    name: str
    number: int | None
    detail: str = ""
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the generator, or the stand-in.

    Attributes:
        name: A worker's number, or `target`.
        cpu_share: Of one core, in the last slice that tells; None when none does.
        peak_bytes: The most memory it used; 0 when unknown.
    """

    name: str
    cpu_share: float | None
    peak_bytes: int


class Moment:
    """The figures of a result at one time. Made anew for every look.

    Args:
        result: As folded so far.
        now_s: Time on the clock of the run. A run that ended stays at its end.
    """

    def __init__(self, result: Result, now_s: float) -> None:
        self.result = result
        ended = result.end
        self.now_s = max(0.0, now_s if ended is None else ended.at_s)
        self._slice_s = result.slice_s
        self._slots = math.ceil(HISTORY_S / self._slice_s)
        self._minute = self._settled()

    def _settled(self) -> list[Slice]:
        """The slices of the last minute that are complete, silent ones included."""
        wanted = self._slots
        series, length_s = self.result.series, self._slice_s
        if self.result.end is not None:
            return series[-wanted:]
        complete = max(0, int((self.now_s - SETTLES_S) / length_s))
        known = series[max(0, complete - wanted) : complete]
        # After a silence of all workers the series ends early; the silence is part of the picture.
        first_silent = max(len(series), complete - wanted)
        silent = [
            Slice(number * length_s, (number + 1) * length_s)
            for number in range(first_silent, complete)
        ]
        return known + silent

    def _last(self, seconds: float) -> list[Slice]:
        return self._minute[-math.ceil(seconds / self._slice_s) :]

    def _since_start(self, values: list[float]) -> tuple[float, ...]:
        return (*[math.nan] * (self._slots - len(values)), *values)

    @property
    def progress(self) -> Progress:
        """Where the run is."""
        phases = self.result.header.phases if self.result.header else []
        planned_s = phases[-1].end_s if phases else 0.0
        current = (index for index, phase in enumerate(phases) if self.now_s < phase.end_s)
        return Progress(self.now_s, planned_s, next(current, None))

    @property
    def online(self) -> int:
        """Cars connected now."""
        online = self.result.online
        return sum(online.get(group, 0) for group in self.result.groups)

    @property
    def is_silent(self) -> bool:
        """Whether the run goes on and no worker has reported for `SILENT_AFTER_S`."""
        if self.result.header is None or self.result.end is not None:
            return False
        recent = self._last(SILENT_AFTER_S)
        passed_s = sum(piece.end_s - piece.start_s for piece in recent)
        return passed_s >= SILENT_AFTER_S and not any(piece.cpu_share for piece in recent)

    def rates(self) -> dict[str, Rate]:
        """Every rate of `RATES`."""
        last = self._last(RATE_OVER_S)
        passed_s = sum(piece.end_s - piece.start_s for piece in last)
        return {
            name: Rate(
                sum(piece.counts.get(counter, 0) for piece in last) / passed_s if last else 0.0,
                self.result.count(counter),
                self._since_start([piece.rate_hz(counter) for piece in self._minute]),
            )
            for name, counter in RATES.items()
        }

    def latencies(self, *, with_history: bool = False) -> list[Latency]:
        """Every latency that has values, in the order of `METRICS`.

        Args:
            with_history: Also the p99 of each slice, which costs as much as all the rest.
        """
        found = []
        for metric in LATENCIES:
            whole = self.result.spread(metric)
            number = whole.count
            if not number:
                continue
            recent = SparseHistogram.merged(
                piece.spreads[metric] for piece in self._last(RECENT_S) if metric in piece.spreads
            )
            p99s = [
                (piece.percentiles_ms(metric, (99.0,)) or [math.nan])[0]
                for piece in (self._minute if with_history else ())
            ]
            found.append(
                Latency(
                    metric,
                    number,
                    tuple(recent.percentiles_ms(PERCENTILES)) if recent.count else None,
                    tuple(whole.percentiles_ms(PERCENTILES)),
                    self._since_start(p99s),
                )
            )
        return found

    def troubles(self) -> list[Trouble]:
        """What went wrong so far, the gravest first."""
        count = self.result.count
        lost = self.result.value("lost")
        late, failed = count("commands_late"), count("commands_failed")
        unanswered = count("commands_unanswered")
        causes = [(cause.removeprefix("not_sent_"), count(cause)) for cause in NOT_SENT]
        listed = [
            Trouble("messages lost", None if lost is None else int(lost)),
            Trouble("not sent", count("not_sent"), _parts(causes)),
            Trouble("connect failures", count("connect_failures")),
            Trouble("publishes refused", count("publish_refused")),
            Trouble(
                "commands missed",
                late + failed + unanswered,
                _parts([("late", late), ("failed", failed), ("unanswered", unanswered)]),
            ),
            Trouble("disconnects", count("disconnects"), is_fault=False),
            Trouble("resent", count("resent"), is_fault=False),
        ]
        refused = refused_by_quota(self.result)
        if refused:
            number = sum(each.refused for each in refused)
            parts = _parts([(each.quota, each.refused) for each in refused[:_QUOTAS_NAMED]])
            enforced = any(each.is_enforced for each in refused)
            listed.append(Trouble("over a quota", number, parts, is_fault=enforced))
        failed_probes = int(self.result.value("probes_failed") or 0)
        if failed_probes:
            listed.insert(0, Trouble("probes failed", failed_probes))
        if self.result.damaged_histograms:
            listed.insert(0, Trouble("latencies unreadable", self.result.damaged_histograms))
        workers_lost = int(self.result.value("workers_lost") or 0)
        if workers_lost:
            listed.insert(0, Trouble("workers lost", workers_lost))
        return listed

    def probes(self) -> tuple[int, int] | None:
        """Edges of quotas that probes are done with, and all of them; None without probes."""
        rows = self.result.edges
        return (sum(row.state != "to come" for row in rows), len(rows)) if rows else None

    def reasons(self, number: int) -> list[tuple[str, int]]:
        """The most frequent reason codes and link failures."""
        ranked = sorted(self.result.reasons.items(), key=lambda item: (-item[1], item[0]))
        return ranked[:number]

    def workers(self) -> list[Process]:
        """The workers that used something in the last seconds, in order of their number."""
        shares: dict[int, float] = {}
        for piece in self._last(RECENT_S):
            shares.update(piece.cpu_share)
        return [
            Process(str(worker), share, self.result.resident_bytes.get(f"worker {worker}", 0))
            for worker, share in sorted(shares.items())
        ]

    def target(self) -> Process | None:
        """The stand-in; None for targets that say nothing about themselves."""
        if self.result.target is None:
            return None
        shares = [piece.target_cpu_share for piece in self._last(RECENT_S)]
        told = [share for share in shares if share is not None]
        memory = self.result.resident_bytes.get("target", 0)
        return Process("target", told[-1] if told else None, memory)

    def next_fault(self) -> PlannedFault | None:
        """The planned fault that is due next."""
        planned = self.result.header.faults if self.result.header and not self.result.end else []
        coming = [fault for fault in planned if fault.start_s > self.now_s]
        return min(coming, key=lambda fault: fault.start_s, default=None)


def _parts(parts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in parts if number)
