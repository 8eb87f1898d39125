"""The bridge as a whole: a car in memory on one side, the IoT Core stand-in on the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.cloud.publish_window import Message
from agent.cloud.session_values import LinkState
from agent.telemetry.health import decode_health
from agent.telemetry.payload import decode_batch
from certs.errors import ConfigurationError
from simulator.iotcore.broker.joints import Answer, DocumentedTopics
from simulator.iotcore.broker.message import Message as BrokerMessage
from tests.agent.bridge import datagrams as wire
from tests.agent.bridge.rig import HEALTH, Control, Running, configuration, running
from tests.agent.cloud.rig import core_of, network, onlooker
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from certs.store import Store
    from simulator.iotcore.broker.joints import ReservedTopics
    from simulator.iotcore.server import CoreServer

QUIET = "[streams]\n" + "\n".join(
    f"{name} = {{enabled = false}}"
    for name in ("state", "objects", "gnss", "imu", "collision", "traffic_light")
)
ALL_TELEMETRY = f"dt/morai/demo/{CAR}/#"
ALL_ANSWERS = f"cmd/morai/demo/{CAR}/res/+"


@contextlib.asynccontextmanager
async def scene(
    folder: Path,
    store: Store,
    extra: str = QUIET,
    *,
    start: bool = True,
    reserved: ReservedTopics | None = None,
) -> AsyncIterator[tuple[CoreServer, Control, Running]]:
    """Broker, application and a bridge that is online, with a car that reports."""
    async with (
        core_of(store, reserved=reserved) as core,
        onlooker(store, core.port, ALL_TELEMETRY, ALL_ANSWERS) as app,
        running(configuration(folder, store, core.port, extra)) as rig,
    ):
        control = Control(app)
        if not start:
            yield core, control, rig
            return
        await control.state("online")
        async with rig.car.reporting():
            yield core, control, rig
            # While the car still reports, so that the agent sees it stand and need not wait.
            if not rig.task.done():
                await rig.end()


async def drive(control: Control, rig: Running, speed_mps: float = 10.0) -> int:
    """Engage, and let the car drive; the number of datagrams sent so far."""
    await control.command("engage", "set_control_mode", mode="external")
    await control.command("go", "drive", target_speed_mps=speed_mps, duration_s=600)
    assert rig.car.speed_kmh == pytest.approx(speed_mps * 3.6)
    return len(rig.link.sent)


# -- up ------------------------------------------------------------------------------------------


async def test_telemetry_arrives_complete_and_in_order(identities: Store, tmp_path: Path) -> None:
    """Every sample of a stream reaches the application, with numbers that have no gaps."""
    extra = "[streams]\nstate = {rate_hz = 200, max_samples = 4}\nimu = {rate_hz = 200}"
    async with scene(tmp_path, identities, extra, start=False) as (_, control, rig):
        await control.state("online")
        for number in range(40):
            rig.link.deliver(
                "ego_status",
                wire.ego_status(speed_kmh=float(number)),
                received_s=1_700_000_000 + number / 50,
                mono_s=number / 50,
            )
        await rig.end()
        topic = f"dt/morai/demo/{CAR}/state"
        await control.app.until(lambda: len(control.app.payloads(topic)) >= 10)
        batches = [decode_batch(payload) for payload in control.app.payloads(topic)]

    assert [(batch.seq, batch.first) for batch in batches] == [(n, 4 * n) for n in range(10)]
    assert {batch.boot for batch in batches} == {"b007"}
    speeds = [speed for batch in batches for speed in batch.column("Vehicle.Speed")]
    assert speeds == [float(number) for number in range(40)]


async def test_the_health_document_tells_what_happens(identities: Store, tmp_path: Path) -> None:
    """The first is retained for later subscribers; counters name what was heard and dropped."""
    async with scene(tmp_path, identities, start=False) as (_, control, rig):
        first = await control.state("online")
        rig.link.deliver("ego_status", wire.ego_status())
        rig.link.deliver("imu", b"garbage")
        rig.bridge._health_due_s = 0.0
        rig.link.deliver("ego_status", wire.ego_status())
        await control.app.until(lambda: len(control.health()) > 1)
        second = decode_health(control.app.payloads(HEALTH)[1])
        await control.app.publish("dt/x", b"")
        retained = [m.retain for m in control.app.messages if str(m.topic) == HEALTH]

        # Somebody who subscribes now learns at once that the car is there.
        await control.app._client.unsubscribe(ALL_TELEMETRY)
        await control.app._client.subscribe(HEALTH, qos=1)
        await control.app.until(lambda: len(control.health()) > 2)
        late = control.app.messages[-1]

    assert first["boot"] == "b007"
    assert first["thing"] == CAR
    assert second.channels["ego_status"].received == 2
    assert second.counters["dropped.unknown_name"] == 1
    assert (late.retain, json.loads(bytes(late.payload))["state"]) == (True, "online")
    assert retained == [False, False]


async def test_health_does_not_pile_up_while_the_broker_is_away(
    identities: Store, tmp_path: Path
) -> None:
    """A hundred due health documents during an outage leave nothing waiting to be sent."""
    async with scene(tmp_path, identities, start=False) as (core, control, rig):
        await control.state("online")
        await rig.bridge.session.drain(20)
        await core.stop_listening()
        core.drop(CAR)
        # Draining ends when the session learns that the link is gone.
        rig.bridge.session.publish(Message("dt/morai/demo/x", b"", qos=1))
        assert not await rig.bridge.session.drain(20)
        for _ in range(100):
            rig.bridge._health_due_s = 0.0
            rig.bridge._pump()

        assert rig.bridge.session.unacknowledged == 1


async def test_garbage_does_not_reach_anybody(identities: Store, tmp_path: Path) -> None:
    """A storm of bad datagrams is one log line, and the good one among them arrives."""
    extra = "[streams]\nstate = {max_samples = 1}"
    with capture_logs() as logs:
        async with scene(tmp_path, identities, extra, start=False) as (_, control, rig):
            await control.state("online")
            for number in range(500):
                rig.link.deliver("ego_status", bytes([number % 256]) * number)
            rig.link.deliver("ego_status", wire.ego_status())
            topic = f"dt/morai/demo/{CAR}/state"
            await control.app.until(lambda: bool(control.app.payloads(topic)))

    assert sum(rig.bridge.uplink.counters.dropped.values()) == 500
    assert len([entry for entry in logs if entry["event"] == "datagrams_dropped"]) <= 2
    assert "defect" not in {entry["event"] for entry in logs}


# -- down ----------------------------------------------------------------------------------------


def lamps_sent(rig: Running) -> list[tuple[int, int]]:
    """Turn signal and hazard lamps of every lamp datagram so far."""
    return [wire.lamps(data) for channel, data in rig.link.sent if channel == "lamps"]


async def test_a_command_is_executed_once_and_answered(identities: Store, tmp_path: Path) -> None:
    """Redelivered, the same request is answered with the same outcome and does nothing."""
    async with scene(tmp_path, identities) as (_, control, rig):
        await control.command("e1", "set_control_mode", mode="external")
        await control.command("l1", "lamps", turn_signal="left")
        # UDP loses datagrams, so it is repeated.
        await rig.link.until(lambda: len(lamps_sent(rig)) == 3)
        await control.send("l1", "lamps", turn_signal="left")
        await control.app.until(lambda: control.answers("l1").count("SUCCEEDED") == 2)

    assert rig.car.mode == 2
    # MORAI: 0 none, 1 left, 2 right.
    assert lamps_sent(rig) == [(1, 0)] * 3


class CommandsService(DocumentedTopics):
    """AWS IoT Commands as a device sees it: takes status updates and tells what became of them."""

    def __init__(self, verdict: str) -> None:
        self.responses: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self._verdict = verdict

    def handle(
        self, message: BrokerMessage, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Take a status update."""
        if not message.topic.endswith("/response/json"):
            return super().handle(message, client_id, now_s)
        self.responses.append((message.topic, json.loads(message.payload)["status"]))
        self.changed.set()
        topic = message.topic.replace("/json", f"/{self._verdict}/json")
        return [Answer(BrokerMessage(topic, b"{}", 0, now_s), client_id)]


