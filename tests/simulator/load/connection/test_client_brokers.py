"""The client against brokers that are not ours to script: the IoT Core stand-in and Mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mqtt5
import pytest

from simulator.load.connection.client import Client, Endpoint, Pending, Settings
from simulator.load.connection.link import CLOSED_BY_PEER
from simulator.load.target.identities import AuthorityPem, mint_range
from simulator.load.target.opening import ClientTls
from simulator.load.target.reachability import Address
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import Setup
from tests.simulator.load.connection.scripted import Driver
from tests.simulator.load.connection.servers import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.load.target.identities import KeyPair

pytestmark = pytest.mark.usefixtures("no_complaints")

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")

NOW = datetime.now(UTC)
AUTHORITY = AuthorityPem.make("test", NOW)
FOREIGN = AuthorityPem.make("nobody's", NOW)
CAR, READER = mint_range(AUTHORITY, ["car-1", "reader"], NOW)
TLS = ClientTls(AUTHORITY.certificate_pem, HOST)


@asynccontextmanager
async def stand_in() -> AsyncIterator[Endpoint]:
    """The stand-in with mutual TLS, which knows both certificates."""
    setup = Setup(*AUTHORITY.server_pair((), NOW), [AUTHORITY.certificate_pem], "load", "open")
    async with StandIn(setup) as broker:
        known = [(pair.certificate_id, pair.thing) for pair in (CAR, READER)]
        await broker.register(known, "vehicle")
        yield endpoint(broker.port, encrypted=True)


@asynccontextmanager
async def mosquitto(folder: Path, *, encrypted: bool) -> AsyncIterator[Endpoint]:
    """Mosquitto with mutual TLS, or plain."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = int(sock.getsockname()[1])
    lines = [f"listener {port} {HOST}", "allow_anonymous true", "persistence false", "user root"]
    if encrypted:
        certificate, key = AUTHORITY.server_pair((), NOW)
        for name, pem in (
            ("cafile", AUTHORITY.certificate_pem),
            ("certfile", certificate),
            ("keyfile", key),
        ):
            (folder / name).write_bytes(pem)
            lines.append(f"{name} {folder / name}")
        lines.append("require_certificate true")
    (folder / "conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        str(MOSQUITTO),
        "-c",
        str(folder / "conf"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while b"running" not in (line := await process.stderr.readline()):
                assert line, "mosquitto did not start"
        yield endpoint(port, encrypted=encrypted)
    finally:
        process.kill()
        await process.communicate()


def endpoint(port: int, *, encrypted: bool) -> Endpoint:
    """Where clients connect."""
    address = Address(socket.AF_INET, (HOST, port))
    return Endpoint((address,), TLS.client_context() if encrypted else None)


BROKERS = [
    "stand-in",
    pytest.param("mosquitto-tls", marks=needs_mosquitto),
    pytest.param("mosquitto-plain", marks=needs_mosquitto),
]


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Endpoint]:
    """One of the brokers."""
    async with (
        stand_in()
        if request.param == "stand-in"
        else mosquitto(tmp_path, encrypted=request.param == "mosquitto-tls")
    ) as found:
        yield found


@asynccontextmanager
async def joined(
    where: Endpoint, pair: KeyPair, settings: Settings | None = None
) -> AsyncIterator[tuple[Client, Driver]]:
    """A client that is connected."""
    loop = asyncio.get_running_loop()
    driver = Driver()
    client = Client(driver, 0, pair.thing, settings or Settings(), loop, loop.time, pair)
    client.connect(where)
    await driver.hears("connected")
    try:
        yield client, driver
    finally:
        client.disconnect()


async def test_messages_arrive_once_and_in_order(broker: Endpoint) -> None:
    """Three hundred at QoS 1 through a window of 20, and ten at QoS 0, as another client reads."""
    loop = asyncio.get_running_loop()
    async with (
        joined(broker, READER) as (reader, ears),
        joined(broker, CAR, Settings(window=20)) as (car, mouth),
    ):
        reader.subscribe([("dt/morai/+/car-1/state", 1)], loop.time())
        assert await ears.hears("subscribed") == ("subscribed", [1])
        sink: list[float] = []
        for number in range(300):
            payload = number.to_bytes(2, "big") + bytes(number * 10)
            pending = Pending(loop.time(), sink, "dt/morai/load/car-1/state", payload, None, number)
            car.publish(pending, loop.time())
        await mouth.hears("acknowledged", 300)
        for number in range(10):
            packet = mqtt5.PublishPacket("dt/morai/load/car-1/state", bytes([number])).write()
            assert car.write_publish(packet, loop.time())
        await ears.hears("message", 310)

    assert [each[1:] for each in mouth.heard if each[0] == "acknowledged"] == [
        (number, 0) for number in range(300)
    ]
    assert len(sink) == 300
    assert [int.from_bytes(payload[:2], "big") for _, payload in ears.messages[:300]] == list(
        range(300)
    )
    assert [len(payload) for _, payload in ears.messages[:300]] == [2 + 10 * n for n in range(300)]
    assert [payload for _, payload in ears.messages[300:]] == [bytes([n]) for n in range(10)]
    assert [each[0] for each in ears.heard if each[0] == "ended"] == []


async def test_a_namesake_takes_the_session_over(broker: Endpoint) -> None:
    """The first of two clients of one name is out, told why or not, and may come back."""
    async with joined(broker, CAR) as (first, ears):
        async with joined(broker, CAR):
            _, cause, was_connected = await ears.hears("ended")
            # Mosquitto 2.0.11 closes without the DISCONNECT.
            assert cause in {"DISCONNECT 0x8E session taken over", CLOSED_BY_PEER}
            assert was_connected
        first.connect(broker)
        await ears.hears("connected", 2)


async def test_what_was_lost_is_sent_again(broker: Endpoint) -> None:
    """A connection that is cut with publishes in flight: they arrive after the next one stands."""
    loop = asyncio.get_running_loop()
    async with (
        joined(broker, READER) as (reader, ears),
        joined(broker, CAR, Settings(is_persistent=True)) as (car, mouth),
    ):
        reader.subscribe([("t/+", 1)], loop.time())
        await ears.hears("subscribed")
        assert car.link is not None
        car.link.mute()
        for number in range(5):
            car.publish(Pending(loop.time(), [], "t/a", bytes([number]), None, number), loop.time())
        car.abort()
        assert len(car.in_flight) == 5

        car.connect(broker)

        assert await mouth.hears("resent") == ("resent", 5)
        await mouth.hears("acknowledged", 5)
        await ears.hears("message", 5)
    assert [payload for _, payload in ears.messages] == [bytes([n]) for n in range(5)]


async def test_an_idle_connection_is_kept(broker: Endpoint) -> None:
    """A ping of the client is answered."""
    async with joined(broker, CAR, Settings(keep_alive_s=40)) as (car, _):
        before = car._last_read_s
        now_s = asyncio.get_running_loop().time() + 31
        car.look_after(now_s)
        pinged_s = car._ping_sent_s
        assert pinged_s == now_s
        async with asyncio.timeout(20):
            while car._ping_sent_s is not None:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.001)
        assert car._last_read_s > before
        assert car.is_connected


@pytest.mark.parametrize("kind", ["stand-in", pytest.param("mosquitto", marks=needs_mosquitto)])
async def test_a_certificate_of_nobody_is_refused(kind: str, tmp_path: Path) -> None:
    """The client is not let in, and says that the connection ended before it was."""
    [stranger] = mint_range(FOREIGN, ["car-1"], NOW)
    async with contextlib.AsyncExitStack() as stack:
        where = await stack.enter_async_context(
            stand_in() if kind == "stand-in" else mosquitto(tmp_path, encrypted=True)
        )
        loop = asyncio.get_running_loop()
        driver = Driver()
        client = Client(driver, 0, "car-1", Settings(), loop, loop.time, CAR)
        client.connect(where, stranger)
        _, cause, was_connected = await driver.hears("ended")
        assert cause.startswith(("TLS: ", "TCP: "))
        assert not was_connected
        assert client.attempts == 1

        client.connect(where)
        await driver.hears("connected")
        assert client.attempts == 0
        client.disconnect()
