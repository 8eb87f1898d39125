"""One port for everything: who gets which connection, and what strangers cannot do to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import mqtt5
import pytest
from aiohttp import web
from yarl import URL

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.clock import Clock
from simulator.iotcore.server import CLOSE_PATIENCE_S, HTTP_PATIENCE_S
from simulator.iotcore.transports.links import READ_BYTES
from tests.client_tls import mutual_tls, trusting
from tests.simulator.iotcore.transports.rig import TIMEOUT_S, make_server, signed_path, wanted, wire
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from certs.store import Store
    from simulator.iotcore.server import CoreServer


@pytest.fixture
async def core(store: Store) -> AsyncIterator[CoreServer]:
    """A running server with a page."""
    async with make_server(store, pages={"/_core/": page("page")}) as server:
        yield server


def page(name: str) -> Any:
    """A handler that says its name, the method and the body."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        return web.Response(text=f"{name} {request.method} {body.decode()}")

    return handle


def run_with(loop_kind: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on one kind of event loop."""
    if loop_kind == "asyncio":
        asyncio.run(main())
        return
    uvloop = pytest.importorskip("uvloop", reason="uvloop does not exist on Windows")
    uvloop.run(main())


async def ping(core: CoreServer, store: Store) -> None:
    """A car connects and talks."""
    async with wire(core, mutual_tls(store.identity("car"))) as car:
        car.send(mqtt5.ConnectPacket("car"))
        assert int((await car.receive()).reason_code) == 0
        car.send(mqtt5.PingReqPacket())
        assert isinstance(await car.receive(), mqtt5.PingRespPacket)


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_a_client_that_never_pauses_does_not_hold_up_the_others(
    store: Store, loop_kind: str
) -> None:
    """However much it has sent, each turn of the loop reads a little of it."""

    def join(port: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        flooder = mutual_tls(store.identity("car")).wrap_socket(plain, server_hostname="localhost")
        flooder.sendall(mqtt5.ConnectPacket("car").write())
        assert flooder.recv(1_024)[0] == 0x20
        flooder.setblocking(False)
        return flooder

    async def scenario() -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            make_server(store) as core,
            wire(core, mutual_tls(store.identity("app"))) as other,
        ):
            other.send(mqtt5.ConnectPacket("app"))
            assert int((await other.receive()).reason_code) == 0
            with await asyncio.to_thread(join, core.port) as flooder:
                waiting_bytes = 0
                with contextlib.suppress(ssl.SSLWantWriteError):
                    while True:
                        waiting_bytes += flooder.send(mqtt5.PingReqPacket().write() * 8_192)
                totals = [core.counters()["bytes_in"]]
                while totals[-1] < waiting_bytes // 16:
                    await asyncio.sleep(0)
                    totals.append(core.counters()["bytes_in"])
                assert max(b - a for a, b in itertools.pairwise(totals)) <= READ_BYTES
                other.send(mqtt5.PingReqPacket())
                assert isinstance(await other.receive(), mqtt5.PingRespPacket)

    run_with(loop_kind, scenario)


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_nothing_is_lost_between_turns(store: Store, loop_kind: str) -> None:
    """A megabyte at once arrives whole and in order."""
    payloads = [number.to_bytes(4, "big") * 250 for number in range(1_000)]

    async def scenario() -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            make_server(store) as core,
            wire(core, mutual_tls(store.identity("car"))) as car,
            wire(core, mutual_tls(store.identity("app"))) as app,
        ):
            for client, name in ((car, "car"), (app, "app")):
                client.send(mqtt5.ConnectPacket(name))
                assert int((await client.receive()).reason_code) == 0
            app.send(mqtt5.SubscribePacket(1, [wanted("t", 0)]))
            assert isinstance(await app.receive(), mqtt5.SubAckPacket)
            car.send(b"".join(mqtt5.PublishPacket("t", each).write() for each in payloads))
            assert [(await app.receive()).payload for _ in payloads] == payloads

    run_with(loop_kind, scenario)


async def get(core: CoreServer, store: Store, path: str, **more: Any) -> tuple[int, str]:
    """GET; status and text of the answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            more.pop("method", "GET"),
            f"https://localhost:{core.port}{path}",
            ssl=trusting(store.identity("car")),
            **more,
        ) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_mqtt_http_and_websocket_share_a_port(store: Store, loop_kind: str) -> None:
    """Each as a client would, on both kinds of loop, and a clean end with all of them open."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            context = trusting(store.identity("car"))
            async with contextlib.AsyncExitStack() as clients:
                session = await clients.enter_async_context(aiohttp.ClientSession())
                async with make_server(store, pages={"/_core/": page("page")}) as core:
                    await ping(core, store)
                    base = f"https://localhost:{core.port}"
                    async with session.get(f"{base}/_core/x", ssl=context) as answer:
                        assert (answer.status, await answer.text()) == (200, "page GET ")
                    url = URL(f"{base}{signed_path(core)}", encoded=True)
                    browser = await session.ws_connect(url, ssl=context, protocols=("mqtt",))
                    await browser.send_bytes(mqtt5.ConnectPacket("browser").write())
                    assert (await browser.receive_bytes())[0] == 0x20
                    car = await clients.enter_async_context(
                        wire(core, mutual_tls(store.identity("car")))
                    )
                    car.send(mqtt5.ConnectPacket("car"))
                    await car.receive()
                    assert core.counters()["connections"] == 2
                # Both are told that the server shuts down.
                assert (await browser.receive_bytes())[0] == 0xE0
                assert int((await car.receive()).reason_code) == 0x8B

    run_with(loop_kind, scenario)


@pytest.mark.parametrize(
    ("alpn", "has_certificate", "reason_code"),
    [
        (None, True, 0),
        ("x-amzn-mqtt-ca", True, 0),
        ("x-amzn-mqtt-ca", False, None),
        ("mqtt", True, None),
        ("mqtt", False, None),
        (None, False, None),
        ("something-else", True, 0),
    ],
)
async def test_which_alpn_goes_with_which_proof(
    core: CoreServer, store: Store, alpn: str | None, has_certificate: bool, reason_code: int | None
) -> None:
    """A certificate counts with `x-amzn-mqtt-ca` or none; `mqtt` is for custom authorizers."""
    make = mutual_tls if has_certificate else trusting
    context = make(store.identity("car"), alpn=alpn)
    async with asyncio.timeout(TIMEOUT_S), wire(core, context) as client:
        client.send(mqtt5.ConnectPacket("car"))
        answer = await client.receive()
        assert (None if answer is None else int(answer.reason_code)) == reason_code


@pytest.mark.parametrize("alpn", [None, "http/1.1", "x-amzn-http-ca"])
async def test_http_with_and_without_alpn(core: CoreServer, store: Store, alpn: str | None) -> None:
    """A request comes through in one byte pieces as well."""
    async with (
        asyncio.timeout(TIMEOUT_S),
        wire(core, trusting(store.identity("car"), alpn=alpn)) as client,
    ):
        for byte in b"GET /_core/status HTTP/1.1\r\nHost: localhost\r\n\r\n":
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_mqtt_does_not_speak_http(core: CoreServer, store: Store) -> None:
    """A CONNECT after ALPN `http/1.1` is a bad request, and HTTP after `x-amzn-mqtt-ca` is cut."""
    async with asyncio.timeout(TIMEOUT_S):
        async with wire(core, mutual_tls(store.identity("car"), alpn="http/1.1")) as client:
            client.send(mqtt5.ConnectPacket("car"))
            assert (await client.reader.readline()).startswith(b"HTTP/1.0 400 ")
        async with wire(core, mutual_tls(store.identity("car"), alpn="x-amzn-mqtt-ca")) as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await client.receive() is None
    assert core.counters()["http_invalid"] == 1
    assert core.counters()["refused_not_mqtt"] == 1


async def test_the_longest_prefix_serves(core: CoreServer, store: Store) -> None:
    """Handlers may come later, `/` is for the rest, and without it the rest is 404."""
    assert (await get(core, store, "/things"))[0] == 404
    core.serve("/", page("rest"))
    core.serve("/_core/metrics", page("metrics"))
    assert await get(core, store, "/things", method="PUT", data=b"{}") == (200, "rest PUT {}")
    assert await get(core, store, "/_core/metrics") == (200, "metrics GET ")
    assert await get(core, store, "/_core/status") == (200, "page GET ")
    # Publishing is the stand-in's own, signed publishes are the API's.
    assert (await get(core, store, "/topics/a", method="POST"))[0] == 403
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    assert await get(core, store, "/topics/a", method="POST", headers=headers) == (
        200,
        "rest POST ",
    )
    assert await get(core, store, "/topics/a") == (200, "rest GET ")


async def test_a_handler_that_fails_costs_one_answer(core: CoreServer, store: Store) -> None:
    """500 and a counter; the server goes on."""

    async def broken(_request: web.BaseRequest) -> web.StreamResponse:
        raise ZeroDivisionError

    core.serve("/broken", broken)
    assert (await get(core, store, "/broken"))[0] == 500
    assert core.counters()["closed_defect"] == 1
    await ping(core, store)


# Hostile peers


@pytest.mark.parametrize("first", [b"\x00", b"\x16\x03\x01", b"\x30\x03\x00\x01a", b"\xff" * 9_000])
async def test_a_garbage_first_byte(core: CoreServer, store: Store, first: bytes) -> None:
    """Closed without a byte."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, mutual_tls(store.identity("car"))) as client:
        client.send(first)
        assert await client.receive() is None
    await ping(core, store)


