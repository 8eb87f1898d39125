"""The demo's application against the real IoT Core stand-in, with a car that answers by script."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest

from agent.cloud.topics import CommandProtocol, TopicSpace
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.streams import state_stream
from agent.vehicle.state import EgoState
from certs.errors import LinkError
from certs.store import Store
from simulator import fleet_policies
from simulator.demo.application import Application
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOPICS = TopicSpace("demo", "car-1")
SOON_S = 10.0


@dataclass
class Car:
    """A car's connection that answers each request with what the script says.

    Attributes:
        script: Payloads to answer with, in order, for every request.
        requests: What was requested: execution id and payload.
        set_points: What came on the drive stream.
        heard: Set at every message.
    """

    client: aiomqtt.Client
    script: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    set_points: list[dict[str, Any]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self) -> None:
        """Serve until cancelled."""
        async for message in self.client.messages:
            topic = str(message.topic)
            if topic == TOPICS.drive:
                self.set_points.append(json.loads(message.payload))
            else:
                execution_id = topic.rpartition("/")[2]
                self.requests.append((execution_id, message.payload))
                for payload in self.script:
                    await self.say(TOPICS.response(CommandProtocol.PLAIN, execution_id), payload)
            self.heard.set()

    async def say(self, topic: str, payload: bytes) -> None:
        """Publish, and wait until the broker has it."""
        await self.client.publish(topic, payload, qos=1)


@dataclass
class Scene:
    """Broker, application and car."""

    core: CoreServer
    application: Application
    car: Car
    store: Store


def context(store: Store, name: str) -> ssl.SSLContext:
    """TLS as a client of the store."""
    identity = store.identity(name)
    made = ssl.create_default_context(cafile=store.ca_certificate_path)
    made.load_cert_chain(identity.certificate_path, identity.key_path)
    return made


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Scene]:
    """The scene, with the policies of a fleet."""
    store = Store(folder)
    store.init_authority()
    server = store.issue_server(["127.0.0.1"])
    registry = Registry()
    registry.put_policy(Policy.parse("vehicle", fleet_policies.vehicle("demo")))
    registry.put_policy(Policy.parse("application", fleet_policies.application("demo")))
    for thing, policy in (("car-1", "vehicle"), ("demo-app", "application")):
        store.issue_thing(thing)
        register(registry, store.identity(thing).certificate_id(), [thing], [policy])
    tls = ServerTls(server.certificate_path, server.key_path, [store.ca_certificate_path])
    account = Account("local", "000000000000")
    async with CoreServer(registry, tls, "127.0.0.1", 0, account=account) as core:
        client = aiomqtt.Client(
            "127.0.0.1",
            core.port,
            identifier="car-1",
            tls_context=context(store, "car-1"),
            protocol=aiomqtt.ProtocolVersion.V5,
        )
        application = Application(
            "127.0.0.1", core.port, context(store, "demo-app"), TOPICS, "demo-app"
        )
        async with client, application:
            await client.subscribe(TOPICS.request_filter(CommandProtocol.PLAIN), qos=1)
            await client.subscribe(TOPICS.drive)
            car = Car(client)
            answering = asyncio.create_task(car.answer())
            try:
                yield Scene(core, application, car, store)
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """The scene, closed at the end of the test."""
    async with opened(tmp_path / "identities") as made:
        yield made


def status(name: str, reason: str | None = None) -> bytes:
    """A response document of AWS IoT Commands."""
    document: dict[str, Any] = {"status": name}
    if reason is not None:
        document["statusReason"] = {"reasonCode": reason, "reasonDescription": "in words"}
    return json.dumps(document).encode()


async def test_a_command_is_answered_by_progress_and_a_final_status(scene: Scene) -> None:
    """The car gets the document of the contract; the sender gets every status in order."""
    scene.car.script = [status("IN_PROGRESS"), status("IN_PROGRESS"), status("SUCCEEDED")]

    answer = await scene.application.command("drive", {"target_speed_mps": 5}, timeout_s=SOON_S)

    assert answer.status == "SUCCEEDED"
    assert answer.statuses == ("IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED")
    assert answer.first_answer_s is not None
    assert answer.finished_s is not None
    assert 0 < answer.first_answer_s <= answer.finished_s
    assert scene.application.round_trips_s == [answer.first_answer_s]
    ((execution_id, payload),) = scene.car.requests
    assert execution_id == answer.execution_id
    document = json.loads(payload)
    assert document["command"] == "drive"
    assert document["parameters"] == {"target_speed_mps": 5}
    assert document["timeout_s"] == SOON_S
    assert document["issued_at"] > 1.7e9


@pytest.mark.parametrize("final", ["SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"])
async def test_every_final_status_ends_the_waiting(scene: Scene, final: str) -> None:
    """The four final statuses of AWS IoT Commands are taken, with their reason."""
    scene.car.script = [status(final, "WHY")]

    answer = await scene.application.command("stop", timeout_s=SOON_S)

    assert (answer.status, answer.reason) == (final, "WHY")


async def test_no_answer_is_said_to_be_none(scene: Scene) -> None:
    """A car that stays silent gives no status, and no latency that never was."""
    answer = await scene.application.command("stop", timeout_s=0.2)

    assert (answer.status, answer.statuses) == ("NO_ANSWER", ())
    assert answer.first_answer_s is None
    assert answer.finished_s is None
    assert scene.application.round_trips_s == []


async def test_progress_alone_is_no_final_answer(scene: Scene) -> None:
    """What was heard before the time was over is told all the same."""
    scene.car.script = [status("IN_PROGRESS")]

    answer = await scene.application.command("stop", timeout_s=0.5)

    assert (answer.status, answer.statuses) == ("NO_ANSWER", ("IN_PROGRESS",))
    assert answer.first_answer_s is not None


MALFORMED = [
    b"",
    b"{",
    b"\xff",
    b"[]",
    b'"SUCCEEDED"',
    b"{}",
    b'{"status": 3}',
    b'{"status": null}',
    b"[" * 50_000,
]


async def test_malformed_answers_are_counted_and_the_next_one_taken(scene: Scene) -> None:
    """Nothing a car answers breaks the application or passes for a status."""
    scene.car.script = [*MALFORMED, status("SUCCEEDED")]

    answer = await scene.application.command("stop", timeout_s=SOON_S)

    assert answer.statuses == ("SUCCEEDED",)
    assert scene.application.undecodable == len(MALFORMED)


@pytest.mark.parametrize("reason", [b"null", b"[]", b'"text"', b"7", b"{}"])
async def test_a_strange_reason_is_no_reason(scene: Scene, reason: bytes) -> None:
    """The status counts although its reason has the wrong shape."""
    scene.car.script = [b'{"status": "REJECTED", "statusReason": %b}' % reason]

    answer = await scene.application.command("stop", timeout_s=SOON_S)

    assert (answer.status, answer.reason) == ("REJECTED", "")


async def test_an_answer_nobody_waits_for_is_ignored(scene: Scene) -> None:
    """Late and foreign answers neither finish another command nor count as errors."""
    stray = TOPICS.response(CommandProtocol.PLAIN, "somebody-elses")
    await scene.car.say(stray, status("FAILED"))
    scene.car.script = [status("SUCCEEDED")]

    answer = await scene.application.command("stop", timeout_s=SOON_S)

    assert answer.statuses == ("SUCCEEDED",)
    assert scene.application.undecodable == 0


async def test_commands_at_the_same_time_get_their_own_answers(scene: Scene) -> None:
    """Executions are told apart by their ids."""
    scene.car.script = [status("SUCCEEDED")]

    answers = await asyncio.gather(*(scene.application.command("stop") for _ in range(10)))

    assert len({answer.execution_id for answer in answers}) == 10
    assert {answer.status for answer in answers} == {"SUCCEEDED"}


async def test_set_points_are_numbered_and_timed(scene: Scene) -> None:
    """The drive stream carries the contract's keys, counted up."""
    for speed in (1.0, 2.0, 3.0):
        await scene.application.set_point(speed_mps=speed, steer_rad=0.0)
    async with asyncio.timeout(SOON_S):
        while len(scene.car.set_points) < 3:
            scene.car.heard.clear()
            await scene.car.heard.wait()

    first, second, third = scene.car.set_points
    assert [first["seq"], second["seq"], third["seq"]] == [1, 2, 3]
    assert [first["speed_mps"], third["speed_mps"]] == [1.0, 3.0]
    assert first["t"] <= second["t"] <= third["t"]


