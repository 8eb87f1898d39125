"""MQTT over WebSocket."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import aiomqtt
import mqtt5
import pytest
from aiohttp import WSMsgType
from yarl import URL

from simulator.iotcore.api.sigv4 import AccessKey, Keyring
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.permissions.policy import Policy
from tests.client_tls import trusting
from tests.simulator.iotcore.transports.rig import (
    ACCESS_KEY,
    SECRET_KEY,
    TIMEOUT_S,
    Packets,
    add_authorizer,
    doorman,
    make_server,
    permit,
    signed_path,
    still_clock,
    wanted,
    wire,
)
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from certs.store import Store
    from simulator.iotcore.server import CoreServer

READER = Policy.parse(
    "reader",
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["iot:Connect", "iot:Receive"], "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*topicfilter/dt/*"},
        ],
    },
)


class Socket:
    """A WebSocket that speaks MQTT packets."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._packets = Packets()

    async def send(self, packet: Any) -> None:
        """Send a packet in a frame of its own."""
        await self.socket.send_bytes(packet.write())

    async def receive(self) -> Any:
        """The next packet; None when the server has closed."""
        while (packet := self._packets.take()) is None:
            message = await self.socket.receive()
            if message.type is not WSMsgType.BINARY:
                return None
            self._packets.rest += message.data
        return packet


@asynccontextmanager
async def dialled(
    core: CoreServer, store: Store, path: str | None = None, **more: Any
) -> AsyncIterator[Socket]:
    """An open WebSocket."""
    more.setdefault("protocols", ("mqtt",))
    async with (
        asyncio.timeout(TIMEOUT_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(
            # As it is: the signature covers how the query was encoded.
            URL(f"https://localhost:{core.port}{path or signed_path(core)}", encoded=True),
            ssl=trusting(store.identity("car")),
            **more,
        ) as socket,
    ):
        yield Socket(socket)


@asynccontextmanager
async def joined(
    core: CoreServer, store: Store, client_id: str, path: str | None = None, **more: Any
) -> AsyncIterator[Socket]:
    """A WebSocket whose CONNECT was accepted."""
    async with dialled(core, store, path) as found:
        await found.send(mqtt5.ConnectPacket(client_id, **more))
        assert int((await found.receive()).reason_code) == 0
        yield found


@pytest.fixture
async def core(store: Store) -> AsyncIterator[CoreServer]:
    """A running server that takes any access key."""
    async with make_server(store) as server:
        yield server


@pytest.mark.skipif(sys.platform == "win32", reason="paho needs a selector loop")
@pytest.mark.parametrize(
    "version", [aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311], ids=str
)
async def test_aiomqtt_talks_over_a_signed_websocket(
    core: CoreServer, store: Store, version: aiomqtt.ProtocolVersion
) -> None:
    """A presigned URL with a session token that was appended after signing."""
    async with (
        asyncio.timeout(TIMEOUT_S),
        aiomqtt.Client(
            "localhost",
            core.port,
            identifier="browser",
            protocol=version,
            transport="websockets",
            websocket_path=signed_path(core, "a/token+of=Cognito"),
            tls_context=trusting(store.identity("car")),
        ) as app,
    ):
        await app.subscribe("dt/#", qos=1)
        await app.publish("dt/x", b"x" * 100_000, qos=1)
        await app.publish("dt/y", b"small", qos=0)
        got = [await anext(app.messages) for _ in range(2)]
        assert [(str(m.topic), len(bytes(m.payload))) for m in got] == [
            ("dt/x", 100_000),
            ("dt/y", 5),
        ]


async def test_packets_may_span_frames_and_share_them(core: CoreServer, store: Store) -> None:
    """One byte a frame, then two packets in one frame."""
    async with dialled(core, store) as client:
        for byte in mqtt5.ConnectPacket("bytewise").write():
            await client.socket.send_bytes(bytes([byte]))
        assert int((await client.receive()).reason_code) == 0
        ping = mqtt5.PingReqPacket().write()
        await client.socket.send_bytes(ping + ping)
        for _ in range(2):
            assert isinstance(await client.receive(), mqtt5.PingRespPacket)


async def test_a_large_message_arrives_whole(core: CoreServer, store: Store) -> None:
    """A payload of the largest size, out over a WebSocket in as many frames as it takes."""
    async with joined(core, store, "reader") as reader:
        await reader.send(mqtt5.SubscribePacket(1, [wanted("big")]))
        await reader.receive()
        await core.publish("big", b"b" * 131_072, qos=1)
        assert (await reader.receive()).payload == b"b" * 131_072


async def test_a_close_frame_is_a_disconnect_and_a_lost_socket_is_not(
    core: CoreServer, store: Store
) -> None:
    """After a close frame no will goes out; after a broken connection it does."""
    will = mqtt5.Will(topic="wills", payload=b"last words")
    async with joined(core, store, "observer") as observer:
        entries = [wanted("wills"), wanted("$aws/events/presence/#")]
        await observer.send(mqtt5.SubscribePacket(1, entries))
        await observer.receive()

        async def leave(name: str, how: str) -> tuple[list[str], str]:
            async with joined(core, store, name, will=will) as client:
                if how == "close":
                    await client.socket.close()
                else:
                    assert client.socket._response.connection is not None
                    transport = client.socket._response.connection.transport
                    assert transport is not None
                    transport.abort()
                said: list[str] = []
                while True:
                    packet = await observer.receive()
                    said.append(packet.topic)
                    if "/disconnected/" in packet.topic:
                        reason = json.loads(packet.payload)["disconnectReason"]
                        break
            return said, reason

        said, reason = await leave("polite", "close")
        assert reason == "CLIENT_INITIATED_DISCONNECT"
        assert "wills" not in said
        _, reason = await leave("rude", "abort")
        assert reason == "CONNECTION_LOST"
        assert (await observer.receive()).topic == "wills"


async def test_a_text_frame_ends_the_connection(core: CoreServer, store: Store) -> None:
    """Closed with 1003, unsupported data."""
    async with joined(core, store, "texter") as client:
        await client.socket.send_str("hello")
        message = await client.socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1003)
    assert core.counters()["closed_text_frame"] == 1
    await until(lambda: core.counters()["connections"] == 0)


