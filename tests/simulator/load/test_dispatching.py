"""The connections of applications on one worker, against the stand-in."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest

from simulator.load.connection.client import Endpoint
from simulator.load.dispatching import Dispatch, commanded_cars, first_command_s
from simulator.load.meter import Meter
from simulator.load.observing import Observation, deal
from simulator.load.records import ProcessUse
from simulator.load.target.identities import AuthorityPem, mint_range
from simulator.load.target.opening import ClientTls
from simulator.load.target.reachability import resolve
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from simulator.load.workspace import RunClock, WorkSpace
from simulator.scenario.roster import Roster
from simulator.scenario.timetable import Timetable
from tests.simulator.load.courses import Course, small
from tests.simulator.load.documents import scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.scenario.schema import Scenario

NOW = datetime.now(UTC)
AUTHORITY = AuthorityPem.make("test", NOW)
PAIRS = mint_range(AUTHORITY, ["load:app:1", "load:app:2"], NOW)
PATIENCE_S = 20.0


def commanded(**changes: Any) -> Scenario:
    """Cars of three kinds: two groups take commands, each in its own protocol."""
    streams = {"state": {"rate_hz": 1}}
    return scenario(
        vehicles=[
            {"name": "plain", "count": 2, "streams": streams, "commands": {}},
            {"name": "deaf", "count": 2, "streams": streams},
            {"name": "aws", "count": 3, "streams": streams, "commands": {"protocol": "aws"}},
        ],
        **changes,
    )


@asynccontextmanager
async def workspace(
    purpose: Literal["vehicle", "application"] = "application",
) -> AsyncIterator[WorkSpace]:
    """What a worker shares, with the stand-in as its target."""
    certificate, key = AUTHORITY.server_pair((), NOW)
    setup = Setup(certificate, key, [AUTHORITY.certificate_pem], "load", "vehicle")
    async with StandIn(setup) as stand_in:
        entries = [(pair.certificate_id, pair.thing) for pair in PAIRS]
        await stand_in.register(entries, purpose)
        tls = ClientTls(AUTHORITY.certificate_pem, stand_in.host).client_context()
        addresses = tuple(await resolve(stand_in.host, stand_in.port))
        clock = RunClock()
        clock.start(asyncio.get_running_loop().time())
        timetable = Timetable(scenario().phases)
        yield WorkSpace(
            asyncio.get_running_loop(), clock, timetable, Endpoint(addresses, tls), Meter(0, "hold")
        )


def dispatch(made: Scenario, work: WorkSpace) -> Dispatch:
    """Two commander connections."""
    return Dispatch(
        made.applications.commanders[0],
        [pair.thing for pair in PAIRS],
        [0, 1],
        PAIRS,
        scenario=made,
        roster=Roster(made),
        work=work,
    )


def observation(made: Scenario, work: WorkSpace) -> Observation:
    """Two observer connections that cars are dealt to."""
    roster = Roster(made)
    return Observation(
        made.applications.observers[0],
        [pair.thing for pair in PAIRS],
        PAIRS,
        deal(made, roster, 0),
        roster,
        seed=1,
        begun_unix_us=0,
        work=work,
    )


def test_only_cars_that_take_commands_are_commanded() -> None:
    """Those of the group, or of all groups, with number, name and protocol."""
    made = commanded()
    commanders = made.applications.commanders[0]
    found = commanded_cars(commanders, Roster(made))

    assert [(car.car, car.thing, car.group, car.protocol) for car in found] == [
        (0, "load-plain-0001", "plain", "plain"),
        (1, "load-plain-0002", "plain", "plain"),
        (4, "load-aws-0001", "aws", "aws"),
        (5, "load-aws-0002", "aws", "aws"),
        (6, "load-aws-0003", "aws", "aws"),
    ]
    of_group = commanders.model_copy(update={"group": "aws"})
    assert [car.car for car in commanded_cars(of_group, Roster(made))] == [4, 5, 6]


def test_commands_begin_when_all_cars_can_be_there() -> None:
    """A second after the last arrival of the group, unless the scenario names a time."""
    made = commanded(arrival={"kind": "rate", "per_s": 1})
    commanders = made.applications.commanders[0]

    assert first_command_s(commanders, Roster(made)) == 7.0  # arrivals at 0, 1, ... 6
    begun = commanders.model_copy(update={"begin": 2.5})
    assert first_command_s(begun, Roster(made)) == 2.5


@pytest.mark.parametrize(
    ("group", "filters"),
    [
        ("plain", ["cmd/morai/load/+/res/+"]),
        ("aws", ["$aws/commands/things/+/executions/+/response/json"]),
        (
            None,
            [
                "$aws/commands/things/+/executions/+/response/json",
                "cmd/morai/load/+/res/+",
            ],
        ),
    ],
)
async def test_answers_are_subscribed_by_protocol(group: str | None, filters: list[str]) -> None:
    """One filter for each protocol of the cars commanded, and the stand-in grants them."""
    made = commanded(applications={"commanders": [{"count": 2, "group": group}]})
    async with workspace() as work:
        found = dispatch(made, work)
        assert found._filters == filters
        found.connect()
        await until_ready(found)
        found.end()
        assert work.meter.take(1.0, {}, ProcessUse(0, 0)).reasons == {}


async def test_observers_are_ready_when_all_filters_are_granted() -> None:
    """Many filters go out eight at a time; ready is who has an answer to each."""
    made = scenario(
        vehicles=[{"name": "city", "count": 50, "streams": {"state": {"rate_hz": 1}}}],
        applications={"observers": [{"count": 2}]},
    )
    async with workspace() as work:
        found = observation(made, work)
        assert not found.is_ready
        found.connect()
        await until_ready(found)
        found.end()


@pytest.mark.parametrize("make", [dispatch, observation])
async def test_a_refused_subscription_is_not_ready(make: Any) -> None:
    """A broker lets the connection in and refuses its filters: the meter says why."""
    made = commanded(
        applications={"commanders": [{"count": 2}], "observers": [{"count": 2, "filters": "each"}]}
    )
    # Registered as cars, they may subscribe to their own commands only.
    async with workspace("vehicle") as work:
        found = make(made, work)
        found.connect()
        async with asyncio.timeout(PATIENCE_S):
            while "not authorized" not in work.meter.reasons_text():  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.01)
        assert not found.is_ready
        found.end()


async def until_ready(found: Dispatch | Observation) -> None:
    """Wait for the subscriptions."""
    async with asyncio.timeout(PATIENCE_S):
        while not found.is_ready:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.005)


async def test_commands_and_what_is_received_belong_to_the_cars() -> None:
    """Two groups, one of which never answers: each has its own figures, the applications none."""
    cars = {"count": 2, "motion": {"kind": "parked"}, "streams": {"state": {"rate_hz": 5}}}
    made = small(
        vehicles=[
            {**cars, "name": "good", "commands": {"takes": 0.02, "takes_p95": 0.05}},
            {**cars, "name": "mute", "commands": {"silent": 1.0}},
        ],
        applications={
            "observers": [{"name": "archive"}],
            "commanders": [{"name": "centre", "rate_hz": 10, "begin": 0.5, "answer_within": 1}],
        },
    )

    result = await Course(made).run()

    assert result.count("commands_sent", "good") == result.count("commands_answered", "good") > 0
    assert result.count("commands_unanswered", "good") == 0
    assert result.count("commands_answered", "mute") == 0
    assert result.count("commands_unanswered", "mute") == result.count("commands_sent", "mute") > 0
    for group in ("good", "mute"):
        seen = sum(book.seen + book.repeated for book in result.books if book.group == group)
        assert result.count("received", group) == seen > 0
    for name in ("commands_sent", "commands_answered", "commands_unanswered", "received"):
        assert result.count(name, "archive") == result.count(name, "centre") == 0
    assert result.count("bytes_out", "centre") > 0
