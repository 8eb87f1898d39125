"""Custom authorizers over MQTT: what they are shown, what their answers do, how long that lasts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.lambdas import Lambdas
from tests.client_tls import mutual_tls, trusting
from tests.simulator.iotcore.transports.rig import (
    FUNCTION,
    TIMEOUT_S,
    add_authorizer,
    doorman,
    make_server,
    permit,
    still_clock,
    wanted,
    wire,
)
from tests.waiting import until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from certs.store import Store
    from simulator.iotcore.server import CoreServer
    from tests.simulator.iotcore.transports.rig import Wire

NAMED = "?x-amz-customauthorizer-name=doorman"


@pytest.fixture
def nobody(store: Store) -> ssl.SSLContext:
    """TLS without a certificate."""
    return trusting(store.identity("car"), alpn="mqtt")


async def connect(client: Wire, client_id: str, username: str | None = NAMED) -> int | None:
    """Send CONNECT; the reason code of CONNACK, None without one."""
    client.send(mqtt5.ConnectPacket(client_id, username=username, session_expiry_interval=600))
    answer = await client.receive()
    return None if answer is None else int(answer.reason_code)


async def subscribe(client: Wire, *patterns: str) -> list[int]:
    """Subscribe; the reason codes."""
    client.send(mqtt5.SubscribePacket(1, [wanted(pattern) for pattern in patterns]))
    return [int(code) for code in (await client.receive()).reason_codes]


async def test_the_answers_policies_and_name_are_in_force(
    store: Store, nobody: ssl.SSLContext
) -> None:
    """Its policies decide, with variables of the connection, and events carry its principalId."""
    answer = permit("iot:Connect", "iot:Subscribe", "iot:Receive")
    statement = answer["policyDocuments"][0]["Statement"][0]
    statement["Resource"] = ["*:client/*", "*:topicfilter/own/${iot:ClientId}", "*:topic/*"]
    # Documents may come as text as well.
    answer["policyDocuments"] = [json.dumps(answer["policyDocuments"][0])]
    lambdas, _ = doorman(answer)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas) as core,
        wire(core, mutual_tls(store.identity("app"))) as app,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        assert await connect(app, "app", None) == 0
        await subscribe(app, "$aws/events/presence/connected/driver")
        assert await connect(driver, "driver") == 0
        assert await subscribe(driver, "own/driver", "own/app") == [1, 0x87]
        event = json.loads((await app.receive()).payload)
    assert event["principalIdentifier"] == "driver7"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "yes",
        {"isAuthenticated": "true", "principalId": "x", "policyDocuments": []},
        {"isAuthenticated": False},
        permit(principalId="not alphanumeric!"),
        permit(principalId="x" * 129),
        permit(disconnectAfterInSeconds=299),
        permit(disconnectAfterInSeconds=86_401),
        permit(refreshAfterInSeconds="300"),
        permit(policyDocuments={"Version": "2012-10-17"}),
        permit(policyDocuments=["{"]),
        permit(policyDocuments=[permit()["policyDocuments"][0]] * 11),
        permit("iot:Subscribe"),
    ],
)
async def test_an_answer_that_does_not_let_the_client_in(
    store: Store, nobody: ssl.SSLContext, answer: Any
) -> None:
    """CONNACK 0x87 for no, for what breaks the rules of answers, and without iot:Connect."""
    lambdas, _ = doorman(answer)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        assert await connect(driver, "driver") == 0x87
        assert await driver.receive() is None


async def test_a_function_that_fails_or_is_missing(store: Store, nobody: ssl.SSLContext) -> None:
    """Refused like any other client, and the process goes on."""

    def broken(_event: Any, _context: Any) -> Any:
        raise ZeroDivisionError

    for lambdas in (Lambdas({FUNCTION: broken}), Lambdas()):
        async with (
            asyncio.timeout(TIMEOUT_S),
            make_server(store, lambdas=lambdas) as core,
            wire(core, nobody) as driver,
        ):
            add_authorizer(core)
            assert await connect(driver, "driver") == 0x87
            assert core.counters()["refused_by_authorizer"] == 1


def _nested() -> Any:
    """A document deeper than the interpreter's stack."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


def _circular() -> Any:
    """A document that holds itself."""
    document: dict[str, Any] = {}
    document["Statement"] = document
    return document


@pytest.mark.parametrize("make", [_nested, _circular])
async def test_an_answer_that_cannot_be_read(
    store: Store, nobody: ssl.SSLContext, make: Callable[[], Any]
) -> None:
    """The client is refused and does not wait for ever."""
    lambdas, _ = doorman(permit() | {"policyDocuments": [make()]})
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        assert await connect(driver, "driver") == 0x87
        assert core.counters()["refused_by_authorizer"] == 1


@pytest.mark.parametrize("name", ["nobody", "asleep"])
async def test_an_authorizer_that_does_not_exist_or_is_inactive(
    store: Store, nobody: ssl.SSLContext, name: str
) -> None:
    """The function is not asked."""
    lambdas, events = doorman(permit())
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core, "asleep", is_active=False)
        assert await connect(driver, "driver", f"?x-amz-customauthorizer-name={name}") == 0x87
    assert events == []


