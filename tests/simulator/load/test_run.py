"""Whole runs on the engine: what is recorded when all goes well, and when something dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from certs.errors import ConfigurationError, LinkError
from certs.store import Store
from simulator.load import run as engine
from simulator.load.records import End, Header, Snapshot, StreamBooks
from simulator.load.run import Plan, check_machine, workers_for
from simulator.load.target.identities import Identities
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from simulator.report.verdict import judge
from simulator.scenario.roster import Roster
from tests.simulator.load.courses import NOWHERE, Course, Network, child, network, small

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.report.result import Result
    from simulator.scenario.schema import Scenario


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four cars and an application."""
    found = Store(tmp_path / "identities")
    found.init_authority()
    list(found.issue_things([*(f"car-{number}" for number in range(1, 5)), "app-1"]))
    return found


@asynccontextmanager
async def broker_for(
    store: Store, *, lets_cars_in: bool = True, **changes: Any
) -> AsyncIterator[tuple[StandIn, Network, Scenario]]:
    """A broker of somebody else, the network to it, and a scenario of four cars that use it."""
    certificate = store.issue_server(["127.0.0.1"])
    setup = Setup(
        certificate.certificate_path.read_bytes(),
        certificate.key_path.read_bytes(),
        [store.ca_certificate_path.read_bytes()],
        "load",
        "open" if lets_cars_in else "vehicle",
    )
    async with StandIn(setup) as stand_in, network(stand_in.port) as between:
        target = {
            "kind": "broker",
            "host": "127.0.0.1",
            "port": between.port,
            "ca": f"{store.root.name}/ca/ca.pem",
        }
        scenario = small(
            target=target,
            identities={"kind": "store", "path": store.root.name},
            **changes,
        )
        identities = Identities.prepare(scenario, store.root.parent)
        await stand_in.register(identities.known_applications(), "application")
        cars = identities.known_cars()
        if not lets_cars_in:
            # A certificate of another thing: the policy does not allow this client id.
            cars = [(certificate, f"not-{thing}") for certificate, thing in cars]
        await stand_in.register(cars, "vehicle")
        yield stand_in, between, scenario


def end_of(result: Result) -> End:
    """How it ended."""
    assert result.end is not None
    return result.end


def no_children_left() -> bool:
    """Whether every process of the run is gone."""
    return not multiprocessing.active_children()


async def test_two_workers_make_one_result() -> None:
    """Header first, end last; every car is asked for, connected, and on the books of one observer.

    Four cars at 5 Hz for 2 s write 40 messages: one more each if the first is due at once, one less
    if it is due before the car is connected.
    """
    course = Course(small(), workers=2)

    result = await course.run()

    assert isinstance(course.records[0], Header)
    assert isinstance(course.records[-1], End)
    assert end_of(result) == End(
        end_of(result).at_s, "completed", "", {"cars": 4}, {"cars": 0}, workers_lost=0
    )
    [books] = [record for record in course.records if isinstance(record, StreamBooks)]
    assert books.cars == 4
    assert 36 <= books.written <= 44
    assert (books.seen, books.lost, books.repeated) == (books.written, 0, 0)
    assert {each.worker for each in course.records if isinstance(each, Snapshot)} == {0, 1}
    assert course.steps == 4
    assert result.target is not None
    assert result.target.counters["publishes_in"] == books.written
    assert course.stages[-1] == "connecting applications"
    assert no_children_left()


async def test_a_worker_may_have_no_cars() -> None:
    """More workers than cars do no harm."""
    vehicles = [{"name": "cars", "count": 1, "streams": {"state": {"rate_hz": 5}}}]
    phases = [{"name": "hold", "duration": 0.5}]
    course = Course(small(vehicles=vehicles, phases=phases), workers=2)
    result = await course.run()
    assert end_of(result).outcome == "completed"
    assert result.connected() == 1


