"""One worker: a range of cars and some applications on one event loop, as a stream of snapshots.

Owns the rhythm: a short tick in which everything due is published, motion in larger steps, one
snapshot a second. It is used in this order: `mint`, `open_applications`, `run` until exhausted,
`closing`. Any process, and any engine that can iterate an async generator, can host it; all it is
given and all it gives are the values of `simulator.load.assignment` and `simulator.load.records`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from certs.errors import LinkError
from simulator import fleet
from simulator.load.assignment import Closing, Place, Start, Tallied, Written
from simulator.load.connection.client import Endpoint
from simulator.load.dispatching import Dispatch
from simulator.load.driving import CarsPlan, DrivenCars, StreamLane
from simulator.load.faults import Faults
from simulator.load.meter import Meter
from simulator.load.observing import Observation, Watch, deal
from simulator.load.records import Position, ProcessUse
from simulator.load.target.identities import KeyPair, mint_range
from simulator.load.target.machine import resident_bytes
from simulator.load.traffic.answering import Answerer
from simulator.load.traffic.pacing import Lane
from simulator.load.traffic.payloads import StreamEncoder
from simulator.load.vehicles import CarGroup
from simulator.load.workspace import RunClock, WorkSpace
from simulator.scenario.roster import Roster
from simulator.scenario.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import numpy as np
    from numpy.typing import NDArray

    from simulator.fleet import Cars
    from simulator.load.applications import Application
    from simulator.load.assignment import Assignment, Share
    from simulator.load.probing.prober import Prober
    from simulator.load.records import Snapshot
    from simulator.load.sdk_equipment import SdkEquipment, SdkRuntime

TICK_S: Final = 0.003
"""Rhythm of the publishes: what is due waits for at most this, plus what the tick itself takes."""

_PAUSE_MIN_S: Final = 0.0005
MOTION_STEP_S: Final = 0.1
"""Rhythm of the motion; every stream finds positions that are no older."""
SNAPSHOT_S: Final = 1.0
_LOOK_AFTER_PARTS: Final = 10
_LOOK_AFTER_S: Final = 0.1
_APPLICATIONS_S: Final = 45.0
_MINTED_AT_ONCE: Final = 50
_STOPPED_DRAIN_S: Final = 1.0
_QUIET_S: Final = 0.5
_GOODBYE_S: Final = 2.0


class Worker:
    """One worker.

    Args:
        assignment: What it does.
    """

    def __init__(self, assignment: Assignment) -> None:
        scenario = assignment.scenario
        self._assignment = assignment
        self._scenario = scenario
        self._roster = Roster(scenario, assignment.things)
        timetable = Timetable(scenario.phases)
        route = assignment.route
        self._work = WorkSpace(
            asyncio.get_running_loop(),
            RunClock(time.monotonic()),
            timetable,
            Endpoint(route.addresses, None if route.tls is None else route.tls.client_context()),
            Meter(assignment.worker, timetable.phase_at(0.0)),
        )
        self._pairs: dict[int, list[KeyPair] | None] = {}
        self._sdk: SdkRuntime | None = None
        self._equipments: dict[int, SdkEquipment] = {}
        self._groups: list[DrivenCars[Any]] = []
        self._motions: list[Cars] = []
        self._encoders: list[StreamEncoder] = []
        self._observations: list[Observation] = []
        self._dispatches: list[Dispatch] = []
        self._prober: Prober | None = None
        self._probing: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._has_begun = False
        self._may_leave = False
        self._cpu_s = time.process_time()

    @property
    def _applications(self) -> list[Application]:
        return [*self._observations, *self._dispatches]

    @property
    def _parts(self) -> list[DrivenCars[Any] | Application]:
        return [*self._groups, *self._applications]

    # Before the run

    async def mint(self, on_progress: Callable[[int], None]) -> list[tuple[str, str]]:
        """Put the cars on their roads, and make or take their identities.

        Args:
            on_progress: Told how many more are ready.

        Returns:
            Certificate id and thing name of those that were made.

        Raises:
            ConfigurationError: A map, line or recording cannot be used.
        """
        made: list[tuple[str, str]] = []
        for share in self._assignment.shares:
            self._motions.append(self._motion_of(share))
            identities = share.identities
            if identities.authority is None:
                self._pairs[share.start] = identities.pairs(self._assignment.now)
                await self._equip(share)
                continue
            pairs: list[KeyPair] = []
            for at in range(0, len(identities.things), _MINTED_AT_ONCE):
                chunk = identities.things[at : at + _MINTED_AT_ONCE]
                pairs += mint_range(identities.authority, chunk, self._assignment.now)
                on_progress(len(chunk))
                await asyncio.sleep(0)
            self._pairs[share.start] = pairs
            made += [(pair.certificate_id, pair.thing) for pair in pairs]
            await self._equip(share)
        return made

    async def _equip(self, share: Share) -> None:
        """Make what the clients of a group on the SDK need."""
        if self._roster.groups[share.group].group.client != "sdk":
            return
        # Only here: a worker without such cars is spared the SDK's memory.
        from simulator.load.sdk_equipment import SdkEquipment, SdkRuntime  # noqa: PLC0415 - above

        if self._sdk is None:
            self._sdk = SdkRuntime(self._work.loop)
        equipment = SdkEquipment(self._sdk, self._scenario.target, self._assignment.route)
        await equipment.prepare(self._pairs[share.start])
        self._equipments[share.start] = equipment

    async def open_applications(self) -> None:
        """Connect the observers and commanders, and wait until all have their subscriptions.

        Raises:
            LinkError: One of them has none after 45 s.
        """
        self._make_applications()
        applications = self._applications
        for application in applications:
            application.connect()
        deadline_s = self._work.clock() + _APPLICATIONS_S
        while not all(application.is_ready for application in applications):
            now_s = self._work.clock()
            if now_s > deadline_s:
                late = ", ".join(each.name for each in applications if not each.is_ready)
                raise LinkError(
                    f"the applications {late} could not connect and subscribe within "
                    f"{_APPLICATIONS_S:.0f} s: {self._work.meter.reasons_text()}",
                    "check that the target lets them: address, certificates, policies",
                )
            self._work.agenda.do_due(now_s)
            for application in applications:
                application.look_after(now_s)
            await asyncio.sleep(0.01)

    def _make_applications(self) -> None:
        scenario, roster, work = self._scenario, self._roster, self._work
        begun_unix_us = int(time.time() * 1e6)
        for index, observers in enumerate(scenario.applications.observers):
            places = self._places("observer", index)
            if places:
                watches: list[Watch] = deal(scenario, roster, index)
                self._observations.append(
                    Observation(
                        observers,
                        [place.name for place in places],
                        [place.pair for place in places],
                        [watches[place.place] for place in places],
                        roster,
                        seed=scenario.seed,
                        begun_unix_us=begun_unix_us,
                        work=work,
                    )
                )
        for index, commanders in enumerate(scenario.applications.commanders):
            places = self._places("commander", index)
            if places:
                self._dispatches.append(
                    Dispatch(
                        commanders,
                        [place.name for place in places],
                        [place.place for place in places],
                        [place.pair for place in places],
                        scenario=scenario,
                        roster=roster,
                        work=work,
                    )
                )

    def _places(self, kind: str, index: int) -> list[Place]:
        return [
            place
            for place in self._assignment.places
            if place.kind == kind and place.index == index
        ]

    # The run

    async def run(
        self, start: Start, on_settled: Callable[[bool], None]
    ) -> AsyncIterator[Snapshot]:
        """Drive the cars through the timetable; one snapshot a second, and one at the end.

        After the last phase it stays until `leave` is called or the drain of the scenario is over:
        what its cars sent may still be on its way to an observer of another worker.

        Args:
            start: When the run begins.
            on_settled: Told after the last phase whenever it begins or ceases to wait for nothing.
        """
        work = self._work
        self._has_begun = True
        moved_s = work.clock.start(start.zero_s)
        work.agenda.shift(moved_s)
        for application in self._applications:
            for client in application.clients:
                client.shift(moved_s)
        work.zero_unix_us = round(start.unix_s * 1e6)
        self._make_groups(start)
        self._start_probing()
        end_s = work.timetable.end_s
        next_motion_s = next_care_s = next_tick_s = 0.0
        next_snapshot_s = SNAPSHOT_S
        part = 0
        await asyncio.sleep(max(0.0, -work.clock()))
        self._cpu_s = time.process_time()
        while True:
            now_s = work.clock()
            if now_s >= end_s or self._is_stopping:
                break
            self._enter_phase(now_s)
            if now_s >= next_motion_s:
                self._move(now_s)
                next_motion_s = max(next_motion_s + MOTION_STEP_S, now_s)
            work.agenda.do_due(now_s)
            for group in self._groups:
                group.publish_due(now_s)
            for dispatch in self._dispatches:
                dispatch.command_due(now_s)
            if now_s >= next_care_s:
                self._look_after(now_s, part)
                part = (part + 1) % _LOOK_AFTER_PARTS
                next_care_s = now_s + _LOOK_AFTER_S
            if now_s >= next_snapshot_s:
                yield self._snapshot(now_s)
                next_snapshot_s = max(next_snapshot_s + SNAPSHOT_S, now_s)
            # The rhythm is kept, not the pause: a tick with much to write is followed sooner.
            next_tick_s = max(next_tick_s + TICK_S, work.clock() + _PAUSE_MIN_S)
            await asyncio.sleep(next_tick_s - work.clock())
        # Everything due until the end is published, however late the last tick came.
        if not self._is_stopping:
            for group in self._groups:
                group.publish_due(end_s)
        yield self._snapshot(min(work.clock(), end_s))
        self._enter_phase(end_s)
        async for snapshot in self._drain(on_settled):
            yield snapshot
        for group in self._groups:
            group.give_up_waiting()
        await self._end()
        yield self._snapshot(work.clock())

    def _start_probing(self) -> None:
        assignment = self._assignment
        if assignment.probes is None:
            return
        # Only here: a worker without probes is spared their memory.
        from simulator.load.probing.prober import Prober  # noqa: PLC0415 - above

        self._prober = Prober(self._scenario, assignment.probes, assignment.route, self._work.clock)
        self._probing = asyncio.create_task(self._prober.run())

    @property
    def last_arrival_s(self) -> float:
        """When the last car of the scenario is due to connect."""
        return float(self._roster.arrivals_s().max())

    @property
    def is_running(self) -> bool:
        """Whether the run has begun, so that it can be ended in order."""
        return self._has_begun

    def stop(self) -> None:
        """End the run early, in order."""
        self._is_stopping = True

    def leave(self) -> None:
        """No worker waits for anything any more: the run may end before its drain is over."""
        self._may_leave = True

    async def _drain(self, on_settled: Callable[[bool], None]) -> AsyncIterator[Snapshot]:
        """Wait for late acknowledgements, messages and answers."""
        work = self._work
        longest_s = self._scenario.drain
        if self._is_stopping:
            longest_s = min(longest_s, _STOPPED_DRAIN_S)
        begun_s = quiet_since_s = work.clock()
        next_snapshot_s = begun_s + SNAPSHOT_S
        heard = self._heard()
        was_settled = False
        while (now_s := work.clock()) - begun_s < longest_s and not self._may_leave:
            work.agenda.do_due(now_s)
            self._look_after(now_s, None)
            if self._heard() != heard:
                heard, quiet_since_s = self._heard(), now_s
            is_settled = self._is_settled() and now_s - quiet_since_s > min(_QUIET_S, longest_s)
            if is_settled != was_settled:
                on_settled(is_settled)
                was_settled = is_settled
            if now_s >= next_snapshot_s:
                yield self._snapshot(now_s)
                next_snapshot_s += SNAPSHOT_S
            await asyncio.sleep(0.02)

    def _heard(self) -> int:
        return sum(each.bytes_in for each in self._applications)

    def _is_settled(self) -> bool:
        return all(group.is_settled for group in self._groups) and all(
            dispatch.is_settled for dispatch in self._dispatches
        )

    def _make_groups(self, start: Start) -> None:
        scenario, roster, work = self._scenario, self._roster, self._work
        arrivals_s, offsets = roster.arrivals_s(), roster.offsets()
        for share, cars in zip(self._assignment.shares, self._motions, strict=True):
            self._groups.append(self._make_group(share, cars, start, offsets))
        for group in self._groups:
            for index in range(len(group.things)):
                arrival_s = float(arrivals_s[group.first + index])
                work.agenda.at(arrival_s, partial(group.connect, index))
        wrong_pairs = self._assignment.shares[0].identities if self._assignment.shares else None
        if wrong_pairs is not None:
            now = self._assignment.now
            Faults(
                scenario, roster, self._groups, lambda thing: wrong_pairs.wrong_pair(thing, now)
            ).enter()
        for dispatch in self._dispatches:
            dispatch.start(f"{start.run}-{dispatch.name}", start.unix_s)

    def _motion_of(self, share: Share) -> Cars:
        # All cars of the group move in every worker, so that a run does not depend on their number.
        group = self._roster.groups[share.group].group
        seed = self._scenario.seed + share.group
        return fleet.build(group.motion, group.count, seed=seed, base=self._assignment.base)

    def _make_group(
        self, share: Share, cars: Cars, start: Start, offsets: NDArray[np.float64]
    ) -> DrivenCars[Any]:
        scenario, work = self._scenario, self._work
        within = self._roster.groups[share.group]
        group = within.group
        things = share.identities.things
        own_offsets = offsets[share.start : share.stop]
        lanes = []
        for name, stream in group.streams.items():
            encoder = StreamEncoder(
                name,
                stream,
                fleet=scenario.fleet,
                things=things,
                boot=start.run,
                cars=cars,
                unix_s_at_zero=start.unix_s,
                offset=share.start - within.start,
            )
            topics = [encoder.topic(index) for index in range(len(things))]
            lane = Lane(work.timetable, stream.rate_hz, own_offsets)
            lanes.append(StreamLane(name, stream.qos, lane, encoder, topics))
            self._encoders.append(encoder)
        shadow = (
            None
            if group.shadow is None
            else Lane(Timetable.steady(work.timetable.end_s), 1 / group.shadow.every, own_offsets)
        )
        answerer = (
            None
            if group.commands is None
            else Answerer(
                group.commands, seed=scenario.seed, unix_s_at_zero=start.unix_s, run=start.run
            )
        )
        plan = CarsPlan(
            group=group,
            first=share.start,
            start=within.start,
            things=things,
            pairs=self._pairs.get(share.start),
            cars=cars,
            lanes=lanes,
            shadow_lane=shadow,
            answerer=answerer,
            fleet=scenario.fleet,
            boot=start.run,
            seed=scenario.seed,
        )
        equipment = self._equipments.pop(share.start, None)
        if equipment is None:
            return CarGroup(plan, work)
        from simulator.load.sdk_group import SdkGroup  # noqa: PLC0415 - see _equip

        return SdkGroup(plan, work, equipment)

    def _enter_phase(self, now_s: float) -> None:
        phase = self._work.timetable.phase_at(now_s)
        if phase != self._work.meter.phase:
            self._flush()
            self._work.meter.phase = phase

    def _move(self, now_s: float) -> None:
        for cars in self._motions:
            cars.advance(now_s)
        for encoder in self._encoders:
            encoder.remember(now_s)

    def _look_after(self, now_s: float, part: int | None) -> None:
        for group in self._groups:
            group.look_after(now_s, part or 0, 1 if part is None else _LOOK_AFTER_PARTS)
        for application in self._applications:
            application.look_after(now_s)

    # Measuring

    def _flush(self) -> None:
        for application in self._applications:
            application.flush()
        for part in self._parts:
            self._work.meter.count("bytes_in", part.name, part.bytes_in)
            self._work.meter.count("bytes_out", part.name, part.bytes_out)
            part.bytes_in = part.bytes_out = 0

    def _snapshot(self, now_s: float) -> Snapshot:
        self._flush()
        cpu_s = time.process_time()
        used_s, self._cpu_s = cpu_s - self._cpu_s, cpu_s
        online: dict[str, int] = {}
        for group in self._groups:
            online[group.name] = online.get(group.name, 0) + group.online
        return self._work.meter.take(
            now_s,
            online,
            ProcessUse(used_s, resident_bytes()),
            self._positions(),
            self._prober.take() if self._prober is not None else (),
        )

    def _positions(self) -> list[Position]:
        positions = []
        for group, cars in zip(self._groups, self._motions, strict=True):
            offset = group.first - group.start
            for number in self._assignment.sampled:
                index = number - group.first
                if 0 <= index < len(group.things) and group.was_connected[index]:
                    at = offset + index
                    positions.append(
                        Position(
                            number,
                            round(float(cars.latitude_deg[at]), 6),
                            round(float(cars.longitude_deg[at]), 6),
                        )
                    )
        return positions

    # The end

    async def _end(self) -> None:
        if self._probing is not None:
            # What it has not come to is missing in the result, and said there.
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing
        self._closing = Closing(
            written=[
                Written(
                    group.name,
                    stream.name,
                    group.first,
                    stream.written(),
                    group.on_their_way(stream),
                )
                for group in self._groups
                for stream in group.lanes
            ],
            tallies=[
                Tallied(observation.name, tally)
                for observation in self._observations
                for books in observation.books
                for tally in books.tallies()
            ],
            connected=self._by_group(lambda group: sum(group.was_connected)),
            unacknowledged=self._by_group(lambda group: group.unacknowledged),
        )
        for part in self._parts:
            part.end()
        are_gone = await asyncio.gather(*(group.gone(_GOODBYE_S) for group in self._groups))
        if self._sdk is not None:
            await self._sdk.close(_GOODBYE_S if all(are_gone) else 0.0)

    def _by_group(self, figure: Callable[[DrivenCars[Any]], int]) -> dict[str, int]:
        totals: dict[str, int] = {}
        for group in self._groups:
            totals[group.name] = totals.get(group.name, 0) + figure(group)
        return totals

    def closing(self) -> Closing:
        """The last word, once `run` is exhausted."""
        return self._closing
