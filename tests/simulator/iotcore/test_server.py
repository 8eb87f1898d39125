"""The stand-in over real sockets and TLS, with the clients that people use."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiomqtt
import mqtt5
import pytest
from awscrt import mqtt5 as crt
from awsiot import mqtt5_client_builder
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from certs.errors import ConfigurationError, LinkError
from certs.store import Identity, Store
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus, Registry
from simulator.iotcore.registry_files import DEVELOPMENT_POLICY, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

POLICY = Policy.parse(
    "vehicle",
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "*/secret"},
        ],
    },
)
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of two registered things, one unregistered and one expired."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority(now=datetime.now(UTC) - timedelta(days=10))
    found.issue_server()
    list(found.issue_things(["car", "app", "stranger"]))
    found.issue_thing("expired", now=datetime.now(UTC) - timedelta(days=9), days=2)
    return found


def make_server(store: Store, **options: Any) -> CoreServer:
    """A server that knows the car, the application and the expired certificate."""
    registry = Registry()
    registry.put_policy(POLICY)
    for name in ("car", "app", "expired"):
        register(registry, store.identity(name).certificate_id(), [name], ["vehicle"])
    identity = store.server_identity()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    return CoreServer(registry, tls, port=0, **options)


@pytest.fixture
async def core(store: Store) -> AsyncIterator[CoreServer]:
    """A running server."""
    async with make_server(store) as server:
        yield server


def application(
    core: CoreServer, identity: Identity, client_id: str, **more: Any
) -> aiomqtt.Client:
    """A client as an application would write it."""
    return aiomqtt.Client(
        "localhost",
        core.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=mutual_tls(identity),
        **more,
    )


class Wire:
    """A TLS connection that speaks packets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    def send(self, packet: Any) -> None:
        """Write a packet."""
        self.writer.write(packet.write())

    async def receive(self) -> Any:
        """The next packet; None when the server has closed."""
        while True:
            try:
                packet, size = mqtt5.read(memoryview(self._rest))
            except IndexError:
                try:
                    data = await self.reader.read(65_536)
                except (ConnectionError, ssl.SSLError):
                    return None
                if not data:
                    return None
                self._rest += data
            else:
                self._rest = self._rest[size:]
                return packet


@asynccontextmanager
async def wire(core: CoreServer, identity: Identity, **more: Any) -> AsyncIterator[Wire]:
    """A bare TLS connection."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", core.port, ssl=mutual_tls(identity), server_hostname="localhost", **more
    )
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def joined(core: CoreServer, identity: Identity, client_id: str, **more: Any) -> Any:
    """A bare connection that was accepted."""
    async with wire(core, identity) as found:
        found.send(mqtt5.ConnectPacket(client_id, **more))
        connack = await found.receive()
        assert connack.reason_code == mqtt5.ConnAckReasonCode.SUCCESS
        yield found


def at_qos_1(pattern: str) -> mqtt5.TopicFilter:
    """An entry of a SUBSCRIBE."""
    return mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE)


def run_with(loop_kind: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on one kind of event loop."""
    if loop_kind == "asyncio":
        asyncio.run(main())
        return
    uvloop = pytest.importorskip("uvloop", reason="uvloop does not exist on Windows")
    uvloop.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="paho needs a selector loop")
@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_an_application_and_a_car_talk(store: Store, loop_kind: str) -> None:
    """Aiomqtt over mutual TLS: wildcards, QoS 0 and 1, retained, properties, on both loops."""

    async def scenario() -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            make_server(store) as core,
            application(core, store.identity("app"), "app") as app,
            application(core, store.identity("car"), "car") as car,
        ):
            await app.subscribe("dt/+/state", qos=1)
            said: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's own
            said.ContentType = "application/json"
            await car.publish("dt/car/state", b'{"speed": 1}', qos=1, properties=said)
            await car.publish("dt/car/state", b"zero", qos=0)
            await car.publish("dt/car/note", b"not for you", qos=1)
            await car.publish("dt/kept/state", b"kept", qos=1, retain=True)
            messages = app.messages
            got = [await anext(messages) for _ in range(3)]
            assert [str(m.topic) for m in got] == ["dt/car/state", "dt/car/state", "dt/kept/state"]
            assert [m.payload for m in got] == [b'{"speed": 1}', b"zero", b"kept"]
            assert [m.qos for m in got] == [1, 0, 1]
            heard: Any = got[0].properties
            assert heard.ContentType == "application/json"
            await app.subscribe("dt/kept/state", qos=1)
            assert (await anext(messages)).retain
            assert {client.client_id for client in core.clients()} == {"app", "car"}
        assert core.counters()["publishes_in"] == 4

    run_with(loop_kind, scenario)