async def test_telemetry_and_health_arrive(scene: Scene) -> None:
    """Batches go into the books, the newest health document is kept."""
    batcher = Batcher(state_stream(), "boot-1", BatchLimits(max_samples=1), thing="car-1")
    (payload,) = batcher.add(EgoState(speed_mps=10.0), 1_700_000_000.0)
    await scene.car.say(TOPICS.telemetry("state"), payload)
    await scene.car.say(TOPICS.telemetry("health"), b'{"state": "online"}')

    arrived = await scene.application.wait_until(
        lambda: scene.application.health.get("state") == "online", SOON_S
    )

    assert arrived
    assert scene.application.book.value("Vehicle.Speed") == 36.0


@pytest.mark.parametrize("payload", [b"", b"[1]", b"[[1, 2]]", b"nonsense", b"[" * 50_000])
async def test_malformed_health_is_counted_and_the_last_one_kept(
    scene: Scene, payload: bytes
) -> None:
    """A damaged health document does not wipe out what is known."""
    await scene.car.say(TOPICS.telemetry("health"), b'{"state": "online"}')
    await scene.car.say(TOPICS.telemetry("health"), payload)

    counted = await scene.application.wait_until(lambda: scene.application.undecodable > 0, SOON_S)

    assert counted
    assert scene.application.health == {"state": "online"}