async def test_a_client_of_mqtt_3_1_1(store: Store, nobody: ssl.SSLContext) -> None:
    """The user name is read from its CONNECT as well; a refusal is a close without CONNACK."""
    # MQTT 3.1.1 section 3.1: user name and clean session, no password.
    name = NAMED.encode()
    rest = bytes.fromhex("0004 4d515454 04 82 003c 0001 63") + len(name).to_bytes(2, "big") + name
    packet = bytes([0x10, len(rest)]) + rest
    answers = [permit(), None]
    lambdas, _ = doorman(lambda _event: answers.pop(0))
    async with asyncio.timeout(TIMEOUT_S), make_server(store, lambdas=lambdas) as core:
        add_authorizer(core)
        async with wire(core, nobody) as driver:
            driver.send(packet)
            assert await driver.reader.readexactly(4) == b"\x20\x02\x00\x00"
        async with wire(core, nobody) as driver:
            driver.send(packet)
            assert await driver.reader.read() == b""


async def test_the_default_authorizer_serves_who_names_none(
    store: Store, nobody: ssl.SSLContext
) -> None:
    """Without a default such a client is closed without CONNACK, as without a certificate."""
    lambdas, events = doorman(permit())
    async with asyncio.timeout(TIMEOUT_S), make_server(store, lambdas=lambdas) as core:
        add_authorizer(core)
        async with wire(core, nobody) as driver:
            assert await connect(driver, "driver", "me") is None
        core.registry.set_default_authorizer("doorman")
        async with wire(core, nobody) as driver:
            assert await connect(driver, "driver", "me") == 0
    assert events[0]["protocolData"]["mqtt"] == {"clientId": "driver", "username": "me"}
    assert events[0]["protocols"] == ["tls", "mqtt"]


async def test_a_certificate_needs_no_authorizer(store: Store) -> None:
    """Without ALPN a client certificate decides, whatever the user name says."""
    lambdas, events = doorman(permit())
    async with asyncio.timeout(TIMEOUT_S), make_server(store, lambdas=lambdas) as core:
        add_authorizer(core)
        async with wire(core, mutual_tls(store.identity("car"))) as car:
            assert await connect(car, "car") == 0
    assert events == []


async def test_a_grant_ends_the_connection(store: Store, nobody: ssl.SSLContext) -> None:
    """After disconnectAfterInSeconds, with the reason in what GetConnection remembers."""
    answer = permit(disconnectAfterInSeconds=600)
    del answer["refreshAfterInSeconds"]
    lambdas, _ = doorman(answer)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas, clock=still_clock()) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        assert await connect(driver, "driver") == 0
        core.travel(599)
        driver.send(mqtt5.PingReqPacket())
        assert isinstance(await driver.receive(), mqtt5.PingRespPacket)
        core.travel(1)
        assert await driver.receive() is None
        ended = core.broker.connectivity("driver", core.clock.now_s())
    assert ended is not None
    assert ended.reason == "CUSTOMAUTH_TTL_EXPIRATION"


async def test_the_authorizer_is_asked_again(store: Store, nobody: ssl.SSLContext) -> None:
    """After refreshAfterInSeconds: new policies hold at once, also where the old were learned."""
    answers = [permit(), permit("iot:Connect"), {"isAuthenticated": False}]
    lambdas, events = doorman(lambda _event: answers.pop(0))
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas, clock=still_clock()) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        assert await connect(driver, "driver") == 0

        async def publish() -> int:
            driver.send(mqtt5.PublishPacket("t", b"x", qos=mqtt5.QoS(1), packet_id=1))
            return int((await driver.receive()).reason_code)

        assert [await publish(), await publish()] == [0, 0]
        core.travel(300)
        await until(lambda: len(events) == 2)
        assert await publish() == 0x87
        core.travel(300)
        assert await driver.receive() is None
    assert len({event["connectionMetadata"]["id"] for event in events}) == 1


async def test_a_client_that_leaves_while_its_authorizer_thinks(
    store: Store, nobody: ssl.SSLContext
) -> None:
    """Nothing is left of it, and the server can stop."""
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def slow(_event: Any, _context: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    core: CoreServer
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=Lambdas({FUNCTION: slow})) as core,
    ):
        add_authorizer(core)
        async with wire(core, nobody) as driver:
            driver.send(mqtt5.ConnectPacket("driver", username=NAMED))
            await asked.wait()
        await gone.wait()
        assert core.counters()["connections"] == 0


async def test_packets_after_connect_are_a_protocol_error_here_too(
    store: Store, nobody: ssl.SSLContext
) -> None:
    """A client that does not wait for CONNACK is treated as with a certificate."""
    lambdas, _ = doorman(permit())
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, lambdas=lambdas) as core,
        wire(core, nobody) as driver,
    ):
        add_authorizer(core)
        hasty = mqtt5.ConnectPacket("driver", username=NAMED).write()
        driver.send(hasty + mqtt5.PingReqPacket().write())
        assert int((await driver.receive()).reason_code) == 0
        assert int((await driver.receive()).reason_code) == 0x82
