"""One load from a fleet on one target, and what it cost the generator.

A real run of `simulator.load.run` without a report: a scenario is made, the records are folded, and
CPU is that of all worker processes and of the process that coordinates them, user and system. The
target's own CPU is told apart. After the cars have arrived the run goes on in steady state for some
windows of equal length, each of which gives one result.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.load import histograms
from simulator.load.records import End, Header, Record, Snapshot, StreamBooks, TargetReport
from simulator.load.run import Listener, Plan
from simulator.load.run import run as run_plan
from simulator.scenario.schema import OFF, Scenario
from tests.bench import machine
from tests.bench.figure import NotMeasurableError

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from tests.bench.mosquitto import Mosquitto

SETTLE_S: Final = 2.0
"""From the last arrival to the first window."""

_ARRIVING: Final = "arriving"
_STUB_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker as the target, and the store with the identities of the cars.

    Attributes:
        broker: The broker.
        store: Folder of the store; its CA also signed the broker's certificate.
    """

    broker: Mosquitto
    store: Path


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried.

    Attributes:
        cars: Cars, each with a certificate of its own.
        rate_hz: Messages per second and car, flat JSON with fresh positions; 0 for none.
        qos: QoS of the messages; None for half of the cars with either.
        motion: `city` or `parked`.
        window_s: Length of a window, a whole number.
        windows: How many windows.
        connects_per_s: How fast the cars arrive.
        is_observed: An application reads everything and keeps books.
        workers: Worker processes.
        broker: The target; None for the stand-in.
        sleeps_beside: Also measure how late a bare timer is in another process meanwhile.
        quotas: Quotas of the stand-in, enforced. Off by default, so that figures of the generator
            are those of the generator.
        storms: Let all cars lose their connection and come back at once when the first window ends.
    """

    cars: int
    rate_hz: float = 2.0
    qos: int | None = 0
    motion: str = "city"
    window_s: int = 6
    windows: int = 3
    connects_per_s: float = 400.0
    is_observed: bool = False
    workers: int = 1
    broker: Broker | None = None
    sleeps_beside: bool = False
    quotas: str = OFF
    storms: bool = False

    @property
    def storm_s(self) -> float:
        """When all cars lose their connection, if they do."""
        return self.arrival_s + self.window_s

    @property
    def arrival_s(self) -> int:
        """Length of the first phase: until the last car is there and all is calm."""
        return int(self.cars / self.connects_per_s + SETTLE_S) + 1

    def scenario(self) -> Scenario:
        """The scenario document."""
        sizes = {0: self.cars, 1: 0} if self.qos == 0 else {0: 0, 1: self.cars}
        if self.qos is None:
            sizes = {0: self.cars // 2, 1: self.cars - self.cars // 2}
        phases = [{"name": _ARRIVING, "duration": self.arrival_s}]
        phases += [
            {"name": f"window-{number}", "duration": self.window_s}
            for number in range(self.windows)
        ]
        document: dict[str, Any] = {
            "name": "bench",
            "description": "a benchmark",
            "vehicles": [
                {
                    "name": f"qos-{qos}",
                    "count": count,
                    "motion": {"kind": self.motion},
                    "streams": (
                        {"state": {"rate_hz": self.rate_hz, "qos": qos}} if self.rate_hz else {}
                    ),
                }
                for qos, count in sizes.items()
                if count
            ],
            "arrival": {"kind": "rate", "per_s": self.connects_per_s},
            "phases": phases,
            "drain": 5,
            "target": {"kind": "stand-in", "quotas": self.quotas, "quota_mode": "enforce"},
        }
        if self.storms:
            document["faults"] = [{"kind": "storm", "at": self.storm_s}]
        if self.is_observed:
            document["applications"] = {"observers": [{"name": "reader"}]}
        if self.broker is not None:
            document["target"] = {
                "kind": "broker",
                "host": "127.0.0.1",
                "port": self.broker.broker.port,
                "ca": str(self.broker.store / "ca" / "ca.pem"),
            }
            document["identities"] = {"kind": "store", "path": str(self.broker.store)}
        return Scenario.model_validate(document)


@dataclass(slots=True)
class Window:
    """What one window gave. Sums over all snapshots that lie in it.

    Attributes:
        worker_s: Seconds the workers spent in it, summed over the workers.
        cpu_s: CPU of the workers.
        coordinator_cpu_s: CPU of the process that coordinates them.
        published: Messages written.
        not_sent: Messages that were due and could not be written.
        lateness: Of the writes, against the timetable.
        acknowledged: From the timetable to PUBACK.
        target_s: Seconds for which the target reported.
        target_cpu_s: CPU of the target in these.
        busiest: Largest share of a core of a worker in a snapshot.
    """

    worker_s: float = 0.0
    cpu_s: float = 0.0
    coordinator_cpu_s: float = 0.0
    published: int = 0
    not_sent: int = 0
    lateness: HdrHistogram = field(default_factory=histograms.empty)
    acknowledged: HdrHistogram = field(default_factory=histograms.empty)
    target_s: float = 0.0
    target_cpu_s: float = 0.0
    busiest: float = 0.0

    @property
    def us_per_message(self) -> float:
        """CPU of workers and coordinator per message."""
        return (self.cpu_s + self.coordinator_cpu_s) / max(1, self.published) * 1e6

    @property
    def share(self) -> float:
        """Of a core, by one worker on average."""
        return self.cpu_s / max(self.worker_s, 1e-9)

    @property
    def target_share(self) -> float:
        """Of a core, by the target."""
        return self.target_cpu_s / max(self.target_s, 1e-9)


@dataclass(slots=True)
class Outcome:
    """What a load gave.

    Attributes:
        load: The load.
        connected: Cars that were connected at least once.
        connects: Connects in the first phase.
        connect_cpu_s: CPU of the workers in the first phase.
        windows: The windows.
        resident_bytes: Memory of all workers at the end of the last window.
        target_bytes: Memory of the target at the end.
        empty_bytes: Memory of the target before the first car came.
        held_bytes: Memory of the target at the end of the first window, with all cars connected.
        back_s: From the storm until the last car was connected again.
        refused: Attempts to connect that failed after the storm, by reason.
        written: What the cars wrote, as far as it was observed.
        lost: Messages lost, when observed.
        refusals: What the stand-in refused or dropped, by cause.
        unacknowledged: QoS 1 messages without PUBACK at the end.
        online: Cars connected at the end of the last window.
        timer_p99_ms: How late a bare timer was meanwhile; 0 when not asked for.
        outcome: How the run ended.
    """

    load: Load
    connected: int = 0
    connects: int = 0
    connect_cpu_s: float = 0.0
    windows: list[Window] = field(default_factory=list)
    resident_bytes: int = 0
    target_bytes: int = 0
    empty_bytes: int = 0
    held_bytes: int = 0
    back_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    written: int = 0
    lost: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    unacknowledged: int = 0
    online: int = 0
    timer_p99_ms: float = 0.0
    outcome: str = ""


def run(load: Load) -> Outcome:
    """Carry a load.

    Raises:
        NotMeasurableError: The run did not come to its end, or cars are missing.
    """
    fold = _Fold(load)
    machine.run(_run(load, fold))
    outcome = fold.outcome
    if outcome.outcome != "completed" or outcome.connected < load.cars:
        raise NotMeasurableError(
            f"the run ended as {outcome.outcome or 'broken'} with {outcome.connected:,} of "
            f"{load.cars:,} cars: {fold.reasons}"
        )
    return outcome


async def _run(load: Load, fold: _Fold) -> None:
    plan = Plan(load.scenario(), Path(), load.workers, "bench")
    listener = Listener(fold.take, lambda _text, _steps: None, lambda _steps: None)
    sleeping = asyncio.create_task(_sleep_beside(fold)) if load.sleeps_beside else None
    try:
        await run_plan(plan, listener, asyncio.Event())
    finally:
        if sleeping is not None:
            sleeping.cancel()


async def _sleep_beside(fold: _Fold) -> None:
    """Sleep as a worker does, and note how much longer than asked it took."""
    sleep_s = 0.004
    while True:
        began_s = time.monotonic()
        await asyncio.sleep(sleep_s)
        fold.slept_too_long(time.monotonic() - began_s - sleep_s)


class _Fold:
    """Folds the records of one run."""

    def __init__(self, load: Load) -> None:
        self.outcome = Outcome(load, windows=[Window() for _ in range(load.windows)])
        self.reasons = "no reason was told"
        self._load = load
        self._bounds_s: list[tuple[float, float]] = []
        self._memory: dict[int, int] = {}
        self._online: dict[int, int] = {}
        self._own_cpu_s = time.process_time()
        self._target_at_s = 0.0
        self._target_cpu_s = self._broker_cpu_s()
        self._overslept: list[float] = []

    def slept_too_long(self, by_s: float) -> None:
        """Note how late a bare timer was."""
        self._overslept.append(by_s)

    def take(self, record: Record) -> None:
        """Take a record in."""
        match record:
            case Header():
                self._bounds_s = [(phase.start_s, phase.end_s) for phase in record.phases]
            case Snapshot():
                self._take_snapshot(record)
            case TargetReport():
                self._take_target(record.at_s, record.process.cpu_s)
                self._take_memory(record.at_s, record.process.resident_bytes)
                self.outcome.refusals = {
                    cause: number for cause, number in record.refusals.items() if number
                }
            case StreamBooks():
                self.outcome.written += record.written
                self.outcome.lost += record.lost
            case End():
                self._take_end(record)
            case _:
                self.reasons = record.text

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        own_cpu_s = time.process_time()
        used_s, self._own_cpu_s = own_cpu_s - self._own_cpu_s, own_cpu_s
        outcome, cpu_s = self.outcome, snapshot.process.cpu_s
        if snapshot.reasons:
            self.reasons = ", ".join(snapshot.reasons)
        if self._load.storms and snapshot.end_s > self._load.storm_s:
            self._take_storm(snapshot)
        if snapshot.start_s < self._bounds_s[0][1] - _STUB_S:
            outcome.connect_cpu_s += cpu_s
            outcome.connects += sum(
                count.value for count in snapshot.counts if count.name == "connects"
            )
        if self._load.broker is not None:
            broker_cpu_s = self._broker_cpu_s()
            if snapshot.worker == 0:
                used_by_broker_s = broker_cpu_s - self._target_cpu_s
                self._target_cpu_s = broker_cpu_s
                self._take_target(snapshot.end_s, used_by_broker_s)
        window = self._window(snapshot.start_s, snapshot.end_s)
        if window is None:
            return
        window.worker_s += snapshot.end_s - snapshot.start_s
        window.cpu_s += cpu_s
        window.coordinator_cpu_s += used_s
        window.busiest = max(window.busiest, cpu_s / (snapshot.end_s - snapshot.start_s))
        for count in snapshot.counts:
            if count.name == "published":
                window.published += count.value
            elif count.name.startswith("not_sent"):
                window.not_sent += count.value
        for latencies in snapshot.latencies:
            if latencies.metric == "lateness_ms":
                histograms.add_encoded(window.lateness, latencies.histogram)
            elif latencies.metric == "publish_ack_ms":
                histograms.add_encoded(window.acknowledged, latencies.histogram)
        self._memory[snapshot.worker] = snapshot.process.resident_bytes
        self._online[snapshot.worker] = sum(snapshot.online.values())

    def _take_storm(self, snapshot: Snapshot) -> None:
        for reason, number in snapshot.reasons.items():
            self.outcome.refused[reason] = self.outcome.refused.get(reason, 0) + number
        if any(count.name == "connects" for count in snapshot.counts):
            self.outcome.back_s = max(self.outcome.back_s, snapshot.end_s - self._load.storm_s)

    def _take_memory(self, at_s: float, resident_bytes: int) -> None:
        outcome = self.outcome
        outcome.target_bytes = resident_bytes
        outcome.empty_bytes = outcome.empty_bytes or resident_bytes
        if at_s <= self._load.storm_s:
            outcome.held_bytes = resident_bytes

    def _take_target(self, at_s: float, cpu_s: float) -> None:
        window = self._window(self._target_at_s, at_s)
        if window is not None:
            window.target_s += at_s - self._target_at_s
            window.target_cpu_s += cpu_s
        self._target_at_s = at_s

    def _take_end(self, end: End) -> None:
        outcome = self.outcome
        outcome.outcome = end.outcome
        outcome.connected = sum(end.connected.values())
        outcome.unacknowledged = sum(end.unacknowledged.values())
        outcome.resident_bytes = sum(self._memory.values())
        outcome.online = sum(self._online.values())
        if end.reason:
            self.reasons = end.reason
        if self._overslept:
            late = histograms.of_seconds(self._overslept)
            outcome.timer_p99_ms = histograms.percentile_ms(late, 99)

    def _broker_cpu_s(self) -> float:
        broker = self._load.broker
        return 0.0 if broker is None else machine.cpu_s(broker.broker.pid)

    def _window(self, start_s: float, end_s: float) -> Window | None:
        """The window that a stretch lies in, but for the jitter of its ends."""
        middle_s = (start_s + end_s) / 2
        for (first_s, last_s), window in zip(
            self._bounds_s[1:], self.outcome.windows, strict=False
        ):
            # Snapshots are due at whole seconds, as the bounds are; one that a late tick moved
            # belongs to where most of it lies, and the stubs at the end of a run to none.
            if first_s <= middle_s < last_s and end_s - start_s > _STUB_S:
                return window
        return None
