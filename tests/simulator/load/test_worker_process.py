"""A worker in a process of its own, as its parent meets it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError, LinkError
from simulator.load.assignment import Assignment, divide
from simulator.load.target.identities import Identities
from simulator.load.target.opening import Route
from simulator.load.target.reachability import resolve
from simulator.load.worker_process import WorkerProcess
from simulator.scenario.roster import Roster
from tests.simulator.load.courses import NOWHERE, small

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.scenario.schema import Scenario


async def assignment_of(scenario: Scenario) -> Assignment:
    """All of a scenario for one worker, with a target where nothing listens."""
    [assignment] = divide(
        scenario,
        Roster(scenario),
        Identities.prepare(scenario, NOWHERE),
        Route(tuple(await resolve("127.0.0.1", 1)), None),
        workers=1,
        base=NOWHERE,
        now=datetime.now(UTC),
    )
    return assignment


@asynccontextmanager
async def hosted(scenario: Scenario, steps: list[int]) -> AsyncIterator[WorkerProcess]:
    """A worker in its process; its progress goes into the list."""
    worker = WorkerProcess(await assignment_of(scenario), steps.append, lambda _: None)
    try:
        async with asyncio.timeout(30):
            yield worker
    finally:
        await worker.finish()


def is_there(worker: WorkerProcess) -> bool:
    """Whether its process exists."""
    try:
        os.kill(worker.pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_makes_an_identity_for_each_car() -> None:
    """Certificate ids of 64 hexadecimal digits, one a car; progress adds up to their number."""
    steps: list[int] = []
    async with hosted(small(applications={}), steps) as worker:
        entries = await worker.minted
        worker.proceed()
        await worker.ready
    assert sum(steps) == worker.cars == 4
    assert [thing for _, thing in entries] == [f"load-cars-000{number}" for number in range(1, 5)]
    assert len({certificate for certificate, _ in entries}) == 4
    assert all(len(bytes.fromhex(certificate)) == 32 for certificate, _ in entries)
    assert not is_there(worker)


async def test_what_it_finds_wrong_is_raised_here() -> None:
    """The class and both texts of an error cross over."""
    motion = {"kind": "line", "path": "no-such-line.gpx"}
    scenario = small(vehicles=[{"name": "cars", "count": 1, "motion": motion}])
    async with hosted(scenario, []) as worker:
        with pytest.raises(ConfigurationError, match=r"no-such-line\.gpx") as caught:
            await worker.minted
        assert caught.value.remedy
        with pytest.raises(ConfigurationError):
            await worker.closing


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_process_that_ends_early_is_told(number: signal.Signals) -> None:
    """Whatever was still awaited ends with an error that names the signal."""
    async with hosted(small(applications={}), []) as worker:
        await worker.minted
        os.kill(worker.pid or 0, number)
        for future in (worker.ready, worker.closing):
            with pytest.raises(LinkError, match=rf"worker 0 is gone: .*{number.name}"):
                await future
    assert not is_there(worker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_of_a_terminal_do_not_reach_it(number: signal.Signals) -> None:
    """Only its parent decides when it ends; these go to the whole group of processes."""
    async with hosted(small(applications={}), []) as worker:
        os.kill(worker.pid or 0, number)
        await worker.minted
        os.kill(worker.pid or 0, number)
        worker.proceed()
        await worker.ready


async def test_a_worker_that_is_not_needed_leaves_at_once() -> None:
    """Whatever it is doing, and even when it cannot answer."""
    async with hosted(
        small(vehicles=[{"name": "cars", "count": 20_000}], applications={}), []
    ) as worker:
        os.kill(worker.pid or 0, signal.SIGSTOP)
    assert not is_there(worker)


async def test_a_stop_before_the_start_ends_it_without_a_word() -> None:
    """There is nothing to close yet."""
    async with hosted(small(applications={}), []) as worker:
        await worker.minted
        worker.stop()
        with pytest.raises(LinkError, match="exit code 0"):
            await worker.closing