async def test_an_oversized_frame_ends_the_connection(core: CoreServer, store: Store) -> None:
    """Closed with 1009, too big, before the server has it all in memory."""
    async with joined(core, store, "giant") as client:
        await client.socket.send_bytes(b"\x30" * (300 * 1024))
        message = await client.socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
    assert core.counters()["closed_invalid_frame"] == 1


async def test_an_oversized_packet_in_a_frame_ends_the_connection(
    core: CoreServer, store: Store
) -> None:
    """DISCONNECT as for any other connection, then a close."""
    async with joined(core, store, "big") as client:
        await client.socket.send_bytes(b"\x30\xff\xff\xff\x7f")
        assert int((await client.receive()).reason_code) == 0x95
        assert await client.receive() is None


@pytest.mark.parametrize("protocols", [(), ("chat",)])
async def test_the_subprotocol_must_be_mqtt(
    core: CoreServer, store: Store, protocols: tuple[str, ...]
) -> None:
    """400 before anything else is looked at."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with dialled(core, store, protocols=protocols):
            pass
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "first_line", [b"POST %s HTTP/1.1\r\n", b"GET %s HTTP/1.1\r\nContent-Length: 3\r\n"]
)
async def test_only_a_get_without_a_body_is_upgraded(
    core: CoreServer, store: Store, first_line: bytes
) -> None:
    """RFC 6455 section 4.1; a body would count as the first frames."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, trusting(store.identity("car"))) as client:
        client.send(first_line % signed_path(core).encode())
        client.send(
            b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\n\r\nabc"
        )
        assert (await client.reader.readline()).split()[1] == b"400"


async def test_a_socket_without_signature_is_forbidden(core: CoreServer, store: Store) -> None:
    """403 when there is no custom authorizer either; a client certificate changes nothing."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with dialled(core, store, "/mqtt"):
            pass
    assert refused.value.status == 403


async def test_known_keys_are_checked(store: Store) -> None:
    """A wrong secret, an unknown key and an old signature are 403; the right one gets in."""
    keyring = Keyring([AccessKey(ACCESS_KEY, SECRET_KEY)], accepts_unknown=False)
    async with make_server(store, keyring=keyring) as core:
        async with joined(core, store, "right", signed_path(core)):
            pass
        old = datetime.now(UTC) - timedelta(minutes=20)
        for path in (
            signed_path(core, secret="wrong"),
            signed_path(core, key_id="AKIAOTHEREXAMPLE0000"),
            signed_path(core, at=old),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with dialled(core, store, path):
                    pass
            assert refused.value.status == 403
        assert core.counters()["refused_signature"] == 3


async def test_a_signature_for_another_service_is_forbidden(core: CoreServer, store: Store) -> None:
    """As with every service: the scope of the credential must name it."""
    path = signed_path(core).replace("iotdevicegateway", "s3")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with dialled(core, store, path):
            pass
    assert refused.value.status == 403


async def test_policies_attached_to_an_identity_apply(store: Store) -> None:
    """A Cognito identity with a policy may do what that says; another key may do everything."""
    identity = "ap-northeast-2:12345678-1234-1234-1234-123456789012"
    async with make_server(store, identities={ACCESS_KEY: identity}) as core:
        core.registry.put_policy(READER)
        core.registry.attach_policy("reader", identity)
        entries = [wanted("dt/x"), wanted("other")]
        async with joined(core, store, "reader") as reader:
            await reader.send(mqtt5.SubscribePacket(1, entries))
            assert [int(code) for code in (await reader.receive()).reason_codes] == [1, 0x87]
        anybody = signed_path(core, key_id="AKIAOTHEREXAMPLE0000")
        async with joined(core, store, "admin", anybody) as admin:
            await admin.send(mqtt5.SubscribePacket(1, entries))
            assert [int(code) for code in (await admin.receive()).reason_codes] == [1, 1]


async def test_events_name_the_identity(core: CoreServer, store: Store) -> None:
    """`principalIdentifier` of a signed connection is its access key's identity."""
    async with joined(core, store, "observer") as observer:
        entry = wanted("$aws/events/presence/connected/app")
        await observer.send(mqtt5.SubscribePacket(1, [entry]))
        await observer.receive()
        async with joined(core, store, "app"):
            event = json.loads((await observer.receive()).payload)
    assert event["principalIdentifier"] == ACCESS_KEY