async def test_half_a_handshake(core: CoreServer, store: Store) -> None:
    """Pending is what is under way: it rises, falls when they give up, and others are served."""
    loop = asyncio.get_running_loop()
    open_: list[socket.socket] = []
    hello = _client_hello()
    async with asyncio.timeout(TIMEOUT_S):
        for number in range(50):
            half = socket.socket()
            half.setblocking(False)
            await loop.sock_connect(half, ("127.0.0.1", core.port))
            if number % 2:
                await loop.sock_sendall(half, hello[: len(hello) // 2])
            open_.append(half)
        await until(lambda: core.counters()["tls_pending"] == 50)
        await ping(core, store)
        for half in open_:
            half.close()
        await until(lambda: core.counters()["tls_pending"] == 0)
    assert core.counters()["tls_failed"] == 50


async def test_too_many_half_handshakes_cost_the_oldest(
    core: CoreServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number under way is bounded; those that had their time make room for newcomers."""
    monkeypatch.setattr("simulator.iotcore.transports.listener.HANDSHAKES_MAX", 5)
    monkeypatch.setattr("simulator.iotcore.transports.listener.PATIENCE_S", 0.0)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(TIMEOUT_S):
        halves = []
        for _ in range(20):
            half = socket.socket()
            half.setblocking(False)
            await loop.sock_connect(half, ("127.0.0.1", core.port))
            halves.append(half)
        await until(lambda: core.counters().get("tls_failed", 0) == 15)
        assert core.counters()["tls_pending"] == 5
        # The oldest one was closed.
        assert await loop.sock_recv(halves[0], 1) == b""
        await ping(core, store)
        for half in halves:
            half.close()


async def test_a_rush_waits_at_the_door(
    core: CoreServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is cut while all are quick: 60 clients at once through a door for five."""
    monkeypatch.setattr("simulator.iotcore.transports.listener.HANDSHAKES_MAX", 5)

    async def join(number: int) -> None:
        async with wire(core, mutual_tls(store.identity("car"))) as car:
            car.send(mqtt5.ConnectPacket(f"car-{number}"))
            assert int((await car.receive()).reason_code) == 0

    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(join(number) for number in range(60)))
    assert core.counters().get("tls_failed", 0) == 0


async def test_a_connection_that_says_nothing(store: Store) -> None:
    """Closed after the same time as one that speaks MQTT and does not send CONNECT."""
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, limits=Limits(connect_timeout_s=0.05)) as core,
        wire(core, mutual_tls(store.identity("car"))) as silent,
        wire(core, mutual_tls(store.identity("car"))) as slow,
    ):
        slow.send(b"\x10")
        assert await silent.receive() is None
        assert await slow.receive() is None
        assert core.counters()["refused_no_connect"] == 2
        assert core.transports()["silent"] == 0