@pytest.mark.parametrize(
    ("verdict", "dropped"), [("accepted", {}), ("rejected", {"answer_rejected": 2})]
)
async def test_the_protocol_of_aws_works_alike(
    identities: Store, tmp_path: Path, verdict: str, dropped: dict[str, int]
) -> None:
    """A request on the reserved topic is answered there; the service's own answer is understood."""
    service = CommandsService(verdict)
    body = json.dumps({"command": "set_control_mode", "parameters": {"mode": "external"}})
    topic = f"$aws/commands/things/{CAR}/executions/x1"
    async with scene(tmp_path, identities, reserved=service) as (core, control, rig):
        await core.publish(f"{topic}/request/json", body.encode(), qos=1)
        while len(service.responses) < 2:
            service.changed.clear()
            await asyncio.wait_for(service.changed.wait(), 20)
        # A later command's answer comes behind the service's answers.
        await control.command("l1", "lamps", hazard=True)

        assert rig.bridge.session.counters.dropped == dropped

    assert service.responses == [
        (f"{topic}/response/json", "IN_PROGRESS"),
        (f"{topic}/response/json", "SUCCEEDED"),
    ]
    assert rig.car.mode == 2


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"\xff\xfe", "REJECTED MALFORMED_JSON"),
        (b'{"command": "fly"}', "REJECTED UNKNOWN_COMMAND"),
        (b'{"command": "lamps", "parameters": {"hazard": "yes"}}', "REJECTED INVALID_PARAMETER"),
        (b'{"command": "resume", "issued_at": 1.0}', "REJECTED EXPIRED"),
        (b"x" * 100_000, "REJECTED TOO_LARGE"),
    ],
)
async def test_a_bad_request_is_refused_with_its_reason(
    identities: Store, tmp_path: Path, payload: bytes, answer: str
) -> None:
    """The sender hears why, nothing is sent to the car, and the next command works."""
    async with scene(tmp_path, identities) as (_, control, rig):
        await control.app.publish(f"cmd/morai/demo/{CAR}/req/bad", payload, qos=1)
        assert await control.answer("bad", answer) == [answer]
        assert rig.link.sent == []
        await control.command("good", "set_control_mode", mode="external")


