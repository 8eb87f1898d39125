"""MQTT 3.1.1 over real sockets and TLS, with the clients that people use, beside MQTT 5."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
from awscrt import mqtt as crt
from awsiot import mqtt_connection_builder
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from certs.store import Identity, Store
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future

TIMEOUT_S = 20.0
POLICY = Policy.parse(
    "vehicle",
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "*/secret"},
            {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*client/bus"},
        ],
    },
)
VERSIONS = [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of a car and an application."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["car", "app"]))
    return found


@pytest.fixture
async def core(store: Store) -> AsyncIterator[CoreServer]:
    """A running server that knows both."""
    registry = Registry()
    registry.put_policy(POLICY)
    for name in ("car", "app"):
        register(registry, store.identity(name).certificate_id(), [name], ["vehicle"])
    identity = store.server_identity()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    async with asyncio.timeout(TIMEOUT_S), CoreServer(registry, tls, port=0) as server:
        yield server


class Paho:
    """A paho client whose callbacks end up in queues of the event loop."""

    def __init__(self, core: CoreServer, identity: Identity, client_id: str, **more: Any) -> None:
        loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

        def hand_over(kind: str, value: Any) -> None:
            loop.call_soon_threadsafe(self.events.put_nowait, (kind, value))

        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False, **more
        )
        self.client.tls_set_context(mutual_tls(identity))
        client: Any = self.client
        client.on_connect = lambda *args: hand_over("connected", args[2:4])
        client.on_connect_fail = lambda *_: hand_over("failed", None)
        client.on_disconnect = lambda *args: hand_over("disconnected", args[3])
        client.on_subscribe = lambda *args: hand_over("subscribed", [c.value for c in args[3]])
        client.on_publish = lambda *args: hand_over("published", args[2])
        client.on_message = lambda *args: hand_over("message", args[2])
        self.client.connect_async("localhost", core.port)
        self.client.loop_start()

    async def next(self, kind: str) -> Any:
        """The next event, which must be of this kind."""
        found, value = await self.events.get()
        assert found == kind, (found, value)
        return value

    async def stop(self) -> None:
        """Leave."""
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@asynccontextmanager
async def paho_client(*args: Any, **more: Any) -> AsyncIterator[Paho]:
    """A paho client that is stopped at the end."""
    client = Paho(*args, **more)
    try:
        yield client
    finally:
        await client.stop()


@pytest.mark.parametrize("speaks", VERSIONS)
@pytest.mark.parametrize("listens", VERSIONS)
async def test_paho_in_every_mix_of_versions(
    core: CoreServer, store: Store, listens: MQTTProtocolVersion, speaks: Any
) -> None:
    """Subscribing, both QoS, retained messages, and acknowledgements."""
    async with (
        paho_client(core, store.identity("app"), "app", protocol=listens) as app,
        paho_client(core, store.identity("car"), "car", protocol=speaks) as car,
    ):
        for client in (app, car):
            flags, code = await client.next("connected")
            assert (flags.session_present, code.value) == (False, 0)
        app.client.subscribe([("dt/+/state", 1), ("dt/kept", 0)])
        assert await app.next("subscribed") == [1, 0]
        for qos in (0, 1):
            for payload in (b"", b"x" * 100, b"x" * 20_000):
                car.client.publish("dt/car/state", payload, qos=qos)
                await car.next("published")
                message = await app.next("message")
                assert (message.topic, message.payload, message.qos) == (
                    "dt/car/state",
                    payload,
                    qos,
                )
                assert not message.retain
                assert not message.dup
        car.client.publish("dt/kept", b"kept", qos=1, retain=True)
        await car.next("published")
        assert not (await app.next("message")).retain
        app.client.subscribe("dt/kept", 1)
        assert await app.next("subscribed") == [1]
        message = await app.next("message")
        assert (message.payload, message.qos, message.retain) == (b"kept", 1, True)


async def test_paho_is_cut_off_for_what_it_may_not(core: CoreServer, store: Store) -> None:
    """A denied publish, a denied subscription and a denied CONNECT, all without a word."""
    options: dict[str, Any] = {"protocol": MQTTProtocolVersion.MQTTv311}
    car = store.identity("car")
    acts: list[Callable[[Any], object]] = [
        lambda client: client.publish("very/secret", b"x", qos=1),
        lambda client: client.subscribe([("fine", 1), ("very/secret", 1)]),
        lambda client: client.subscribe("t", 2),
        lambda client: client.publish("a/b/c/d/e/f/g/h/i", b"x"),
    ]
    for act in acts:
        async with paho_client(core, car, "car", **options) as client:
            await client.next("connected")
            act(client.client)
            kind = ""
            while kind != "disconnected":
                kind, reason = await client.events.get()
                assert kind in {"disconnected", "published"}  # at QoS 0 paho publishes by writing
            assert reason.value != 0
    async with paho_client(core, car, "bus", **options) as client:
        assert (await client.events.get())[0] in {"failed", "disconnected"}
    assert core.counters()["refused_connect_denied"] == 1


async def test_a_persistent_session_of_paho(core: CoreServer, store: Store) -> None:
    """Session Present, stored messages, and none of it for MQTT 5 under the same client id."""
    car = store.identity("car")
    kept: dict[str, Any] = {"protocol": MQTTProtocolVersion.MQTTv311, "clean_session": False}
    async with paho_client(core, car, "car", **kept) as client:
        assert not (await client.next("connected"))[0].session_present
        client.client.subscribe("cmd/car", 1)
        await client.next("subscribed")
    await core.publish("cmd/car", b"while you were away", qos=1)
    async with paho_client(core, car, "car", **kept) as client:
        assert (await client.next("connected"))[0].session_present
        assert (await client.next("message")).payload == b"while you were away"
    async with paho_client(core, car, "car", protocol=MQTTProtocolVersion.MQTTv5) as client:
        assert not (await client.next("connected"))[0].session_present


@pytest.mark.skipif(sys.platform == "win32", reason="aiomqtt needs a selector loop")
@pytest.mark.parametrize("listens", list(aiomqtt.ProtocolVersion)[1:])
@pytest.mark.parametrize("speaks", list(aiomqtt.ProtocolVersion)[1:])
async def test_aiomqtt_in_every_mix_of_versions(
    core: CoreServer, store: Store, listens: aiomqtt.ProtocolVersion, speaks: Any
) -> None:
    """Wildcards and a will."""

    def client(name: str, protocol: Any, **more: Any) -> aiomqtt.Client:
        context = mutual_tls(store.identity(name))
        return aiomqtt.Client(
            "localhost",
            core.port,
            identifier=name,
            protocol=protocol,
            tls_context=context,
            **more,
        )

    async with client("app", listens) as app:
        await app.subscribe("dt/#", qos=1)
        will = aiomqtt.Will("dt/car/gone", b"bye", qos=1)
        async with client("car", speaks, will=will) as car:
            await car.publish("dt/car/state", "ü".encode(), qos=1)
            message = await anext(app.messages)
            assert (str(message.topic), message.payload, message.qos) == (
                "dt/car/state",
                "ü".encode(),
                1,
            )
            core.drop("car")
            message = await anext(app.messages)
            assert (str(message.topic), message.payload) == ("dt/car/gone", b"bye")
            with pytest.raises(aiomqtt.MqttError):
                await car.publish("dt/car/state", b"after", qos=1, timeout=TIMEOUT_S)


def wait_for(future: Future[Any]) -> asyncio.Future[Any]:
    """A future of the AWS SDK, in the event loop."""
    return asyncio.wrap_future(future)


@asynccontextmanager
async def aws_connection(
    core: CoreServer, identity: Identity, client_id: str, **more: Any
) -> AsyncIterator[Any]:
    """A connection of the AWS SDK that speaks MQTT 3.1.1."""
    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(identity.certificate_path),
        pri_key_filepath=str(identity.key_path),
        ca_filepath=str(identity.ca_path),
        endpoint="localhost",
        port=core.port,
        client_id=client_id,
        **{"clean_session": True, "keep_alive_secs": 60, **more},
    )
    found = await wait_for(connection.connect())
    connection.session_present = found["session_present"]
    try:
        yield connection
    finally:
        await wait_for(connection.disconnect())


async def test_the_aws_sdk_talks_mqtt_3_1_1(core: CoreServer, store: Store) -> None:
    """The builder of the AWS SDK: subscribe, publish, receive, unsubscribe, resume a session."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[tuple[str, bytes, int, bool]] = asyncio.Queue()

    def hear(topic: str, payload: bytes, dup: bool, qos: crt.QoS, retain: bool, **_: Any) -> None:
        assert not dup
        loop.call_soon_threadsafe(heard.put_nowait, (topic, payload, int(qos), retain))

    car = store.identity("car")
    async with aws_connection(core, car, "car", clean_session=False) as connection:
        assert not connection.session_present
        done, _ = connection.subscribe("cmd/#", crt.QoS.AT_LEAST_ONCE, hear)
        assert int((await wait_for(done))["qos"]) == 1
        for qos in (crt.QoS.AT_MOST_ONCE, crt.QoS.AT_LEAST_ONCE):
            done, _ = connection.publish("cmd/a", b"hi", qos)
            await wait_for(done)
            assert await heard.get() == ("cmd/a", b"hi", int(qos), False)
    await core.publish("cmd/b", b"later", qos=1)
    async with aws_connection(core, car, "car", clean_session=False) as connection:
        assert connection.session_present
        done, _ = connection.unsubscribe("cmd/#")
        await wait_for(done)
        assert core.clients()[0].subscriptions == 0
    assert core.counters()["connects"] == 2


async def test_the_aws_sdk_is_interrupted_by_a_denied_publish(
    core: CoreServer, store: Store
) -> None:
    """And connects again by itself, as it does at AWS."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Queue[str] = asyncio.Queue()

    def note(what: str) -> Callable[..., object]:
        return lambda **_: loop.call_soon_threadsafe(seen.put_nowait, what)

    async with aws_connection(
        core,
        store.identity("car"),
        "car",
        on_connection_interrupted=note("interrupted"),
        on_connection_resumed=note("resumed"),
        reconnect_min_timeout_secs=1,
        reconnect_max_timeout_secs=1,
    ) as connection:
        connection.publish("very/secret", b"x", crt.QoS.AT_MOST_ONCE)
        assert await seen.get() == "interrupted"
        assert await seen.get() == "resumed"
    assert core.counters()["publish_denied"] >= 1
