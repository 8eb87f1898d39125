"""Results as they stand at some time of a run, for the tests of what is shown while it goes on."""

from __future__ import annotations

import math
from typing import Any

from simulator.load.records import (
    Count,
    Event,
    Header,
    Latencies,
    PlannedFault,
    PlannedGroup,
    PlannedPhase,
    ProcessUse,
    Record,
    Snapshot,
    TargetReport,
)
from simulator.report.result import Result
from tests.simulator.report import records_of_a_run

HOSTILE = "\x1b[2J\x07\u202eevil\n\r\t\x9b名前" + "x" * 300
"""Clears the screen, rings, turns the line around, breaks it, is wide, and has no end."""


def folded(*records: Record) -> Result:
    """The fold of these records."""
    result = Result()
    for record in records:
        result.add(record)
    return result


def at(time_s: float, **changes: Any) -> Result:
    """The plausible run, with the records that have come in by a time before its end."""
    seconds = min(60, math.ceil(time_s))
    known = [
        record
        for record in records_of_a_run.records(seconds=seconds, **changes)
        if isinstance(record, Header)
        or (isinstance(record, Snapshot) and record.end_s <= time_s)
        or (isinstance(record, Event | TargetReport) and record.at_s <= time_s)
    ]
    return folded(*known)


def snapshot(end_s: float, **changes: Any) -> Snapshot:
    """A snapshot of the second that ends then, in which worker 0 did nothing unless changed."""
    values: dict[str, Any] = {
        "worker": 0,
        "number": int(end_s),
        "start_s": end_s - 1.0,
        "end_s": end_s,
        "counts": [],
        "latencies": [],
        "online": {},
        "reasons": {},
        "process": ProcessUse(0.1, 1_000_000),
    }
    return Snapshot(**{**values, **changes})


def busy_run(*, name: str = "big", number: int = 10**15, phases: int = 64) -> Result:
    """A run in which every name is this one and every number is huge."""
    header = records_of_a_run.header(
        name=name,
        target=name,
        phases=[PlannedPhase(f"{name}-{n}", n * 2.0, n * 2.0 + 2.0, 1, 1) for n in range(phases)],
        groups=[PlannedGroup(f"{name}-{n}", number, "engine", []) for n in range(40)],
        faults=[PlannedFault(name, 100.0 + n, 100.0 + n, number, name) for n in range(40)],
    )
    counters = ("published", "connects", "not_sent_offline", "connect_failures", "commands_late")
    latencies = [
        item
        for record in records_of_a_run.records(seconds=2)
        if isinstance(record, Snapshot)
        for item in record.latencies
    ]
    records: list[Record] = [header]
    for second in range(1, 30):
        records += [
            snapshot(
                float(second),
                worker=worker,
                counts=[Count(counter, f"{name}-0", f"{name}-0", number) for counter in counters],
                latencies=[Latencies(i.metric, i.group, i.phase, i.histogram) for i in latencies],
                online={f"{name}-{n}": number for n in range(40)},
                reasons={f"{name} {n}": number for n in range(100)},
                process=ProcessUse(7.5, number),
            )
            for worker in range(12)
        ]
        records.append(Event(float(second), "warning", name, None, number))
        records.append(
            TargetReport(
                float(second),
                {"connections": number, name: number},
                {f"{name} {n}": number for n in range(100)},
                ProcessUse(1e9, number),
            )
        )
    return folded(*records)