async def test_a_killed_worker_is_missed_and_the_others_go_on() -> None:
    """Its cars leave the books, the end counts it, the first line says so, and nothing hangs."""
    course = Course(small(phases=[{"name": "hold", "duration": 2.5}]), workers=2)
    running = asyncio.ensure_future(course.run())
    await course.snapshot_of(1, online=2)
    os.kill(child("load worker 1").pid or 0, signal.SIGKILL)

    result = await running

    assert end_of(result).outcome == "failed"
    assert end_of(result).workers_lost == 1
    assert end_of(result).connected == {"cars": 2}
    assert end_of(result).at_s >= 2.5
    [lost] = course.events("worker-lost")
    assert lost.cars == 2
    assert "worker 1" in lost.text
    assert "SIGKILL" in lost.text
    [books] = [record for record in course.records if isinstance(record, StreamBooks)]
    assert (books.cars, books.lost, books.seen) == (2, 0, books.written)
    first_line = judge(result).first_line
    assert first_line.startswith("PARTIAL RESULT: failed")
    assert "worker 1" in first_line
    assert no_children_left()


async def test_a_worker_that_hangs_does_not_hang_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop, a run does not wait for a worker that says nothing, and kills it."""
    monkeypatch.setattr(engine, "_STOP_GRACE_S", 2.0)
    course = Course(small(phases=[{"name": "hold", "duration": 600}]), workers=2)
    running = asyncio.ensure_future(course.run())
    await course.snapshot_of(1, online=2)
    os.kill(child("load worker 1").pid or 0, signal.SIGSTOP)
    course.stop.set()

    result = await running

    assert end_of(result).outcome == "failed"
    assert end_of(result).connected == {"cars": 2}
    [lost] = course.events("worker-lost")
    assert "worker 1 hangs" in lost.text
    assert no_children_left()


async def test_workers_leave_together() -> None:
    """A car of one worker that still works on a command is waited for by a commander of another."""
    scenario = small(
        vehicles=[{"name": "cars", "count": 3, "commands": {"takes": 1.5, "takes_p95": 1.6}}],
        applications={"commanders": [{"rate_hz": 4, "begin": 0.5, "answer_within": 10}]},
        drain=8,
    )

    result = await Course(scenario, workers=3).run()

    assert result.count("commands_sent") > 0
    assert result.count("commands_answered") == result.count("commands_sent")
    assert result.count("commands_unanswered") == 0


async def test_two_runs_of_one_seed_fail_the_same_commands() -> None:
    """Which commands fail follows from the seed, not from the name of the run."""
    scenario = small(
        vehicles=[{"name": "cars", "count": 4, "commands": {"takes": 0.05, "fails": 0.5}}],
        applications={"commanders": [{"rate_hz": 10, "begin": 0.3}]},
    )

    first, second = await Course(scenario).run(), await Course(scenario).run()

    assert first.count("commands_answered") == first.count("commands_sent") > 0
    assert 0 < first.count("commands_failed") == second.count("commands_failed")


async def test_a_publish_that_never_found_room_is_not_published() -> None:
    """What is written, acknowledged, open, or not sent for want of room adds up to what was due."""
    scenario = small(
        vehicles=[
            {
                "name": "cars",
                "count": 2,
                "in_flight": 2,
                "streams": {"state": {"rate_hz": 10, "qos": 1}},
            }
        ],
        faults=[{"kind": "silence", "at": 1, "duration": 60}],
    )

    result = await Course(scenario).run()

    [books] = result.books
    written = result.count("published")
    assert result.count("not_sent_window") > 0
    assert written == books.written
    assert end_of(result).unacknowledged == {"cars": written - result.count("acknowledged")}


async def test_a_killed_stand_in_ends_the_run() -> None:
    """There is nothing left to test: the end comes long before the last phase, with its reason."""
    course = Course(small(phases=[{"name": "hold", "duration": 600}]))
    running = asyncio.ensure_future(course.run())
    await course.snapshot_of(0, online=4)
    os.kill(child("iot-core-stand-in").pid or 0, signal.SIGKILL)

    result = await running

    assert end_of(result).outcome == "failed"
    assert "stand-in is gone" in end_of(result).reason
    assert end_of(result).workers_lost == 0
    assert end_of(result).connected == {"cars": 4}
    assert len(course.events("target")) == 1
    assert no_children_left()


@pytest.mark.parametrize(
    "stage", ["preparing identities", "making identities", "connecting applications"]
)
async def test_a_stop_before_the_start_leaves_nothing(stage: str) -> None:
    """No record and no process, whatever was being prepared."""
    course = Course(small())
    course.stop_at = stage
    async with asyncio.timeout(30):
        await course.run()
    assert course.records == []
    # What was under way when the stop came may still begin what follows it.
    after = course.stages[course.stages.index(stage) + 1 :]
    assert len(after) <= 1
    assert no_children_left()


async def test_a_stop_ends_the_run_in_order() -> None:
    """The books are closed, and the result is marked as interrupted."""
    course = Course(small(phases=[{"name": "hold", "duration": 600}]))
    running = asyncio.ensure_future(course.run())
    await course.snapshot_of(0, online=4)
    course.stop.set()

    result = await running

    assert end_of(result).outcome == "interrupted"
    assert end_of(result).connected == {"cars": 4}
    assert len(course.events("interrupted")) == 1
    [books] = [record for record in course.records if isinstance(record, StreamBooks)]
    assert books.lost == 0
    assert books.seen > 0
    assert result.is_partial


async def test_cancelling_ends_everything_at_once() -> None:
    """No end record and no process."""
    course = Course(small(phases=[{"name": "hold", "duration": 600}]))
    running = asyncio.ensure_future(course.run())
    await course.snapshot_of(0, online=4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert course.result().end is None
    assert no_children_left()


async def test_a_worker_that_dies_before_the_start_is_an_error() -> None:
    """Nobody waits for its identities."""
    vehicles = [{"name": "cars", "count": 20_000, "streams": {"state": {"rate_hz": 1}}}]
    course = Course(small(vehicles=vehicles))
    running = asyncio.ensure_future(course.run())
    while not (workers := [c for c in multiprocessing.active_children() if "worker" in c.name]):
        assert not running.done()
        await asyncio.sleep(0)
    workers[0].kill()
    with pytest.raises(LinkError, match="worker 0 is gone"):
        await running
    assert course.records == []
    assert no_children_left()


async def test_a_target_that_is_not_there_is_an_error() -> None:
    """Before anything is recorded, with what to do."""
    target = {"kind": "broker", "host": "127.0.0.1", "port": 1, "tls": False}
    course = Course(small(target=target, identities={"kind": "none"}))
    with pytest.raises(LinkError, match="refuses connections") as caught:
        await course.run()
    assert "start the broker" in caught.value.remedy
    assert course.records == []


async def test_a_map_that_cannot_be_used_is_an_error() -> None:
    """What a worker finds out about the scenario is told as if it had been found here."""
    motion = {"kind": "line", "path": "no-such-line.gpx"}
    vehicles = [{"name": "cars", "count": 2, "motion": motion}]
    course = Course(small(vehicles=vehicles))
    with pytest.raises(ConfigurationError, match=r"no-such-line\.gpx"):
        await course.run()
    assert no_children_left()


# The network and the broker


async def test_a_broker_that_refuses_everybody(store: Store) -> None:
    """The run goes to its end, and the first line says that nobody connected, with the reason."""
    async with broker_for(store, lets_cars_in=False, applications={}) as (_, _, scenario):
        result = await Course(scenario, store.root.parent).run()
    assert end_of(result).outcome == "completed"
    assert judge(result).first_line.startswith("0 of 4 cars connected")
    [reason] = result.reasons
    assert reason == "CONNACK 0x87 not authorized"
    assert result.reasons[reason] >= 4
    assert result.count("publishes") == 0


async def test_a_broker_that_goes_away_and_comes_back(store: Store) -> None:
    """Every car is back at the end, and what QoS 0 lost is what the broker never received."""
    vehicles = [
        {
            "name": "cars",
            "count": 4,
            "streams": {"state": {"rate_hz": 20}},
            "reconnect": {"first": 0.2, "longest": 0.2},
        }
    ]
    phases = [{"name": "hold", "duration": 4}]
    async with broker_for(store, vehicles=vehicles, phases=phases) as (stand_in, between, scenario):
        course = Course(scenario, store.root.parent)
        running = asyncio.ensure_future(course.run())
        await course.snapshot_of(0, online=4)
        between.cut()
        await course.snapshot_of(0, online=0)
        await between.open()
        result = await running
        received = (await stand_in.status()).counters["publishes_in"]
    [books] = [record for record in course.records if isinstance(record, StreamBooks)]
    assert result.online_at_end() == 4
    assert result.count("connects") == 8
    assert result.reasons["TCP: refused"] > 0
    assert books.lost == books.written - received
    assert books.seen == received
    assert result.count("not_sent_offline") > 0


async def test_a_network_that_swallows_everything(store: Store) -> None:
    """What QoS 0 lost is exact; what QoS 1 waits for is unacknowledged and not yet lost.

    The broker allows no keep-alive below 30 s, so no car notices within this run.
    """
    streams = {"state": {"rate_hz": 20}, "gnss": {"rate_hz": 5, "qos": 1}}
    vehicles = [{"name": "cars", "count": 4, "streams": streams}]
    phases = [{"name": "hold", "duration": 2}]
    async with broker_for(store, vehicles=vehicles, phases=phases) as (stand_in, between, scenario):
        course = Course(scenario, store.root.parent)
        running = asyncio.ensure_future(course.run())
        await course.snapshot_of(0, online=4)
        between.freeze()
        result = await running
        received = (await stand_in.status()).counters["publishes_in"]
    state, gnss = sorted(
        (record for record in course.records if isinstance(record, StreamBooks)),
        key=lambda books: books.stream,
        reverse=True,
    )
    assert result.reasons == {}
    assert state.lost == state.written - state.seen
    assert state.lost > 0
    assert state.seen + gnss.seen == received
    assert gnss.lost == 0
    assert end_of(result).unacknowledged["cars"] >= gnss.written - gnss.seen > 0


async def test_wrong_certificates_hit_their_share_only() -> None:
    """Half of the cars are refused for a while and come back; the others never notice."""
    vehicles = [
        {
            "name": "cars",
            "count": 4,
            "streams": {"state": {"rate_hz": 5}},
            "reconnect": {"first": 0.2, "longest": 0.2},
        }
    ]
    faults = [{"kind": "wrong-certificate", "at": 0.5, "share": 0.5, "duration": 0.5}]
    course = Course(
        small(vehicles=vehicles, faults=faults, phases=[{"name": "hold", "duration": 2.5}])
    )
    result = await course.run()
    assert result.online_at_end() == 4
    assert result.count("connects") == 6
    assert result.count("connect_failures") > 0
    assert course.events("fault")[0].cars == 2
    assert course.events("fault")[0].text == "wrong-certificate for 500 ms: 50 % of all cars"


# Before a run


def test_workers_follow_fleet_and_cores() -> None:
    """One for each 500 cars, but never more than the cores that the stand-in leaves."""
    many = small(vehicles=[{"name": "cars", "count": 1600}])
    elsewhere = small(
        vehicles=[{"name": "cars", "count": 1600}],
        target={"kind": "broker", "host": "broker.example", "tls": False},
        identities={"kind": "none"},
    )
    assert [workers_for(small(), cores) for cores in (1, 2, 8)] == [1, 1, 1]
    assert [workers_for(many, cores) for cores in (1, 2, 4, 16)] == [1, 1, 3, 4]
    assert [workers_for(elsewhere, cores) for cores in (1, 2, 4, 16)] == [1, 2, 4, 4]


def test_a_run_too_large_for_this_machine_is_refused() -> None:
    """The limit is named together with the command that raises it."""
    # A hundred thousand cars on one address of this machine have too few local ports.
    scenario = small(vehicles=[{"name": "cars", "count": 100_000}])
    plan = Plan(scenario, NOWHERE, 1, "0")
    with pytest.raises(ConfigurationError) as caught:
        check_machine(plan, Roster(scenario))
    assert "needed" in caught.value.what
    assert caught.value.remedy


async def test_quotas_are_observed_by_default() -> None:
    """Two cars that publish 75 times a second to one reader: it gets all, and the report says 50.

    150 a second are 50 more than a connection may have, from the second second on; of a bucket of
    one second's worth 100 are there at once.
    """
    cars = {"name": "cars", "count": 2, "streams": {"state": {"rate_hz": 75}}}
    course = Course(small(vehicles=[cars], phases=[{"name": "hold", "duration": 4}]))

    result = await course.run()

    assert result.target is not None
    assert result.target.quotas is not None
    refused = result.target.quotas.refused["publishes-per-connection"]
    assert (result.target.quotas.table, result.target.quotas.mode) == ("default", "observe")
    # 600 written, 500 allowed; the first and the last of them may miss their second.
    assert 60 <= refused.refused <= 140
    assert [each.client_id for each in refused.clients] == ["load:observers:0001"]
    assert "IoT Core would have refused" in refused.text
    assert result.value("lost") == 0
    assert result.value("target_refusals") == 0
    assert result.value("quota_refusals", quota="publishes-per-connection") == refused.refused


async def test_enforced_quotas_cost_messages() -> None:
    """The same reader loses what is above its rate, and it counts as refused by the target."""
    cars = {"name": "cars", "count": 2, "streams": {"state": {"rate_hz": 75}}}
    course = Course(
        small(
            vehicles=[cars],
            phases=[{"name": "hold", "duration": 4}],
            target={"kind": "stand-in", "quota_mode": "enforce"},
        )
    )

    result = await course.run()

    lost = result.value("lost")
    assert lost is not None
    assert 60 <= lost <= 140
    assert result.value("target_refusals") == lost


async def test_probes_are_part_of_a_run() -> None:
    """Their results come with the snapshots, and the last report of the stand-in judges them."""
    probes = [{"name": "edges", "quotas": ["payload-bytes", "connects-per-account"]}]
    course = Course(
        small(
            probes=probes,
            phases=[{"name": "hold", "duration": 3}],
            target={"kind": "stand-in", "quota_mode": "enforce"},
            checks=["probes_failed == 0", "quota_refusals == 1 of payload-bytes"],
        ),
        workers=2,
    )

    result = await course.run()

    states = {row.name: (row.state, row.counted) for row in result.edges}
    # 3,000 CONNECTs in a second are not for a laptop.
    assert states == {
        "payload-bytes": ("held", 1),
        "connects-per-account": ("passed over", None),
    }
    assert judge(result).held
    assert no_children_left()


async def test_probes_that_the_run_leaves_no_time_for_fail() -> None:
    """A run that ends before its probes says so for each of them."""
    probes = [
        {"quotas": ["replayed-per-session"], "begin": 1.9},
        {"name": "later", "quotas": ["topic-bytes"], "begin": 1.95},
    ]

    result = await Course(small(probes=probes, drain=0)).run()

    assert [row.state for row in result.edges] == ["failed", "failed"]
    assert {row.note for row in result.edges} == {"the run ended before"}


async def test_a_broken_quota_file_stops_a_run(tmp_path: Path) -> None:
    """It is a mistake of the configuration, and nothing is left running."""
    (tmp_path / "own.toml").write_text("no quotas")
    course = Course(small(target={"kind": "stand-in", "quotas": "own.toml"}), base=tmp_path)

    with pytest.raises(ConfigurationError, match=r"own\.toml"):
        await course.run()

    assert course.records == []
    assert no_children_left()