async def test_a_signed_socket_ends_after_a_day(store: Store) -> None:
    """86,400 s after CONNACK, whatever the client sends, with the reason in the event."""
    async with (
        make_server(store, clock=still_clock()) as core,
        joined(core, store, "long") as client,
    ):
        for _ in range(86_399 // 1_199):
            core.travel(1_199)
            await client.send(mqtt5.PingReqPacket())
            assert isinstance(await client.receive(), mqtt5.PingRespPacket)
        core.travel(1_199)
        assert await client.receive() is None
        ended = core.broker.connectivity("long", core.clock.now_s())
        assert ended is not None
        assert ended.reason == "WEBSOCKET_TTL_EXPIRATION"


async def test_a_client_that_does_not_read_does_not_hold_up_the_others(store: Store) -> None:
    """QoS 0 for it is dropped and counted, and what waits stays within the broker's bounds."""
    limits = Limits(outgoing_soft_bytes=50_000, outgoing_hard_bytes=10_000_000)
    async with (
        make_server(store, limits=limits) as core,
        joined(core, store, "slow") as slow,
        joined(core, store, "quick") as quick,
    ):
        entry = mqtt5.TopicFilter("t", max_qos=mqtt5.QoS.AT_MOST_ONCE)
        for client in (slow, quick):
            await client.send(mqtt5.SubscribePacket(1, [entry]))
            await client.receive()
        assert slow.socket._response.connection is not None
        transport: Any = slow.socket._response.connection.transport
        transport.pause_reading()
        for _ in range(1_500):
            await core.publish("t", b"x" * 10_000)
            assert (await quick.receive()).payload == b"x" * 10_000
        assert core.counters()["dropped_slow_reader"] > 0
        transport.abort()


async def test_a_custom_authorizer_named_in_the_request(store: Store) -> None:
    """Headers or query choose it; the function sees HTTP and MQTT, and its policies hold."""
    lambdas, events = doorman(permit("iot:Connect"))
    async with make_server(store, lambdas=lambdas) as core:
        add_authorizer(core, token_key_name="ticket")
        headers = {"x-amz-customauthorizer-name": "doorman", "Ticket": "t-1"}
        async with dialled(core, store, "/mqtt?colour=red", headers=headers) as client:
            await client.send(mqtt5.ConnectPacket("driver", username="me", password=b"pw"))
            assert int((await client.receive()).reason_code) == 0
            await client.send(mqtt5.SubscribePacket(1, [wanted("x")]))
            assert int((await client.receive()).reason_codes[0]) == 0x87
        query = "/mqtt?x-amz-customauthorizer-name=doorman&ticket=t-2"
        async with joined(core, store, "driver2", query):
            pass
    first, second = events
    assert (first["token"], second["token"]) == ("t-1", "t-2")
    assert first["protocols"] == ["tls", "http", "mqtt"]
    data = first["protocolData"]
    assert data["tls"] == {"serverName": "localhost"}
    assert data["http"]["queryString"] == "?colour=red"
    assert data["http"]["headers"]["Ticket"] == "t-1"
    assert data["mqtt"] == {"clientId": "driver", "username": "me", "password": "cHc="}


async def test_a_socket_that_sends_nothing_is_closed(store: Store) -> None:
    """With a custom authorizer to be named in CONNECT, the wait for that is bounded."""
    lambdas, _ = doorman(permit())
    limits = Limits(connect_timeout_s=0.05)
    async with make_server(store, lambdas=lambdas, limits=limits) as core:
        add_authorizer(core)
        async with dialled(core, store, "/mqtt") as client:
            assert await client.receive() is None
        assert core.counters()["refused_no_connect"] == 1
