"""A whole run: target, workers, the start, the end, and every record of it in order.

Owns the course of events around the workers: identities are registered before anyone connects,
applications are subscribed before the first car arrives, all workers start at one moment, a worker
or a target that dies is noticed and said, and the books are closed against what all cars wrote. It
hands out records and knows nothing about files, reports or terminals.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from certs.errors import EdgeError
from simulator.iotcore.throttling.talkers import KEPT
from simulator.load.assignment import Closing, Start, divide
from simulator.load.records import (
    End,
    Event,
    Header,
    PlannedFault,
    PlannedGroup,
    PlannedPhase,
    PlannedProbe,
    StreamBooks,
)
from simulator.load.target import machine
from simulator.load.target.identities import Identities
from simulator.load.target.opening import open_target
from simulator.load.target.quota_books import CLIENTS_SHOWN
from simulator.load.traffic import books
from simulator.load.worker_process import WorkerProcess
from simulator.scenario.edges import CLIENTS_MAX
from simulator.scenario.roster import Roster
from simulator.scenario.rules import edges_of
from simulator.scenario.schema import LASTING_FAULTS, MintedIdentities, StandInTarget
from simulator.scenario.timetable import Timetable
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from simulator.load.records import Outcome, Record
    from simulator.load.target.opening import Target
    from simulator.scenario.schema import Fault, Scenario

T = TypeVar("T")

LEAD_S: Final = 0.5
"""From the moment all are ready to the start, so that no worker hears of it too late."""

_CARS_PER_WORKER: Final = 500
_GRACE_S: Final = 30.0
_STOP_GRACE_S: Final = 15.0
_REPORT_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        scenario: The scenario.
        base: Folder that its relative paths start from.
        workers: Worker processes.
        version: Version of this product.
        quotas: Findings of the quota check, as JSON, for the header.
        cost: The cost estimate, as JSON, for the header.
    """

    scenario: Scenario
    base: Path
    workers: int
    version: str
    quotas: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run.

    Attributes:
        record: Given every record.
        stage: Told what is being prepared, and how many steps of it there are; 0 when that is not
            known.
        step: Told how many more of those steps are done.
    """

    record: Callable[[Record], None]
    stage: Callable[[str, int], None]
    step: Callable[[int], None]


def workers_for(scenario: Scenario, cores: int) -> int:
    """How many worker processes a run gets when nobody says: one a core that is free, if needed.

    Args:
        scenario: The scenario.
        cores: Cores this process may use.
    """
    free = cores - isinstance(scenario.target, StandInTarget)
    wanted = -(-scenario.vehicle_count // _CARS_PER_WORKER)
    return max(1, min(free, wanted))


def check_machine(plan: Plan, roster: Roster) -> list[machine.Finding]:
    """Refuse a run that this machine's limits do not let through.

    Returns:
        Findings that do not stop it.

    Raises:
        ConfigurationError: A limit is too low; it names the command that raises it.
    """
    scenario = plan.scenario
    applications = scenario.applications
    per_worker = -(-roster.count // plan.workers) + len(roster.groups)
    needs = machine.Plan(
        cars_per_worker=[per_worker] * plan.workers,
        applications=sum(entry.count for entry in applications.observers)
        + sum(entry.count for entry in applications.commanders)
        + (CLIENTS_MAX if scenario.probes else 0),
        stand_in=isinstance(scenario.target, StandInTarget),
        closed_per_minute=machine.closed_per_minute(scenario, roster),
    )
    return machine.check(needs, machine.read())


async def run(plan: Plan, listener: Listener, stop: asyncio.Event) -> None:
    """Run a scenario from beginning to end.

    Cancelling it ends everything at once: its processes are killed and there is no end record.

    Args:
        plan: What is to be run.
        listener: Who hears of it. Its first record is the header, its last the end; no record at
            all means that the run was stopped before it began.
        stop: Set it to end the run early, in order.

    Raises:
        EdgeError: Something failed before the run began. From then on every failure is a record.
    """
    async with contextlib.AsyncExitStack() as stack:
        course = await _unless_stopped(stop, _prepare(plan, listener, stop, stack))
        if course is not None:
            await course.follow()


async def _unless_stopped(stop: asyncio.Event, main: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine gives; None, once it is cleared away, when a stop comes first."""
    stopping = asyncio.ensure_future(stop.wait())
    working = asyncio.ensure_future(main)
    either: set[asyncio.Future[Any]] = {stopping, working}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(stopping, working, return_exceptions=True)