@pytest.mark.skipif(sys.platform == "win32", reason="paho needs a selector loop")
async def test_an_application_learns_what_is_denied(core: CoreServer, store: Store) -> None:
    """Aiomqtt sees the reason codes of a subscribe and a publish."""
    async with asyncio.timeout(TIMEOUT_S), application(core, store.identity("app"), "app") as app:
        codes = await app.subscribe([("open", 1), ("very/secret", 1)])
        assert [getattr(code, "value", code) for code in codes] == [1, 0x87]
        await app.publish("very/secret", b"x", qos=1)
    assert core.counters()["publish_denied"] == 1


async def test_the_aws_device_sdk_connects_publishes_and_subscribes(
    core: CoreServer, store: Store
) -> None:
    """The awsiotsdk package's MQTT 5 client, unchanged but for the port and the CA."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[Any] = loop.create_future()
    stopped: asyncio.Future[None] = loop.create_future()
    received: asyncio.Queue[Any] = asyncio.Queue()
    identity = store.identity("car")

    def hand_over(future: asyncio.Future[Any], value: Any) -> None:
        if not future.done():
            future.set_result(value)

    client = mqtt5_client_builder.mtls_from_path(
        str(identity.certificate_path),
        str(identity.key_path),
        endpoint="localhost",
        port=core.port,
        ca_filepath=str(identity.ca_path),
        client_id="car",
        keep_alive_interval_sec=60,
        ack_timeout_sec=10,
        session_expiry_interval_sec=120,
        on_lifecycle_connection_success=lambda data: loop.call_soon_threadsafe(
            hand_over, connected, data
        ),
        on_lifecycle_connection_failure=lambda data: loop.call_soon_threadsafe(
            hand_over, connected, data
        ),
        on_lifecycle_stopped=lambda _data: loop.call_soon_threadsafe(hand_over, stopped, None),
        on_publish_received=lambda data: loop.call_soon_threadsafe(
            received.put_nowait, data.publish_packet
        ),
    )
    async with asyncio.timeout(TIMEOUT_S):
        client.start()
        try:
            settings = (await connected).negotiated_settings
            assert settings.maximum_qos is crt.QoS.AT_LEAST_ONCE
            assert settings.session_expiry_interval_sec == 120
            assert settings.server_keep_alive_sec == 60
            assert settings.receive_maximum_from_server == 100
            assert settings.maximum_packet_size_to_server == 149_504
            assert not settings.subscription_identifiers_available
            suback = await asyncio.wrap_future(
                client.subscribe(
                    crt.SubscribePacket(
                        [
                            crt.Subscription("cmd/car/#", crt.QoS.AT_LEAST_ONCE),
                            crt.Subscription("very/secret", crt.QoS.AT_LEAST_ONCE),
                        ]
                    )
                )
            )
            assert [int(code) for code in suback.reason_codes] == [1, 0x87]

            async def publish(topic: str) -> int:
                done = await asyncio.wrap_future(
                    client.publish(
                        crt.PublishPacket(topic=topic, payload=b"hi", qos=crt.QoS.AT_LEAST_ONCE)
                    )
                )
                return int(done.puback.reason_code)

            assert await publish("cmd/car/x") == 0
            assert await publish("very/secret") == 0x87
            packet = await received.get()
            assert (packet.topic, packet.payload) == ("cmd/car/x", b"hi")
        finally:
            client.stop()
            await stopped
    assert core.counters()["publish_denied"] == 1


mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="the mosquitto clients are not installed"
)


@mosquitto
@pytest.mark.parametrize(("listens", "speaks"), [("5", "5"), ("mqttv311", "5"), ("5", "mqttv311")])
async def test_the_mosquitto_clients_talk(
    core: CoreServer, store: Store, listens: str, speaks: str
) -> None:
    """mosquitto_sub gets what mosquitto_pub says, whatever versions they speak."""

    async def run(program: str, name: str, arguments: str) -> asyncio.subprocess.Process:
        identity = store.identity(name)
        files = f"--cafile {identity.ca_path} --key {identity.key_path}"
        line = f"-h localhost -p {core.port} {files} --cert {identity.certificate_path} {arguments}"
        return await asyncio.create_subprocess_exec(
            program, *line.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    async with asyncio.timeout(TIMEOUT_S):
        options = f"-V {listens} -i app -q 1 -t dt/# -C 2 -F %t=%p -W 15"
        listener = await run("mosquitto_sub", "app", options)
        await until(lambda: core.counters()["subscribes"] == 1)
        for payload in ("one", "two"):
            options = f"-V {speaks} -i car -q 1 -t dt/x -m {payload}"
            speaker = await run("mosquitto_pub", "car", options)
            await speaker.communicate()
            assert speaker.returncode == 0
        out, _ = await listener.communicate()
        assert out.decode().split() == ["dt/x=one", "dt/x=two"]


async def test_an_unregistered_certificate_gets_through_tls_and_no_further(
    core: CoreServer, store: Store
) -> None:
    """Signed by the CA but not registered: closed after CONNECT without a byte."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, store.identity("stranger")) as stranger:
        stranger.send(mqtt5.ConnectPacket("stranger"))
        assert await stranger.receive() is None
    assert core.counters()["refused_certificate_not_active"] == 1


