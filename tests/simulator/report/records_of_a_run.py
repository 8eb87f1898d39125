"""The records of a plausible run, for the tests of everything that reads a result.

60 s in three phases: 60 cars and 40 vans on two workers, one observer application and one
commander, the stand-in as target with refusals, and a storm of 20 vans at 47 s. Two vans never
connect. Counters follow from arithmetic that tests can repeat by hand; latencies are drawn from a
seed.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from simulator.load.histograms import encode, of_seconds
from simulator.load.records import (
    ClientRefusals,
    Count,
    End,
    Event,
    Header,
    Latencies,
    PlannedFault,
    PlannedGroup,
    PlannedPhase,
    Position,
    ProcessUse,
    QuotaRefusals,
    Record,
    Snapshot,
    StreamBooks,
    TargetQuotas,
    TargetReport,
    encode_record,
)
from simulator.report.result import Result
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from pathlib import Path

CARS = 60
VANS = 40
VANS_CONNECTED = 38
WORKERS = 2
STORM_AT_S = 47.0
STORM_VANS = 20
CHECKS = [
    "publish_ack_ms.p99 < 250",
    "end_to_end_ms.p99.9 <= 1s during storm of vans",
    "command_ms.p95 < 2s",
    "connected_share >= 97 %",
    "lost == 0",
    "connected == 100",
]
"""The last two fail: 5 messages are lost, and 98 of 100 cars connect."""

WOULD_HAVE_REFUSED = "IoT Core would have refused 1,234 publishes and deliveries: quota of a test"

_PHASES = [
    ("arrive", 0.0, 15.0, 1.0),
    ("drive", 15.0, 45.0, 1.0),
    ("storm", 45.0, 60.0, 2.0),
]
_SCENARIO: dict[str, Any] = {
    "name": "city-evening",
    "description": "Does the fleet survive a reconnect storm in the evening?",
    "seed": 7,
    "vehicles": [
        {
            "name": "cars",
            "count": CARS,
            "streams": {"state": {"rate_hz": 2, "qos": 1}},
            "commands": {},
        },
        {"name": "vans", "count": VANS, "streams": {"state": {"rate_hz": 1}}},
    ],
    "phases": [
        {"name": name, "duration": end - start, "rate": rate} for name, start, end, rate in _PHASES
    ],
    "faults": [{"kind": "storm", "at": STORM_AT_S, "share": 0.5, "group": "vans"}],
    "applications": {
        "observers": [{"name": "dashboard", "count": 2}],
        "commanders": [{"name": "dispatch", "rate_hz": 2, "group": "cars"}],
    },
    "checks": CHECKS,
}


def header(**changes: Any) -> Header:
    """The header; `checks` and `seed` change the scenario, the rest the header itself."""
    scenario = dict(_SCENARIO)
    scenario.update((key, changes.pop(key)) for key in ("checks", "seed") if key in changes)
    values: dict[str, Any] = {
        "name": scenario["name"],
        "scenario": Scenario.model_validate(scenario).model_dump(mode="json"),
        "started": "2026-03-02T18:00:00+09:00",
        "unix_s_at_zero": 1_772_442_000.0,
        "version": "0.1.0",
        "target": "IoT Core stand-in on 127.0.0.1:8883",
        "target_kind": "stand-in",
        "machine": {
            "processor": "AMD EPYC 7B13",
            "cores": "2",
            "memory": "7.8 GB",
            "system": "Linux 6.1",
            "event loop": "uvloop 0.22",
        },
        "workers": WORKERS,
        "groups": [
            PlannedGroup("cars", CARS, "engine", ["state"]),
            PlannedGroup("vans", VANS, "engine", ["state"]),
        ],
        "phases": [PlannedPhase(n, s, e, rate, rate) for n, s, e, rate in _PHASES],
        "faults": [PlannedFault("storm", STORM_AT_S, STORM_AT_S, STORM_VANS, "vans")],
        "quotas": {"findings": []},
        "cost": {
            "items": [
                {
                    "name": "messages",
                    "quantity": 13_000.0,
                    "unit": "5 kB",
                    "unit_price_usd": 1e-6,
                    "run_usd": 0.013,
                    "month_usd": 561.6,
                },
                {
                    "name": "connection minutes",
                    "quantity": 98.0,
                    "unit": "minute",
                    "unit_price_usd": 8e-8,
                    "run_usd": 0.00000784,
                    "month_usd": 0.34,
                },
            ],
            "run_usd": 0.01300784,
            "month_usd": 561.94,
            "priced_on": "2026-01-15",
            "region": "us-east-1",
        },
    }
    return Header(**{**values, **changes})


def records(
    *,
    seconds: int = 60,
    outcome: str = "completed",
    reason: str = "",
    cpu_share: float = 0.4,
    lateness_s: float = 0.0008,
    **changes: Any,
) -> list[Record]:
    """All records of the run, in the order of the file.

    Args:
        seconds: How much of it took place; above 60 is the drain.
        outcome: How it ended; `cut off` leaves the end away.
        reason: Why, for the end.
        cpu_share: Share of a core that each worker used.
        lateness_s: Median lateness of the generator.
        changes: See `header`.
    """
    chance = random.Random(7)
    listed: list[Record] = [header(**changes)]
    for second in range(seconds):
        if second == int(STORM_AT_S):
            listed.append(
                Event(STORM_AT_S, "fault", "storm: 20 of vans dropped and back at once", 0, 20)
            )
        listed.extend(
            _snapshot(worker, second, chance, cpu_share, lateness_s) for worker in range(WORKERS)
        )
        if second % 5 == 4:
            listed.append(_target(second + 1.0))
    if outcome == "interrupted":
        listed.append(Event(float(seconds), "interrupted", "Ctrl-C"))
    listed.extend(_books(seconds))
    if outcome != "cut off":
        listed.append(
            End(
                float(seconds),
                outcome,  # type: ignore[arg-type]  # the name of an outcome
                reason,
                {"cars": min(CARS, 4 * seconds), "vans": min(VANS_CONNECTED, 4 * seconds)},
                {"cars": 3, "vans": 0},
            )
        )
    return listed


def result(**changes: Any) -> Result:
    """The fold of `records`."""
    folded = Result()
    for record in records(**changes):
        folded.add(record)
    return folded


def write(path: Path, **changes: Any) -> Path:
    """Write `records` to a result file."""
    path.write_bytes(b"".join(map(encode_record, records(**changes))))
    return path


def phase_of(second: int) -> tuple[str, float]:
    """Name and rate factor of the phase at a second."""
    for name, start_s, end_s, rate in _PHASES:
        if start_s <= second < end_s:
            return name, rate
    return "drain", 0.0


def _snapshot(
    worker: int, second: int, chance: random.Random, cpu_share: float, lateness_s: float
) -> Snapshot:
    phase, rate = phase_of(second)
    # Of either group two cars a second and worker connect until all are there.
    online = {
        "cars": min(CARS // WORKERS, 2 * (second + 1)),
        "vans": min(VANS_CONNECTED // WORKERS, 2 * (second + 1)),
    }
    before = {
        "cars": min(CARS // WORKERS, 2 * second),
        "vans": min(VANS_CONNECTED // WORKERS, 2 * second),
    }
    is_storm = second == int(STORM_AT_S)
    slow = 6.0 if second in range(int(STORM_AT_S), int(STORM_AT_S) + 4) else 1.0
    counts: list[Count] = []
    latencies: list[Latencies] = []

    def counted(name: str, group: str, value: int) -> None:
        if value:
            counts.append(Count(name, group, phase, value))

    def measured(metric: str, group: str, number: int, median_s: float, sigma: float) -> None:
        if number:
            drawn = [median_s * chance.lognormvariate(0.0, sigma) for _ in range(number)]
            latencies.append(Latencies(metric, group, phase, encode(of_seconds(drawn))))

    for group, rate_hz in (("cars", 2), ("vans", 1)):
        published = int(online[group] * rate_hz * rate)
        connects = online[group] - before[group]
        if is_storm and group == "vans":
            connects += STORM_VANS // WORKERS
            counted("disconnects", group, STORM_VANS // WORKERS)
            counted("not_sent_offline", group, 15)
        counted("connects", group, connects)
        counted("published", group, published)
        counted("bytes_out", group, published * 290)
        counted("bytes_in", group, published * 4)
        measured("connect_ms", group, connects, 0.012 * slow, 0.3)
        measured("tls_ms", group, connects, 0.009 * slow, 0.3)
        measured("lateness_ms", group, published, lateness_s, 0.4)
        measured("end_to_end_ms", group, published, 0.0031 * slow, 0.5)
        if group == "cars":
            refused = 1 if second in {20, 30, 40} and worker == 0 else 0
            counted("acknowledged", group, published - refused)
            counted("publish_refused", group, refused)
            measured("publish_ack_ms", group, published, 0.0024 * slow, 0.5)
        counted("received", group, published * 2)
    if worker == 0 and phase != "drain":
        counted("commands_sent", "cars", 2)
        counted("commands_answered", "cars", 2 if second != 50 else 1)
        counted("commands_unanswered", "cars", 0 if second != 50 else 1)
        measured("command_ms", "cars", 2, 0.52, 0.25)
        counted("bytes_out", "dispatch", 2 * 180)
    if second == 46:
        counted("not_sent_window", "cars", 3)
        counted("not_sent_backpressure", "cars", 1)
    reasons: dict[str, int] = {}
    if worker == 0 and second in {20, 30, 40}:
        reasons["PUBACK 0x97"] = 1
    if is_storm:
        reasons["connection closed"] = STORM_VANS // WORKERS
    if worker == 1 and second % 10 == 0:
        counted("connect_failures", "vans", 2)
        reasons["CONNACK 0x87"] = 2
    return Snapshot(
        worker,
        second,
        float(second),
        second + 1.0,
        counts,
        latencies,
        online,
        reasons,
        ProcessUse(cpu_share, 90_000_000 + 100_000 * second),
        [
            Position(2 * number + worker, 37.5665 + second * 1e-4, 126.978 + number * 1e-3)
            for number in range(5)
        ],
    )


def _target(at_s: float) -> TargetReport:
    return TargetReport(
        at_s,
        {
            "connections": 101,
            "publishes_in": int(at_s * 158),
            "publishes_out": int(at_s * 316),
        },
        {
            "connect not authorized": 2 * (int(at_s - 1) // 10 + 1),
            "publish rate of a connection": 3 if at_s > 40 else 0,
            "unknown topic": 1,
        },
        ProcessUse(5 * 0.31, 120_000_000),
        TargetQuotas("default", "observe", _over_quota() if at_s > 40 else {}),
    )


def _over_quota() -> dict[str, QuotaRefusals]:
    """What the only dashboard reads above its quota, and one message that was too large."""
    return {
        "publishes-per-connection": QuotaRefusals(
            1_234,
            False,
            WOULD_HAVE_REFUSED,
            [ClientRefusals("load:dashboard:0001", 1_200, 0), ClientRefusals("vans-7", 30, 2)],
        ),
        "payload-bytes": QuotaRefusals(
            1, True, "IoT Core refused 1 message", [ClientRefusals("cars-3", 1, 0)]
        ),
    }


def _books(seconds: int) -> list[StreamBooks]:
    """Each of two observers watches every car; five messages of vans are lost."""
    written = {"cars": 0, "vans": 0}
    for second in range(seconds):
        rate = phase_of(second)[1]
        written["cars"] += WORKERS * int(min(CARS // WORKERS, 2 * (second + 1)) * 2 * rate)
        written["vans"] += WORKERS * int(min(VANS_CONNECTED // WORKERS, 2 * (second + 1)) * rate)
    return [
        StreamBooks(
            "dashboard", "cars", "state", CARS, 2 * written["cars"], 2 * written["cars"], 0, 4, 0, 0
        ),
        StreamBooks(
            "dashboard",
            "vans",
            "state",
            VANS,
            2 * written["vans"],
            2 * written["vans"] - 5,
            5,
            0,
            1,
            0,
        ),
    ]