async def _prepare(
    plan: Plan, listener: Listener, stop: asyncio.Event, stack: contextlib.AsyncExitStack
) -> _Course:
    """Target open, identities made and registered, applications subscribed.

    What must be closed in the end is left on the stack.

    Raises:
        EdgeError: Some of that failed.
    """
    scenario = plan.scenario
    listener.stage("preparing identities", 0)
    identities = await asyncio.to_thread(Identities.prepare, scenario, plan.base)
    roster = Roster(scenario, identities.things)
    listener.stage("opening the target", 0)
    target = await stack.enter_async_context(open_target(scenario, plan.base, identities))
    assignments = divide(
        scenario,
        roster,
        identities,
        target.route,
        workers=plan.workers,
        base=plan.base,
        now=datetime.now(UTC),
        quotas=target.quotas,
    )
    mints = isinstance(scenario.identities, MintedIdentities)
    listener.stage(
        "making identities" if mints else "starting workers", roster.count if mints else 0
    )
    workers: list[WorkerProcess] = []
    stack.push_async_callback(_finish, workers)
    for assignment in assignments:
        workers.append(WorkerProcess(assignment, listener.step, listener.record))
        await asyncio.sleep(0)
    minted = await _unless_lost(target, [worker.minted for worker in workers])
    listener.stage("registering identities", 0)
    for entries in minted:
        await target.register_cars(entries)
    if scenario.applications.observers or scenario.applications.commanders:
        listener.stage("connecting applications", 0)
    for worker in workers:
        worker.proceed()
    await _unless_lost(target, [worker.ready for worker in workers])
    return _Course(plan, listener, roster, target, workers, stop)


async def _finish(workers: Sequence[WorkerProcess]) -> None:
    await asyncio.gather(*(worker.finish() for worker in workers))


async def _unless_lost(target: Target, futures: Sequence[asyncio.Future[T]]) -> list[T]:
    """What the futures give.

    Raises:
        EdgeError: One of the workers failed.
        LinkError: The target died meanwhile.
    """
    losing = asyncio.ensure_future(target.lost())
    # The futures belong to the workers, so they are not cancelled with this.
    answering = asyncio.gather(*(asyncio.shield(future) for future in futures))
    either: set[asyncio.Future[Any]] = {losing, answering}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and (error := losing.result()) is not None:
            raise error
        return await answering
    finally:
        losing.cancel()
        answering.cancel()
        await asyncio.gather(losing, answering, return_exceptions=True)