async def test_a_request_without_a_usable_id_is_counted(identities: Store, tmp_path: Path) -> None:
    """Nobody can be answered, so it is dropped by cause."""
    async with scene(tmp_path, identities) as (_, control, rig):
        await control.app.publish(f"cmd/morai/demo/{CAR}/req/{'x' * 65}", b"{}", qos=1)
        await control.command("good", "set_control_mode", mode="external")

        assert rig.bridge.session.counters.dropped == {"topic_bad_execution_id": 1}


async def test_set_points_become_control_datagrams(identities: Store, tmp_path: Path) -> None:
    """10 m/s and 0.1 rad to the left are 36 km/h and -0.158 of the full steer, by the table."""
    async with scene(tmp_path, identities) as (_, control, rig):
        await control.command("e1", "set_control_mode", mode="external")
        for seq in range(20):
            await control.set_point(seq, speed_mps=10.0, steer_rad=0.1)
            await asyncio.sleep(0.02)
        moving = [c for c in rig.link.controls() if c.kind == 2]

        # The dead-man: no set point any more, so the car is stopped with several datagrams.
        since = len(rig.link.sent)
        await rig.link.until(lambda: sum(c.is_full_brake for c in rig.link.controls(since)) >= 5)
        assert rig.car.speed_kmh == 0.0

    last = moving[-1]
    assert (last.gear, last.kind, last.accel, last.brake) == (4, 2, 0.0, 0.0)
    assert last.velocity_kmh == pytest.approx(36.0)
    # degrees(0.1) = 5.7296 of 36.25, and the vendor's positive steer turns right.
    assert last.steer == pytest.approx(-5.7296 / 36.25, abs=1e-4)


async def test_a_lost_link_stops_the_car(identities: Store, tmp_path: Path) -> None:
    """Without the broker a driven car is braked at once, with several datagrams."""
    async with scene(tmp_path, identities) as (core, control, rig):
        since = await drive(control, rig)
        await core.stop_listening()
        core.drop(CAR)

        await rig.link.until(lambda: sum(c.is_full_brake for c in rig.link.controls(since)) >= 5)
        assert rig.car.speed_kmh == 0.0