async def test_deactivating_a_certificate_disconnects_within_seconds(
    core: CoreServer, store: Store
) -> None:
    """The registry may change while the server runs."""
    key = store.identity("car").certificate_id()
    async with asyncio.timeout(TIMEOUT_S), joined(core, store.identity("car"), "car") as car:
        core.registry.set_status(key, CertificateStatus.INACTIVE)
        goodbye = await car.receive()
        assert int(goodbye.reason_code) == 0x87
        assert await car.receive() is None


async def test_certificates_that_tls_refuses_harm_nobody(
    core: CoreServer, store: Store, tmp_path: Path
) -> None:
    """Foreign CA, expired certificate, no certificate, no TLS at all: the server goes on."""
    foreign = Store(tmp_path)
    foreign.init_authority()
    foreign.issue_thing("car")
    contexts = [mutual_tls(store.identity("expired"))]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(store.ca_certificate_path)
    contexts.append(context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(store.ca_certificate_path)
    context.load_cert_chain(
        foreign.identity("car").certificate_path, foreign.identity("car").key_path
    )
    contexts.append(context)
    async with asyncio.timeout(TIMEOUT_S):
        for context in contexts:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", core.port, ssl=context, server_hostname="localhost"
            )
            refused = Wire(reader, writer)
            refused.send(mqtt5.ConnectPacket("x"))
            # With TLS 1.3 the client learns of the refusal when it reads.
            assert await refused.receive() is None
            writer.transport.abort()
        _, plain = await asyncio.open_connection("127.0.0.1", core.port)
        plain.write(b"GET / HTTP/1.1\r\n\r\n")
        plain.transport.abort()
        async with joined(core, store.identity("car"), "car") as car:
            car.send(mqtt5.PingReqPacket())
            assert isinstance(await car.receive(), mqtt5.PingRespPacket)
    assert core.counters()["tls_failed"] == 3
    assert core.counters()["refused_certificate_not_active"] == 1
    assert core.counters()["connects"] == 1


async def test_a_certificate_of_no_known_ca_can_be_trusted_by_itself(
    store: Store, tmp_path: Path
) -> None:
    """As RegisterCertificateWithoutCA: the certificate's own file is named as trusted."""
    foreign = Store(tmp_path)
    foreign.init_authority()
    identity = foreign.issue_thing("bus")
    server = store.server_identity()
    registry = Registry()
    registry.put_policy(DEVELOPMENT_POLICY)
    register(registry, identity.certificate_id(), ["bus"], ["development"])
    tls = ServerTls(server.certificate_path, server.key_path, [identity.certificate_path])
    context = mutual_tls(identity, ca_path=store.ca_certificate_path)
    async with asyncio.timeout(TIMEOUT_S), CoreServer(registry, tls, port=0) as core:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", core.port, ssl=context, server_hostname="localhost"
        )
        bus = Wire(reader, writer)
        bus.send(mqtt5.ConnectPacket("bus"))
        assert int((await bus.receive()).reason_code) == 0
        writer.transport.abort()


async def test_an_outage_and_its_end(core: CoreServer, store: Store) -> None:
    """Cut connections, refuse new ones, then serve again on the same port with sessions kept."""
    car = store.identity("car")
    async with asyncio.timeout(TIMEOUT_S):
        async with joined(core, car, "car", session_expiry_interval=60) as before:
            before.send(mqtt5.SubscribePacket(1, [at_qos_1("cmd/car")]))
            await before.receive()
            await core.stop_listening()
            assert core.drop_all() == 1
            assert await before.receive() is None
        with pytest.raises(ConnectionError):
            async with wire(core, car):
                pass
        await until(lambda: core.counters()["connections"] == 0)
        await core.publish("cmd/car", b"while you were away", qos=1)
        port = core.port
        await core.start_listening()
        assert core.port == port
        async with wire(core, car) as after:
            after.send(mqtt5.ConnectPacket("car", session_expiry_interval=60))
            assert (await after.receive()).session_present
            assert (await after.receive()).payload == b"while you were away"