async def test_topics_below_a_stream_are_no_stream(scene: Scene) -> None:
    """A batch that comes one level deeper is not taken for the car's telemetry."""
    batcher = Batcher(state_stream(), "boot-1", BatchLimits(max_samples=1), thing="car-1")
    (payload,) = batcher.add(EgoState(speed_mps=10.0), 1_700_000_000.0)
    await scene.car.say(TOPICS.telemetry("state") + "/state", payload)

    counted = await scene.application.wait_until(lambda: scene.application.undecodable > 0, SOON_S)

    assert counted
    assert scene.application.book.records == {}


async def test_waiting_looks_once_more_when_the_time_is_over(scene: Scene) -> None:
    """A condition that came true without a message is still seen."""
    asked: list[bool] = []

    def holds_when_asked_again() -> bool:
        asked.append(True)
        return len(asked) > 1

    assert await scene.application.wait_until(holds_when_asked_again, 0.05)


async def test_a_broker_that_refuses_is_a_link_error(scene: Scene, tmp_path: Path) -> None:
    """Without a registered certificate the application says whom it could not reach."""
    store = Store(tmp_path / "strangers")
    store.init_authority()
    store.issue_thing("demo-app")
    stranger = ssl.create_default_context(cafile=scene.store.ca_certificate_path)
    identity = store.identity("demo-app")
    stranger.load_cert_chain(identity.certificate_path, identity.key_path)

    application = Application(
        "127.0.0.1", scene.core.port, stranger, TOPICS, "demo-app", timeout_s=0.5
    )
    with pytest.raises(LinkError, match="the application cannot use the broker"):
        await application.__aenter__()


async def test_losing_the_broker_ends_the_waiting(scene: Scene) -> None:
    """A sender that waits for an answer is told at once that none can come."""
    waiting = asyncio.create_task(scene.application.command("stop", timeout_s=60))
    async with asyncio.timeout(SOON_S):
        await scene.car.heard.wait()

    assert scene.core.drop("demo-app")

    with pytest.raises(LinkError, match="connection to the broker is gone"):
        await asyncio.wait_for(waiting, SOON_S)


async def keep_sending(application: Application) -> None:
    """Send set points until it is refused."""
    while True:
        await application.set_point(speed_mps=0.0)


async def test_a_lost_broker_is_a_link_error(scene: Scene) -> None:
    """When the connection is gone, sending says so instead of crashing."""
    assert scene.core.drop("demo-app")

    with pytest.raises(LinkError, match="the application"):
        await asyncio.wait_for(keep_sending(scene.application), SOON_S)
