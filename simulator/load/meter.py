"""What a worker has counted and timed since its last snapshot.

Owns the running numbers and their cut by group and phase. Latencies are collected as plain numbers
in lists that the hot paths append to directly, and become histograms when a snapshot is taken.
Knows nothing about where the numbers come from.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from simulator.load import histograms
from simulator.load.connection.reason_codes import FAILURE, reason_name
from simulator.load.records import Count, Latencies, Position, ProcessUse, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulator.load.records import Probed

REASONS_MAX = 200
"""Different reasons of a run that are told apart; further ones count as `other`. Texts of a hostile
server must not grow a report without bound."""


class Meter:
    """The numbers of one worker.

    Args:
        worker: Number of the worker.
        phase: Name of the phase in force; the worker keeps it up to date.
    """

    def __init__(self, worker: int, phase: str) -> None:
        self.phase = phase
        self._worker = worker
        self._number = 0
        self._start_s = 0.0
        self._counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._sinks: dict[tuple[str, str, str], list[float]] = {}
        self._reasons: defaultdict[str, int] = defaultdict(int)
        # Of the whole run, not of a snapshot: a report adds the snapshots.
        self._told: set[str] = set()

    def count(self, name: str, group: str, number: int = 1, *, phase: str | None = None) -> None:
        """Add to a counter of `simulator.scenario.checks.METRICS`.

        Args:
            name: The counter.
            group: Group of cars, or name of an application.
            number: How many.
            phase: The phase it belongs to, when that is not the one in force.
        """
        if number:
            self._counts[name, group, phase or self.phase] += number

    def sink(self, metric: str, group: str, phase: str) -> list[float]:
        """Where latencies in seconds are appended. Remains valid; a snapshot empties it."""
        key = (metric, group, phase)
        found = self._sinks.get(key)
        if found is None:
            found = self._sinks[key] = []
        return found

    def reason(self, text: str, number: int = 1) -> None:
        """Count a reason code or a link failure by its text."""
        if text not in self._told:
            if len(self._told) >= REASONS_MAX:
                text = "other"
            else:
                self._told.add(text)
        self._reasons[text] += number

    def reasons_text(self) -> str:
        """The reasons since the last snapshot in one line, the most frequent first."""
        ordered = sorted(self._reasons.items(), key=lambda item: -item[1])
        return ", ".join(f"{text} ({number} times)" for text, number in ordered) or "no answer"

    def acknowledged(self, group: str, reason: int) -> None:
        """Count a PUBACK by its reason code."""
        if reason < FAILURE:
            self._counts["acknowledged", group, self.phase] += 1
        else:
            self._counts["publish_refused", group, self.phase] += 1
            self.reason(f"PUBACK 0x{reason:02X} {reason_name(reason)}")

    def subscribed(self, reasons: Iterable[int]) -> None:
        """Count the refusals of a SUBACK."""
        for reason in reasons:
            if reason >= FAILURE:
                self.reason(f"SUBACK 0x{reason:02X} {reason_name(reason)}")

    def take(
        self,
        now_s: float,
        online: Mapping[str, int],
        process: ProcessUse,
        positions: Sequence[Position] = (),
        probed: Sequence[Probed] = (),
    ) -> Snapshot:
        """Everything since the last call, which starts anew.

        Args:
            now_s: The time now.
            online: Connected cars by group.
            process: What the process used.
            positions: Where some cars are.
            probed: The quotas that probes are done with.
        """
        latencies = []
        for (metric, group, phase), values in self._sinks.items():
            if values:
                text = histograms.encode(histograms.of_seconds(values))
                values.clear()
                latencies.append(Latencies(metric, group, phase, text))
        snapshot = Snapshot(
            worker=self._worker,
            number=self._number,
            start_s=self._start_s,
            end_s=now_s,
            counts=[Count(*key, value) for key, value in self._counts.items()],
            latencies=latencies,
            online=dict(online),
            reasons=dict(self._reasons),
            process=process,
            positions=list(positions),
            probed=list(probed),
        )
        self._counts.clear()
        self._reasons.clear()
        self._number += 1
        self._start_s = now_s
        return snapshot