async def test_a_dead_network_stops_the_car_before_the_pings_find_out(
    identities: Store, tmp_path: Path
) -> None:
    """A broker that owes acknowledgements counts as lost; when it answers, so does the car."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, ALL_TELEMETRY, ALL_ANSWERS) as app,
        network(core.port) as radio,
    ):
        control = Control(app)
        extra = "ping_timeout_s = 1.0\n" + QUIET
        async with running(configuration(tmp_path, identities, radio.port, extra)) as rig:
            await control.state("online")
            async with rig.car.reporting():
                await control.command("engage", "set_control_mode", mode="external")
                rig.car.is_stuck = True
                await control.send("go", "drive", target_speed_mps=10.0)
                await control.answer("go", "IN_PROGRESS DRIVING")
                since = len(rig.link.sent)
                radio.hold()
                rig.bridge._health_due_s = 0.0

                await rig.link.until(
                    lambda: sum(c.is_full_brake for c in rig.link.controls(since)) >= 5
                )
                assert rig.bridge.session.state is LinkState.CONNECTED
                radio.release()
                await control.answer("go", "FAILED LINK_LOST")
                await control.command("again", "set_control_mode", mode="external")
                await rig.end()


async def test_an_outcome_of_an_outage_is_answered_afterwards(
    identities: Store, tmp_path: Path
) -> None:
    """The command that the outage ended is answered once the broker is back."""
    async with scene(tmp_path, identities) as (core, control, rig):
        await control.command("engage", "set_control_mode", mode="external")
        rig.car.is_stuck = True
        await control.send("go", "drive", target_speed_mps=10.0)
        await control.answer("go", "IN_PROGRESS DRIVING")
        since = len(rig.link.sent)
        await core.stop_listening()
        core.drop(CAR)
        await rig.link.until(lambda: any(c.is_full_brake for c in rig.link.controls(since)))
        await core.start_listening()

        answers = await control.answer("go", "FAILED LINK_LOST")

    assert answers.count("FAILED LINK_LOST") == 1


async def test_a_silent_simulator_is_told_to_stop(identities: Store, tmp_path: Path) -> None:
    """Without ego statuses the agent drives blind, so it brakes; the log says so once."""
    extra = "[simulator]\nsilent_after_s = 0.2\n" + QUIET
    with capture_logs() as logs:
        async with scene(tmp_path, identities, extra, start=False) as (_, control, rig):
            await control.state("online")
            async with rig.car.reporting():
                since = await drive(control, rig)
            await rig.link.until(
                lambda: sum(c.is_full_brake for c in rig.link.controls(since)) >= 5
            )
            async with rig.car.reporting():
                await rig.end()

    events = [entry["event"] for entry in logs]
    # Heard when it begins, and once more when it is back.
    assert events.count("simulator_heard") == 2
    assert events.count("simulator_silent") == 1


async def test_a_command_that_waited_at_the_broker_is_executed_at_the_start(
    identities: Store, tmp_path: Path
) -> None:
    """The persistent session brings what was sent while no agent ran."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, ALL_ANSWERS, HEALTH) as app,
    ):
        control = Control(app)
        settings = configuration(tmp_path, identities, core.port, QUIET)
        async with running(settings):
            await control.state("online")
        await control.send("l1", "lamps", hazard=True)
        async with running(settings, "b008") as rig:
            assert (await control.answer("l1", "SUCCEEDED"))[-1] == "SUCCEEDED"

    assert set(lamps_sent(rig)) == {(0, 1)}


async def test_commands_can_be_switched_off(identities: Store, tmp_path: Path) -> None:
    """A telemetry-only agent subscribes to nothing and has no ledger."""
    extra = "[commands]\nenabled = false\n" + QUIET
    async with scene(tmp_path, identities, extra) as (core, _, rig):
        subscriptions = {client.client_id: client.subscriptions for client in core.clients()}

    assert subscriptions[CAR] == 0
    assert not (tmp_path / "agent-data").exists()
    assert rig.link.sent == []


# -- the end -------------------------------------------------------------------------------------