class _Course:
    """The course of one run, from its start to its end."""

    def __init__(
        self,
        plan: Plan,
        listener: Listener,
        roster: Roster,
        target: Target,
        workers: Sequence[WorkerProcess],
        stop: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._listener = listener
        self._roster = roster
        self._target = target
        self._workers = workers
        self._stop = stop
        self._is_ending = asyncio.Event()
        self._timetable = Timetable(plan.scenario.phases)
        self._zero_s = 0.0
        self._outcome: Outcome = "completed"
        self._reasons: list[str] = []

    @property
    def now_s(self) -> float:
        """Seconds of the run; 0 until it starts."""
        return max(0.0, time.monotonic() - self._zero_s)

    async def _until(self, at_s: float) -> None:
        """Wait for a time of the run."""
        await asyncio.sleep(self._zero_s + at_s - time.monotonic())

    async def follow(self) -> None:
        """From the start to the end."""
        self._zero_s = time.monotonic() + LEAD_S
        start = Start(self._zero_s, time.time() + LEAD_S, f"run{secrets.token_hex(4)}")
        self._listener.record(self._header(start.unix_s))
        for worker in self._workers:
            worker.on_settled = self._release_settled
            worker.start(start)
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._watch_target(),
                self._report_target(),
                self._announce_faults(),
                self._obey_stop(),
            )
        ]
        try:
            closings = await self._closings()
        finally:
            for duty in duties:
                duty.cancel()
            outcomes = await asyncio.gather(*duties, return_exceptions=True)
        await self._report_once(self.now_s, clients=KEPT)
        self._conclude(closings)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _release_settled(self) -> None:
        """Let the workers go once none of those that are there waits for anything."""
        there = [worker for worker in self._workers if not worker.closing.done()]
        if all(worker.is_settled for worker in there):
            for worker in there:
                worker.leave()

    async def _closings(self) -> list[Closing]:
        """The last words of the workers that have one."""
        closings: list[Closing] = []
        hearing = {asyncio.ensure_future(_last_word(worker)): worker for worker in self._workers}
        pending = set(hearing)
        patience = asyncio.ensure_future(self._be_patient())
        try:
            while pending and not patience.done():
                either: set[asyncio.Future[Any]] = {*pending, patience}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in pending if task.done()]:
                    pending.discard(task)
                    word = task.result()
                    if isinstance(word, Closing):
                        closings.append(word)
                    else:
                        self._lose(hearing[task], word)
                        self._release_settled()
            for task in pending:
                number = hearing[task].worker
                self._lose(hearing[task], f"worker {number} hangs: it gives no last word")
        finally:
            patience.cancel()
            for task in hearing:
                task.cancel()
        return closings

    async def _be_patient(self) -> None:
        """Wait as long as there is hope for a worker that has not said its last word."""
        end_s = self._timetable.end_s + self._plan.scenario.drain + _GRACE_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end_s - self.now_s)):
                await self._is_ending.wait()
                await asyncio.sleep(_STOP_GRACE_S)

    def _lose(self, worker: WorkerProcess, why: str) -> None:
        self._outcome = "failed"
        self._reasons.append(why)
        self._listener.record(Event(self.now_s, "worker-lost", why, cars=worker.cars))

    def _end_early(self, kind: Literal["target", "interrupted"], why: str) -> None:
        self._reasons.append(why)
        self._listener.record(Event(self.now_s, kind, why))
        self._is_ending.set()
        for worker in self._workers:
            worker.stop()

    async def _watch_target(self) -> None:
        """End the run when the stand-in dies: there is nothing left to test."""
        error = await self._target.lost()
        if error is not None:
            self._outcome = "failed"
            self._end_early("target", error.what)

    async def _obey_stop(self) -> None:
        await self._stop.wait()
        if self._outcome == "completed":
            self._outcome = "interrupted"
        self._end_early("interrupted", "told to stop")

    async def _report_target(self) -> None:
        await self._until(0.0)
        # What the target used until now belongs to no second of the run.
        with contextlib.suppress(EdgeError):
            await self._target.report(0.0)
        at_s = 0.0
        while True:
            await self._report_once(at_s)
            at_s = max(at_s + _REPORT_EVERY_S, self.now_s)
            await self._until(at_s)

    async def _report_once(self, at_s: float, clients: int = CLIENTS_SHOWN) -> None:
        # A target that is gone is told of by whoever watches it.
        with contextlib.suppress(EdgeError):
            report = await self._target.report(at_s, clients)
            if report is not None:
                self._listener.record(report)

    async def _announce_faults(self) -> None:
        """A mark on the time axis for every fault, when it begins."""
        scenario = self._plan.scenario
        planned = sorted(
            (self._planned(fault, index).start_s, index)
            for index, fault in enumerate(scenario.faults)
        )
        for at_s, index in planned:
            await self._until(at_s)
            fault = scenario.faults[index]
            cars = self._planned(fault, index).cars
            self._listener.record(Event(at_s, "fault", _described(fault), fault=index, cars=cars))

    # Records

    def _header(self, unix_s: float) -> Header:
        scenario, plan = self._plan.scenario, self._plan
        return Header(
            name=scenario.name,
            scenario=scenario.model_dump(mode="json"),
            started=datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds"),
            unix_s_at_zero=unix_s,
            version=plan.version,
            target=self._target.text,
            target_kind=self._target.kind,
            machine=machine.facts(),
            workers=len(self._workers),
            groups=[
                PlannedGroup(group.name, group.count, group.client, list(group.streams))
                for group in scenario.vehicles
            ],
            phases=[
                PlannedPhase(each.name, each.start_s, each.end_s, each.rate, each.rate_to)
                for each in self._timetable.stretches
            ],
            faults=[self._planned(fault, index) for index, fault in enumerate(scenario.faults)],
            quotas=plan.quotas,
            cost=plan.cost,
            probes=[
                PlannedProbe(probes.name, edge.name)
                for probes in scenario.probes
                for edge in edges_of(probes)
            ],
        )

    def _planned(self, fault: Fault, index: int) -> PlannedFault:
        strikes = self._roster.strikes(fault)
        victims = len(self._roster.victims(index))
        lasts_s = fault.duration if fault.kind in LASTING_FAULTS and strikes.count else 0.0
        cars = victims if fault.at is not None else min(victims, strikes.count)
        return PlannedFault(
            fault.kind, strikes.first_s, strikes.last_s + lasts_s, cars, fault.group
        )

    def _conclude(self, closings: Sequence[Closing]) -> None:
        for record in self._closed_books(closings):
            self._listener.record(record)
        connected: dict[str, int] = {}
        unacknowledged: dict[str, int] = {}
        for closing in closings:
            _add(connected, closing.connected)
            _add(unacknowledged, closing.unacknowledged)
        self._listener.record(
            End(
                self.now_s,
                self._outcome,
                "; ".join(self._reasons),
                connected,
                unacknowledged,
                len(self._workers) - len(closings),
            )
        )

    def _closed_books(self, closings: Sequence[Closing]) -> list[StreamBooks | Event]:
        """The books of all observers, closed against what all cars wrote."""
        written: dict[books.LaneKey, dict[int, int]] = {}
        on_their_way: dict[books.LaneKey, dict[int, list[int]]] = {}
        for closing in closings:
            for each in closing.written:
                key = (each.group, each.stream)
                written.setdefault(key, {}).update(enumerate(each.counts, each.first))
                on_their_way.setdefault(key, {}).update(each.on_their_way)
        tallies: dict[str, list[books.LaneTally]] = {}
        for closing in closings:
            for tallied in closing.tallies:
                known = _of_known_cars(tallied.tally, written)
                tallies.setdefault(tallied.observer, []).append(known)
        found: list[StreamBooks | Event] = []
        for observer, of_observer in tallies.items():
            for lane in books.close(observer, of_observer, written, on_their_way):
                found.append(lane.books)
                where = f"{observer}, {lane.books.stream} of {lane.books.group}"
                if lane.surplus:
                    text = (
                        f"{where}: {lane.surplus:,} messages that no car of this run wrote; "
                        "somebody else publishes as these cars, and more may be lost than is said"
                    )
                    found.append(Event(self.now_s, "warning", text))
                if lane.forgotten:
                    text = f"{where}: too many gaps to remember; lost and repeated are upper bounds"
                    found.append(Event(self.now_s, "warning", text))
        return found