async def test_headers_that_never_end(core: CoreServer, store: Store) -> None:
    """Too many, too long, or a request line without end: 400 within a bound of memory."""
    endless = [
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(1_000)),
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET /" + b"y" * 100_000,
    ]
    async with asyncio.timeout(TIMEOUT_S):
        for head in endless:
            async with wire(core, trusting(store.identity("car"))) as client:
                client.send(head)
                assert (await client.reader.readline()).split()[1] == b"400"
                assert await client.reader.read() is not None
    assert core.counters()["http_invalid"] >= 3
    await ping(core, store)


async def test_slow_headers_are_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request must arrive within the time that a connection may be idle."""
    monkeypatch.setattr("simulator.iotcore.transports.http_entry.IDLE_TIMEOUT_S", 0.05)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store) as core,
        wire(core, trusting(store.identity("car"))) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nX: y")
        assert await client.reader.read() == b""


async def test_a_slow_body_is_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and the connection is closed."""
    monkeypatch.setattr("simulator.iotcore.transports.http_entry._LINGERING_S", 0.05)
    monkeypatch.setattr("simulator.iotcore.transports.http_entry.BODY_TIMEOUT_S", 0.05)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store) as core,
        wire(core, mutual_tls(store.identity("car"))) as client,
    ):
        client.send(b"POST /topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        assert (await client.reader.read()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("body", [b"zz\r\n", b"2\r\nhello", b"2\r\nhi\r\n-1\r\n", b"f" * 70_000])
async def test_a_body_that_is_no_body(core: CoreServer, store: Store, body: bytes) -> None:
    """Chunks that are not chunks: 400, and no defect is reported."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, mutual_tls(store.identity("car"))) as client:
        head = b"POST /topics/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head)
        await client.writer.drain()
        client.send(body)
        assert (await client.reader.readline()).split()[1] == b"400"
    assert "closed_defect" not in core.counters()
    await ping(core, store)


async def test_a_client_that_leaves_in_the_middle_of_its_request(
    core: CoreServer, store: Store
) -> None:
    """Whether headers, body or upgrade: nothing is left of it and no defect is reported."""
    async with asyncio.timeout(TIMEOUT_S):
        for first in _first_words(core):
            async with wire(core, mutual_tls(store.identity("car"))) as client:
                client.send(first)
                await client.writer.drain()
        await until(lambda: core.transports()["http"] == 0 and core.counters()["connections"] == 0)
    assert "closed_defect" not in core.counters()
    await ping(core, store)


async def test_many_http_connections_are_bounded(
    core: CoreServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is closed; MQTT is not concerned."""
    monkeypatch.setattr("simulator.iotcore.transports.http_entry.CONNECTIONS_MAX", 2)
    context = trusting(store.identity("car"), alpn="http/1.1")
    async with (
        asyncio.timeout(TIMEOUT_S),
        wire(core, context),
        wire(core, context),
        wire(core, context) as third,
    ):
        assert await third.reader.read() == b""
        await ping(core, store)
    assert core.counters()["http_too_many_connections"] == 1


async def test_requests_in_a_row_without_waiting(core: CoreServer, store: Store) -> None:
    """Pipelined requests are answered in order, however many there are."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, trusting(store.identity("car"))) as client:
        client.send(b"GET /_core/x HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        text = b""
        while text.count(b"HTTP/1.1 200 OK") < 500:
            text += await client.reader.read(65_536)


# Server names


@pytest.mark.parametrize("require_sni", [False, True])
async def test_a_client_that_names_no_server(store: Store, require_sni: bool) -> None:
    """Served by default, refused in the handshake when names are required."""
    context = mutual_tls(store.identity("car"))
    context.check_hostname = False
    async with asyncio.timeout(TIMEOUT_S), make_server(store, require_sni=require_sni) as core:
        await ping(core, store)
        try:
            async with wire(core, context, server_hostname="") as client:
                client.send(mqtt5.ConnectPacket("car"))
                assert (await client.receive()) is not None
        except (ssl.SSLError, ConnectionError):
            assert require_sni
        else:
            assert not require_sni


# Ends


def test_the_waits_of_a_stop_are_less_than_a_second() -> None:
    """Links first, then handlers, which are waited for again once they are cancelled."""
    assert CLOSE_PATIENCE_S + 2 * HTTP_PATIENCE_S < 1.0


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_the_server_stops_whatever_its_peers_do(store: Store, loop_kind: str) -> None:
    """MQTT, WebSocket and HTTP that never answer, a silent one, half a handshake: none is left."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            async with make_server(store, pages={"/": page("page")}) as core:
                mute = [await _mute(core, store, first) for first in _first_words(core)]
                half = socket.create_connection(("127.0.0.1", core.port))
                await until(lambda: core.counters()["tls_pending"] == 1)
                await until(lambda: core.counters()["connections"] == 2)
            assert core.counters()["connections"] == 0
            assert core.counters()["tls_pending"] == 0
            assert (core.transports()["silent"], core.transports()["http"]) == (0, 0)
            for each in (*mute, half):
                each.close()
            await loop.shutdown_default_executor()

    run_with(loop_kind, scenario)


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_a_peer_that_ends_the_websocket_and_not_tls(store: Store, loop_kind: str) -> None:
    """Nothing is left of it either once the server has stopped."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), contextlib.AsyncExitStack() as clients:
            async with make_server(store) as core:
                client = await clients.enter_async_context(
                    wire(core, trusting(store.identity("car")))
                )
                client.send(_first_words(core)[2])
                await client.reader.readuntil(b"\r\n\r\n")
                await until(lambda: core.counters()["connections"] == 1)
                # A close frame with an empty mask (RFC 6455 section 5.5.1), then no more is read.
                reading: Any = client.writer.transport
                reading.pause_reading()
                client.send(b"\x88\x80\x00\x00\x00\x00")
                await until(lambda: core.counters()["connections"] == 0)
                assert core.transports()["http"] == 1
            assert core.transports()["http"] == 0

    run_with(loop_kind, scenario)


def _first_words(core: CoreServer) -> list[bytes]:
    upgrade = (
        f"GET {signed_path(core)} HTTP/1.1\r\nHost: localhost:{core.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return [
        b"",
        mqtt5.ConnectPacket("car").write(),
        upgrade.encode(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    ]


async def _mute(core: CoreServer, store: Store, first: bytes) -> ssl.SSLSocket:
    """A blocking socket that says one thing and never reads or closes."""

    def dial() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", core.port))
        wrapped = mutual_tls(store.identity("car")).wrap_socket(plain, server_hostname="localhost")
        if first:
            wrapped.sendall(first)
        return wrapped

    return await asyncio.to_thread(dial)


def _client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_travelling_does_what_is_due(store: Store) -> None:
    """A session of an hour ends without waiting for an hour."""
    async with asyncio.timeout(TIMEOUT_S), make_server(store, clock=Clock.of_machine()) as core:
        async with wire(core, mutual_tls(store.identity("car"))) as car:
            car.send(mqtt5.ConnectPacket("car", session_expiry_interval=3_600))
            await car.receive()
        await until(lambda: core.counters()["connections"] == 0)
        core.travel(3_590)
        assert len(core.clients()) == 1
        core.travel(11)
        assert core.clients() == []


@pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="the mosquitto clients are not installed"
)
async def test_mosquitto_with_alpn(core: CoreServer, store: Store) -> None:
    """`--tls-alpn x-amzn-mqtt-ca`, as the guides for port 443 say."""
    identity = store.identity("car")
    line = (
        f"mosquitto_pub -V 5 -h localhost -p {core.port} --tls-alpn x-amzn-mqtt-ca -i car"
        f" --cafile {identity.ca_path} --cert {identity.certificate_path}"
        f" --key {identity.key_path} -q 1 -t a/b -m hello"
    )
    async with asyncio.timeout(TIMEOUT_S):
        process = await asyncio.create_subprocess_exec(
            *line.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    assert core.counters()["publishes_in"] == 1


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are counted in /proc")
async def test_refused_handshakes_leave_no_descriptor_behind(
    core: CoreServer, store: Store
) -> None:
    """Plain text instead of TLS, a hundred times."""
    loop = asyncio.get_running_loop()
    before = _descriptors()
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(100):
            with socket.socket() as plain:
                plain.setblocking(False)
                await loop.sock_connect(plain, ("127.0.0.1", core.port))
                await loop.sock_sendall(plain, b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: core.counters().get("tls_failed", 0) == 100)
        await until(lambda: _descriptors() <= before)
    await ping(core, store)
