"""The run cut into slices of one second, all workers together, for everything drawn over time.

Owns the slices and how they grow longer when a run does, so that an hour and a week take the same
memory. Knows nothing about totals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from simulator.report.sparse import SparseHistogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hdrh.histogram import HdrHistogram

MAX_SLICES: Final = 3600


@dataclass(slots=True)
class Slice:
    """What happened within a stretch of time. A snapshot belongs to that of its middle.

    Attributes:
        start_s: From when.
        end_s: Until when.
        counts: Counter to its increment, over all groups and phases.
        online: Group to cars that were connected at its end.
        cpu_share: Worker to the share of a core that it used.
        refusals: What the target refused, by cause.
        target_cpu_share: The share of a core that the stand-in used; None when it said nothing.
    """

    start_s: float
    end_s: float
    counts: dict[str, int] = field(default_factory=dict)
    online: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    target_cpu_share: float | None = None
    _use: dict[int, tuple[float, float]] = field(default_factory=dict)
    _latencies: dict[str, SparseHistogram] = field(default_factory=dict)

    @property
    def cpu_share(self) -> dict[int, float]:
        """Worker to the share of a core that it used."""
        return {worker: cpu_s / max(s, 1e-9) for worker, (cpu_s, s) in self._use.items()}

    @property
    def spreads(self) -> Mapping[str, SparseHistogram]:
        """Metric to its latencies; for percentiles over time."""
        return self._latencies

    @property
    def latency(self) -> dict[str, HdrHistogram]:
        """The same as histograms of `hdrhistogram`; each costs 172 kB, so not for every slice."""
        return {metric: histogram.dense() for metric, histogram in self._latencies.items()}

    def percentiles_ms(self, metric: str, percents: Sequence[float]) -> list[float] | None:
        """Percentiles of a latency in milliseconds; None when there was none."""
        histogram = self._latencies.get(metric)
        return None if histogram is None else histogram.percentiles_ms(percents)

    def rate_hz(self, counter: str) -> float:
        """A counter per second."""
        return self.counts.get(counter, 0) / (self.end_s - self.start_s)

    def add_use(self, worker: int, cpu_s: float, passed_s: float) -> None:
        """Add what a worker used within some time."""
        known_cpu_s, known_s = self._use.get(worker, (0.0, 0.0))
        self._use[worker] = (known_cpu_s + cpu_s, known_s + passed_s)

    def add_latencies(self, metric: str, histogram: SparseHistogram) -> None:
        """Add latencies."""
        self._latencies.setdefault(metric, SparseHistogram()).add(histogram)

    def append(self, later: Slice) -> None:
        """Take in the slice that follows."""
        self.end_s = later.end_s
        _add_all(self.counts, later.counts)
        _add_all(self.refusals, later.refusals)
        self.online = later.online or self.online
        shares = [s.target_cpu_share for s in (self, later) if s.target_cpu_share is not None]
        self.target_cpu_share = sum(shares) / len(shares) if shares else None
        for worker, (cpu_s, passed_s) in later._use.items():
            self.add_use(worker, cpu_s, passed_s)
        for metric, histogram in later._latencies.items():
            self.add_latencies(metric, histogram)


class SliceBook:
    """The slices of a run.

    Args:
        max_slices: At most this many are kept; then two neighbours each become one.
    """

    def __init__(self, max_slices: int = MAX_SLICES) -> None:
        self.length_s = 1.0
        self._max = max_slices
        self._slices: dict[int, Slice] = {}

    def at(self, time_s: float) -> Slice:
        """The slice a time belongs to; it is made when there is none."""
        while time_s >= self.length_s * self._max:
            self._coarsen()
        return self._make(int(time_s // self.length_s))

    def series(self) -> list[Slice]:
        """All slices from 0 to the last, with empty ones in the gaps."""
        last = max(self._slices, default=-1)
        listed: list[Slice] = []
        for number in range(last + 1):
            found = self._slices.get(number)
            if found is None:
                found = Slice(number * self.length_s, (number + 1) * self.length_s)
                found.online = listed[-1].online if listed else {}
            listed.append(found)
        return listed

    def _make(self, number: int) -> Slice:
        found = self._slices.get(number)
        if found is None:
            found = Slice(number * self.length_s, (number + 1) * self.length_s)
            self._slices[number] = found
        return found

    def _coarsen(self) -> None:
        finer, self._slices = self._slices, {}
        self.length_s *= 2
        for number in sorted(finer):
            self._make(number // 2).append(finer[number])
        for number, kept in self._slices.items():
            kept.start_s, kept.end_s = number * self.length_s, (number + 1) * self.length_s


def _add_all(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number