def _described(fault: Fault) -> str:
    """A fault in words; how many cars it concerns is said beside it."""
    lasts = f" for {duration_text(fault.duration)}" if fault.kind in LASTING_FAULTS else ""
    whom = "all cars" if fault.group is None else f"all of {fault.group}"
    if fault.per_s is not None:
        return f"{fault.kind}{lasts}: {fault.per_s:g} cars a second of {whom}"
    share = "" if fault.share is None else f"{fault.share * 100:g} % of "
    return f"{fault.kind}{lasts}: {share}{whom}"


async def _last_word(worker: WorkerProcess) -> Closing | str:
    """The last word of a worker; why it has none, when it failed or its process ended before."""
    try:
        return await asyncio.shield(worker.closing)
    except EdgeError as error:
        return error.what
    except Exception as error:  # noqa: BLE001 - whatever it was, the other workers go on
        return str(error)


def _of_known_cars(
    tally: books.LaneTally, written: dict[books.LaneKey, dict[int, int]]
) -> books.LaneTally:
    """The books without the cars of workers that are gone: what those wrote is not known."""
    known = written.setdefault((tally.group, tally.stream), {})
    return books.LaneTally(
        group=tally.group,
        stream=tally.stream,
        cars=[car for car in tally.cars if car in known],
        heard=[of_car for of_car in tally.heard if of_car.car in known],
        repeated=tally.repeated,
        out_of_order=tally.out_of_order,
        undecodable=tally.undecodable,
        strangers=tally.strangers,
        forgotten=tally.forgotten,
    )


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number