async def test_shutdown_stops_the_car_and_signs_off(identities: Store, tmp_path: Path) -> None:
    """Several stops, the open batches, then `stopping` and a retained `offline`, in this order."""
    extra = "[streams]\nstate = {rate_hz = 200, max_samples = 1000, max_delay_s = 60}"
    async with scene(tmp_path, identities, extra) as (core, control, rig):
        since = await drive(control, rig)
        await rig.end()
        await control.state("offline")
        topics = [str(message.topic).rpartition("/")[2] for message in control.app.messages]
        samples = sum(
            decode_batch(payload).count
            for payload in control.app.payloads(f"dt/morai/demo/{CAR}/state")
        )
        heard = rig.bridge.uplink.counters.heard["EgoStatus"]
        await control.app._client.unsubscribe(ALL_TELEMETRY)
        await control.app._client.subscribe(HEALTH, qos=1)
        await control.app.until(lambda: control.app.messages[-1].retain)
        late = json.loads(bytes(control.app.messages[-1].payload))

    assert sum(c.is_full_brake for c in rig.link.controls(since)) >= 5
    assert rig.car.speed_kmh == 0.0
    assert samples == heard
    assert [document["state"] for document in control.health()][-3:] == [
        "stopping",
        "offline",
        "offline",
    ]
    assert topics[-2:] == ["state", "health"]
    # The agent's own document, not the will: it knows when it was written.
    assert late["at"] is not None
    assert core.counters()["connections"] == 0 or not core.broker.connection_of(CAR)


async def test_shutdown_of_a_standing_car_still_sends_every_stop(
    identities: Store, tmp_path: Path
) -> None:
    """Datagrams get lost, so the closing stops all go out even if the car stands already."""
    async with scene(tmp_path, identities) as (_, control, rig):
        await control.command("engage", "set_control_mode", mode="external")
        since = len(rig.link.sent)
        await rig.end()

    assert sum(c.is_full_brake for c in rig.link.controls(since)) >= 5


async def test_shutdown_without_simulator_and_broker_ends_in_time(
    identities: Store, tmp_path: Path
) -> None:
    """Nobody left to talk to: the stops are sent, and the agent does not wait for ever."""
    async with scene(tmp_path, identities, start=False) as (core, control, rig):
        await control.state("online")
        async with rig.car.reporting():
            since = await drive(control, rig)
        await core.stop_listening()
        core.drop(CAR)
        await asyncio.wait_for(rig.end(), 10)

    assert sum(c.is_full_brake for c in rig.link.controls(since)) >= 5


async def test_a_cancelled_agent_stops_the_car_on_its_way_out(
    identities: Store, tmp_path: Path
) -> None:
    """A program that embeds the bridge and cancels it does not leave the car driving."""
    async with scene(tmp_path, identities) as (_, control, rig):
        since = await drive(control, rig)
        rig.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await rig.task

    assert sum(c.is_full_brake for c in rig.link.controls(since)) >= 5


async def test_no_task_outlives_the_agent(identities: Store, tmp_path: Path) -> None:
    """After the end nothing of the agent is left on the event loop."""
    async with core_of(identities) as core:
        before = asyncio.all_tasks()
        async with running(configuration(tmp_path, identities, core.port, QUIET)) as rig:
            await rig.end()

        assert {task for task in asyncio.all_tasks() if task not in before} == set()


# -- defects -------------------------------------------------------------------------------------


async def test_a_defect_in_telemetry_does_not_disarm_the_dead_man(
    identities: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that should not exist is one log line, counted, and the car is still stopped."""
    with capture_logs() as logs:
        async with scene(tmp_path, identities) as (_, control, rig):
            await control.command("engage", "set_control_mode", mode="external")
            await control.set_point(1, speed_mps=5.0)
            await rig.link.until(lambda: rig.car.speed_kmh > 0)
            since = len(rig.link.sent)

            def fail(*_arguments: object) -> None:
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(rig.bridge.uplink, "on_datagram", fail)
            monkeypatch.setattr(rig.bridge.uplink, "poll", fail)
            await rig.link.until(
                lambda: sum(c.is_full_brake for c in rig.link.controls(since)) >= 5
            )
            monkeypatch.undo()
            rig.bridge._health_due_s = 0.0
            await control.app.until(lambda: control.health()[-1]["counters"].get("defects", 0) > 0)

    defects = [entry for entry in logs if entry["event"] == "defect"]
    assert len(defects) == 1


async def test_an_identity_that_cannot_be_used_ends_the_agent(
    identities: Store, tmp_path: Path
) -> None:
    """The error reaches the caller, and ports and ledger are released."""
    settings = configuration(tmp_path, identities, 8883, QUIET)
    broken = settings.broker.model_copy(update={"certificate": tmp_path / "none.pem"})
    async with running(settings.model_copy(update={"broker": broken})) as rig:
        with pytest.raises(ConfigurationError, match="TLS identity"):
            await asyncio.wait_for(asyncio.shield(rig.task), 20)

    assert rig.link._on_datagram is None