async def test_one_connection_can_be_cut_or_ended(core: CoreServer, store: Store) -> None:
    """`drop` says nothing, `disconnect` says 0x98; both report unknown clients."""
    async with asyncio.timeout(TIMEOUT_S):
        async with joined(core, store.identity("car"), "car") as car:
            assert core.drop("car")
            assert await car.receive() is None
        async with joined(core, store.identity("car"), "car") as car:
            assert core.disconnect("car")
            assert int((await car.receive()).reason_code) == 0x98
            assert await car.receive() is None
    assert not core.drop("nobody")
    assert not core.disconnect("nobody")


async def test_the_process_publishes(core: CoreServer, store: Store) -> None:
    """Services publish without a connection; a bad topic is their mistake."""
    async with asyncio.timeout(TIMEOUT_S), joined(core, store.identity("car"), "car") as car:
        car.send(mqtt5.SubscribePacket(1, [at_qos_1("note")]))
        await car.receive()
        await core.publish("note", b"hello", qos=1, content_type="text/plain")
        packet = await car.receive()
        assert (packet.payload, packet.content_type) == (b"hello", "text/plain")
    for topic, qos in (("a/#", 0), ("a", 2)):
        with pytest.raises(ConfigurationError):
            await core.publish(topic, b"", qos=qos)


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_a_client_that_does_not_read_does_not_hold_up_the_others(
    store: Store, loop_kind: str
) -> None:
    """QoS 0 for it is dropped and counted while a reader beside it gets everything."""
    limits = Limits(outgoing_soft_bytes=50_000, outgoing_hard_bytes=10_000_000)
    payload, number = b"x" * 10_000, 1_500

    async def scenario() -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            make_server(store, limits=limits) as core,
            joined(core, store.identity("app"), "slow") as slow,
            joined(core, store.identity("app"), "quick") as quick,
        ):
            for listener in (slow, quick):
                entry = mqtt5.TopicFilter("t", max_qos=mqtt5.QoS.AT_MOST_ONCE)
                listener.send(mqtt5.SubscribePacket(1, [entry]))
                assert isinstance(await listener.receive(), mqtt5.SubAckPacket)
            # Nobody reads this stream any more: the loop stops reading from its socket.
            slow.writer.transport.pause_reading()
            for _ in range(number):
                await core.publish("t", payload)
                assert (await quick.receive()).payload == payload
            assert core.counters()["dropped_slow_reader"] > 0

    run_with(loop_kind, scenario)


def test_the_port_is_taken(store: Store) -> None:
    """A link error that names the port and what to do."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = make_server(store)
            server.port = taken.getsockname()[1]
            with pytest.raises(LinkError, match=str(server.port)):
                async with server:
                    pass

    asyncio.run(scenario())


@pytest.mark.parametrize("broken", ["certificate", "key", "trusted", "none", "foreign key"])
def test_broken_tls_files_are_configuration_errors(
    store: Store, tmp_path: Path, broken: str
) -> None:
    """Missing, damaged or mismatched files are named."""
    server = store.server_identity()
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate", encoding="ascii")
    bad.chmod(0o600)
    tls = {
        "certificate": ServerTls(bad, server.key_path, [server.ca_path]),
        "key": ServerTls(server.certificate_path, bad, [server.ca_path]),
        "trusted": ServerTls(server.certificate_path, server.key_path, [bad]),
        "none": ServerTls(server.certificate_path, server.key_path, []),
        "foreign key": ServerTls(
            server.certificate_path, store.identity("car").key_path, [server.ca_path]
        ),
    }[broken]
    with pytest.raises(ConfigurationError):
        tls.context()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are a Unix matter")
def test_a_server_key_that_others_can_read_is_refused(store: Store, tmp_path: Path) -> None:
    """As for every key of the product."""
    server = store.server_identity()
    key = tmp_path / "key.pem"
    key.write_bytes(server.key_path.read_bytes())
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"key\.pem"):
        ServerTls(server.certificate_path, key, [server.ca_path]).context()


async def test_shutting_down_says_goodbye(store: Store) -> None:
    """Clients get 0x8B and a close; leaving the server does not hang on them."""
    async with asyncio.timeout(TIMEOUT_S):
        server = make_server(store)
        async with server:
            found = joined(server, store.identity("car"), "car")
            car = await found.__aenter__()
        assert int((await car.receive()).reason_code) == 0x8B
        assert await car.receive() is None
        await found.__aexit__(None, None, None)
