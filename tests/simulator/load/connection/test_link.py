"""Links against servers of the standard library, on both event loops that workers use."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.load.connection.link import BACKLOG_BYTES_MAX, CLOSED_BY_PEER, Link
from simulator.load.target.identities import KeyPair
from tests.simulator.load.connection.servers import (
    CA,
    HOST,
    PATIENCE_S,
    STRANGE_CA,
    Ears,
    accept,
    client_context,
    identity,
    listening,
    reset,
    server_context,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import trustme

    from simulator.load.connection.tls_client import ClientContext
    from tests.simulator.load.connection.servers import Peer, Server

pytestmark = pytest.mark.usefixtures("no_complaints")

CAR = identity("car-1")
FILE_DESCRIPTORS = Path("/proc/self/fd")
GOODBYE = bytes.fromhex("e000")  # DISCONNECT, MQTT 5.0 section 3.14


@pytest.fixture(params=["plain", "tls"])
def encrypted(request: pytest.FixtureRequest) -> bool:
    """Whether the link speaks TLS."""
    return bool(request.param == "tls")


def connect(
    port: int, ears: Ears, tls: ClientContext | None = None, pair: KeyPair | None = None
) -> Link:
    """A link that begins to connect."""
    link = Link(asyncio.get_running_loop(), ears, tls, pair)
    link.connect(socket.AF_INET, (HOST, port))
    return link


@asynccontextmanager
async def connected(encrypted: bool) -> AsyncIterator[tuple[Link, Ears, Peer, Server]]:
    """A link that stands, and the other end of it."""
    async with serving(server_context() if encrypted else None) as server:
        ears = Ears()
        link = connect(server.port, ears, client_context() if encrypted else None)
        assert await ears.hears() == ["linked"]
        try:
            yield link, ears, await server.accepted(), server
        finally:
            link.abort()


async def cause_of_failure(sock: socket.socket, act: Callable[[socket.socket], None]) -> list[str]:
    """What a TLS link reports when the server accepts and then does something else."""
    ears = Ears()
    connect(sock.getsockname()[1], ears, client_context(), CAR)
    connection = await asyncio.to_thread(accept, sock)
    await asyncio.to_thread(act, connection)
    heard = list(await ears.hears())
    connection.close()
    return heard


# Connecting


async def test_bytes_go_both_ways(encrypted: bool) -> None:
    """What either end writes is what the other end reads."""
    async with connected(encrypted) as (link, ears, peer, _):
        assert link.is_open
        assert link.write(b"to the server")
        assert await peer.reader.readexactly(13) == b"to the server"
        peer.writer.write(b"to the car")
        assert await ears.has(10) == b"to the car"


async def test_every_connection_shows_its_own_certificate() -> None:
    """Links of one context are told apart by the server; one without identity shows none."""
    pairs = [identity(f"car-{number}") for number in range(5)]
    tls = client_context()
    async with serving(server_context()) as server:
        seen: list[str | None] = []
        for pair in [*pairs, None]:
            ears = Ears()
            link = connect(server.port, ears, tls, pair)
            await ears.hears()
            seen.append((await server.accepted()).common_name)
            link.close()

    assert seen == ["car-0", "car-1", "car-2", "car-3", "car-4", None]


async def test_the_chain_behind_a_certificate_is_shown() -> None:
    """A server that trusts the root alone accepts what an intermediate CA signed."""
    intermediate = CA.create_child_ca()
    car = identity("car-7", intermediate)
    assert car.certificate_pem.count(b"BEGIN CERTIFICATE") > 1
    async with serving(server_context()) as server:
        tls = client_context()
        names = []
        for pair in (car, identity("car-8"), car):
            ears = Ears()
            link = connect(server.port, ears, tls, pair)
            assert await ears.hears() == ["linked"]
            names.append((await server.accepted()).common_name)
            link.close()

    assert names == ["car-7", "car-8", "car-7"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls_are_spoken(version: ssl.TLSVersion) -> None:
    """A server that speaks only one of them is served."""
    async with serving(server_context(version=version)) as server:
        ears = Ears()
        link = connect(server.port, ears, client_context(), CAR)
        assert await ears.hears() == ["linked"]
        peer = await server.accepted()
        peer.writer.write(b"hello")

        assert await ears.has(5) == b"hello"
        assert peer.tls_version == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        assert peer.common_name == "car-1"
        link.close()


@pytest.mark.parametrize(
    ("name", "ca", "heard"),
    [
        ("broker.example", CA, "linked"),
        (HOST, CA, "linked"),
        ("other.example", CA, "TLS: the server's certificate is for another name"),
        ("127.0.0.2", CA, "TLS: the server's certificate is for another name"),
        ("broker.example", STRANGE_CA, "TLS: certificate verify failed"),
    ],
)
async def test_the_server_must_be_who_it_should_be(name: str, ca: trustme.CA, heard: str) -> None:
    """Its name or address must be in its certificate, which a trusted CA must have signed."""
    async with serving(server_context()) as server:
        ears = Ears()
        link = connect(server.port, ears, client_context(name, ca.cert_pem.bytes()), CAR)

        assert await ears.hears() == [heard]
        assert link.is_open == (heard == "linked")
        link.close()


async def test_a_refused_port_says_so() -> None:
    """Nobody listens: the cause is reported, once and not inside connect."""
    with listening() as sock:
        port = sock.getsockname()[1]
    ears = Ears()

    connect(port, ears)

    assert ears.heard == []
    assert await ears.hears() == ["TCP: refused"]


async def test_a_peer_that_closes_during_the_handshake() -> None:
    """Closing, resetting and answering in another protocol each have their own cause."""

    def close(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.close()

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening() as sock:
        assert await cause_of_failure(sock, close) == [
            "TLS: closed by the peer during the handshake"
        ]
        assert await cause_of_failure(sock, reset) == ["TCP: reset"]
        [other] = await cause_of_failure(sock, answer)
    assert other.startswith("TLS: ")


async def test_a_silent_server_is_waited_for() -> None:
    """A handshake that nobody answers reports nothing; giving it up reports nothing either."""
    with listening() as sock:
        ears = Ears()
        link = connect(sock.getsockname()[1], ears, client_context())
        connection = await asyncio.to_thread(accept, sock)
        assert (await asyncio.to_thread(connection.recv, 3))[:1] == b"\x16"  # a handshake record

        assert not link.is_open
        assert not link.write(b"too early")
        link.close()
        while await asyncio.to_thread(connection.recv, 65_536):
            pass
        connection.close()
    assert ears.heard == []


async def test_a_rejected_certificate_is_a_cause() -> None:
    """A server judges a TLS 1.3 client after the handshake; its alert is what is reported."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse(sock: socket.socket) -> None:
        connection = accept(sock)
        with suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True).close()
        connection.close()

    with listening() as sock:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, sock))
        ears = Ears()
        connect(sock.getsockname()[1], ears, client_context(), identity("car-1", STRANGE_CA))
        heard = await ears.hears(2)
        await refusing

    assert heard[0] == "linked"
    assert heard[1].startswith("TLS: ")
    assert "unknown ca" in heard[1]


@pytest.mark.parametrize(
    ("pair", "cause"),
    [
        (
            KeyPair("car", "", CAR.certificate_pem, identity("other").key_pem),
            "TLS: the client certificate cannot be used: key values mismatch",
        ),
        (
            KeyPair("car", "", b"no certificate", CAR.key_pem),
            "TLS: the client certificate cannot be read",
        ),
        (
            KeyPair("car", "", CAR.certificate_pem, b"no key"),
            "TLS: the client certificate cannot be read",
        ),
    ],
)
async def test_an_identity_that_cannot_be_used_is_a_cause(pair: KeyPair, cause: str) -> None:
    """A damaged identity ends its own link and nothing else."""
    async with serving(server_context()) as server:
        ears = Ears()
        connect(server.port, ears, client_context(), pair)

        assert await ears.hears() == [cause]


async def test_no_socket_to_be_had_is_a_cause() -> None:
    """When the system gives no socket the link reports it; one closed before then does not."""
    ears, closed = Ears(), Ears()
    for each in (ears, closed):
        link = Link(asyncio.get_running_loop(), each)
        link.connect(12_345, (HOST, 1))
        if each is closed:
            link.close()

    [cause] = await ears.hears()
    assert cause.startswith("TCP: ")
    await asyncio.sleep(0)
    assert closed.heard == []


# Writing


async def test_a_server_that_does_not_read_fills_the_backlog(encrypted: bool) -> None:
    """Writes are kept up to the bound and refused above it; all that was kept arrives in order."""
    async with connected(encrypted) as (link, ears, peer, _):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # transports that read
        sent = hashlib.sha256()
        size = 0
        chunk = os.urandom(20_000)
        while link.write(chunk):
            sent.update(chunk)
            size += len(chunk)
            chunk = os.urandom(20_000)
            await asyncio.sleep(0)

        waiting = link.backlog
        assert waiting is not None
        assert BACKLOG_BYTES_MAX - 20_000 < len(waiting) <= BACKLOG_BYTES_MAX
        assert link.is_open
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined] # transports that read
        async with asyncio.timeout(PATIENCE_S):
            assert hashlib.sha256(await peer.reader.readexactly(size)).digest() == sent.digest()
        assert link.write(b"more")
        assert await peer.reader.readexactly(4) == b"more"
        assert link.backlog is None
        assert ears.heard == ["linked"]


async def test_a_write_larger_than_the_bound_is_refused(encrypted: bool) -> None:
    """One that just fits is taken whole."""
    async with connected(encrypted) as (link, _, peer, _):
        assert not link.write(bytes(BACKLOG_BYTES_MAX + 1))
        data = os.urandom(BACKLOG_BYTES_MAX)
        assert link.write(data)
        async with asyncio.timeout(PATIENCE_S):
            assert await peer.reader.readexactly(len(data)) == data


async def test_a_muted_link_holds_everything_back(encrypted: bool) -> None:
    """Neither end hears the other; after that both hear what waited, in order."""
    async with connected(encrypted) as (link, ears, peer, _):
        assert link.write(b"1")
        assert await peer.reader.readexactly(1) == b"1"
        link.mute()
        for text in (b"2", b"3", b"4"):
            assert link.write(text)
        peer.writer.write(b"waited")
        await peer.writer.drain()
        reading = asyncio.create_task(peer.reader.readexactly(3))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reading.done()
        assert not ears.data

        link.unmute()

        async with asyncio.timeout(PATIENCE_S):
            assert await reading == b"234"
        assert await ears.has(6) == b"waited"
        assert link.write(b"5")
        assert await peer.reader.readexactly(1) == b"5"


async def test_a_muted_backlog_is_bounded() -> None:
    """While silenced a link keeps no more than the bound."""
    async with connected(encrypted=False) as (link, _, _, _):
        link.mute()
        assert link.write(bytes(BACKLOG_BYTES_MAX))
        assert not link.write(b"x")


# Reading


@pytest.mark.parametrize("piece", [1, 1000, 200_000])
async def test_everything_arrives_in_whatever_records(encrypted: bool, piece: int) -> None:
    """A long stream in small, middling and huge writes is read to its last byte."""
    data = os.urandom(min(piece * 300, 2_000_000))
    async with connected(encrypted) as (_, ears, peer, _):
        for at in range(0, len(data), piece):
            peer.writer.write(data[at : at + piece])
            if at % (7 * piece) == 0:
                await peer.writer.drain()

        assert await ears.has(len(data)) == data
        assert ears.heard == ["linked"]


async def test_reading_can_pause_at_any_byte(encrypted: bool) -> None:
    """A reader that stops after each piece and goes on later misses nothing."""
    data = os.urandom(300_000)

    class Slow(Ears):
        link: Link

        def received(self, piece: bytes) -> None:
            super().received(piece)
            self.link.pause_reading()
            asyncio.get_running_loop().call_soon(self.link.resume_reading)

    async with serving(server_context() if encrypted else None) as server:
        ears = Slow()
        ears.link = connect(server.port, ears, client_context() if encrypted else None)
        await ears.hears()
        peer = await server.accepted()
        for at in range(0, len(data), 50_000):
            peer.writer.write(data[at : at + 50_000])

        assert await ears.has(len(data)) == data
        ears.link.close()


async def test_a_paused_link_lets_the_peer_wait(encrypted: bool) -> None:
    """Paused, nothing is read and the peer's writes back up; resumed, all of it comes."""
    data = os.urandom(12_000_000)
    async with connected(encrypted) as (link, ears, peer, _):
        link.pause_reading()
        peer.writer.write(data)
        draining = asyncio.create_task(peer.writer.drain())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not ears.data
        # A TLS transport of asyncio does not say what its own transport holds back.
        assert encrypted or not draining.done()
        link.write(b"still writing")
        assert await peer.reader.readexactly(13) == b"still writing"

        link.resume_reading()

        assert hashlib.sha256(await ears.has(len(data))).digest() == hashlib.sha256(data).digest()
        await draining


async def test_silence_and_slowness_end_on_their_own() -> None:
    """A link that was paused stays so when the silence over it ends."""
    async with connected(encrypted=True) as (link, ears, peer, _):
        link.pause_reading()
        link.mute()
        peer.writer.write(b"hello")
        link.unmute()
        link.write(b"1")
        assert await peer.reader.readexactly(1) == b"1"
        assert not ears.data

        link.mute()
        link.resume_reading()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not ears.data
        link.unmute()
        assert await ears.has(5) == b"hello"


# Ending


async def test_the_peers_end_is_reported_once(encrypted: bool) -> None:
    """After its last bytes, and never again; writing is refused from then on."""
    async with connected(encrypted) as (link, ears, peer, _):
        peer.writer.write(b"last words")
        peer.writer.close()

        assert await ears.hears(2) == ["linked", CLOSED_BY_PEER]
        assert ears.data == b"last words"
        assert not link.is_open
        assert not link.write(b"x")
        link.close()
        link.abort()
        await asyncio.sleep(0)
        assert ears.heard == ["linked", CLOSED_BY_PEER]


async def test_a_reset_is_reported_once_with_what_came_before() -> None:
    """A write that fails first reads why the peer went, then tells, in a turn of its own."""
    with listening() as sock:
        ears = Ears()
        link = connect(sock.getsockname()[1], ears)
        connection = await asyncio.to_thread(accept, sock)
        await ears.hears()
        link.pause_reading()
        connection.sendall(b"the reason")
        reset(connection)

        assert not link.write(b"x")
        assert not link.write(b"y")
        assert ears.heard == ["linked"]
        assert await ears.hears(2) == ["linked", "TCP: reset"]
        assert ears.data == b"the reason"
        await asyncio.sleep(0)
        assert len(ears.heard) == 2


async def test_a_reset_under_a_backlog_is_reported_once() -> None:
    """The writer's turn finds out, and the reader says no more."""
    with listening() as sock:
        ears = Ears()
        link = connect(sock.getsockname()[1], ears)
        connection = await asyncio.to_thread(accept, sock)
        await ears.hears()
        while link.write(bytes(100_000)):
            pass
        reset(connection)

        assert (await ears.hears(2))[1] == "TCP: reset"
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(ears.heard) == 2


@pytest.mark.parametrize("state", ["reading", "muted", "unread"])
async def test_close_sends_what_was_written(encrypted: bool, state: str) -> None:
    """A DISCONNECT written just before arrives, also behind a backlog or with bytes unread."""
    context = server_context()

    def receive(sock: socket.socket) -> bytes:
        connection = accept(sock)
        if encrypted:
            connection = context.wrap_socket(connection, server_side=True)
        with suppress(OSError):
            connection.sendall(bytes(100_000))
        data = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                data += piece
        connection.close()
        return data

    with listening() as sock:
        receiving = asyncio.create_task(asyncio.to_thread(receive, sock))
        ears = Ears()
        link = connect(sock.getsockname()[1], ears, client_context() if encrypted else None)
        await ears.hears()
        if state == "unread":
            link.pause_reading()
        else:
            await ears.has(100_000)
        if state == "muted":
            link.mute()
        assert link.write(b"before")
        assert link.write(GOODBYE)

        link.close()

        assert await receiving == b"before" + GOODBYE
    assert ears.heard == ["linked"]
    assert not link.is_open


@pytest.mark.parametrize(("how", "ends_in_order"), [("close", True), ("abort", False)])
async def test_close_ends_tls_in_order(how: str, ends_in_order: bool) -> None:
    """Close sends the TLS close alert, abort does not (RFC 8446 section 6.1)."""
    context = server_context()

    def receive(sock: socket.socket) -> bool:
        connection = context.wrap_socket(accept(sock), server_side=True, suppress_ragged_eofs=False)
        try:
            assert connection.recv(100) == b"x"
            return connection.recv(100) == b""
        except ssl.SSLEOFError:
            return False
        finally:
            connection.close()

    with listening() as sock:
        receiving = asyncio.create_task(asyncio.to_thread(receive, sock))
        ears = Ears()
        link = connect(sock.getsockname()[1], ears, client_context())
        await ears.hears()
        link.write(b"x")

        getattr(link, how)()

        assert await receiving == ends_in_order
    assert ears.heard == ["linked"]


async def test_closing_inside_a_report_is_allowed(encrypted: bool) -> None:
    """An owner may close in `linked` and in `received`; nothing more is reported."""

    class Rude(Ears):
        link: Link
        at = ""

        def linked(self) -> None:
            super().linked()
            if self.at == "linked":
                self.link.close()

        def received(self, data: bytes) -> None:
            super().received(data)
            self.link.close()

    async with serving(server_context() if encrypted else None) as server:
        for at in ("linked", "received"):
            ears = Rude()
            ears.at = at
            ears.link = connect(server.port, ears, client_context() if encrypted else None)
            peer = await server.accepted()
            peer.writer.write(bytes(100_000))
            async with asyncio.timeout(PATIENCE_S):
                with suppress(OSError):
                    await peer.reader.read()

            assert ears.heard == ["linked"]
            assert len(ears.data) <= 16_384
            assert not ears.link.is_open


@pytest.mark.skipif(not FILE_DESCRIPTORS.is_dir(), reason="they are counted in /proc")
async def test_no_descriptor_is_left_behind() -> None:
    """After connections ended in every way as many descriptors are open as before."""

    def count() -> int:
        gc.collect()
        return len(list(FILE_DESCRIPTORS.iterdir()))

    with listening() as sock:
        refused = sock.getsockname()[1]
    async with serving(server_context()) as tls_server, serving() as plain:
        before = count()
        for tls, server in ((client_context(), tls_server), (None, plain)):
            for way in ("close", "abort", "peer", "early"):
                ears = Ears()
                link = connect(server.port, ears, tls, CAR)
                if way == "early":
                    link.abort()
                    continue
                await ears.hears()
                peer = await server.accepted()
                if way == "peer":
                    peer.writer.close()
                    await ears.hears(2)
                else:
                    getattr(link, way)()
                    with suppress(OSError):
                        await peer.reader.read()
                peer.writer.transport.abort()
        ears = Ears()
        connect(refused, ears)
        await ears.hears()
        ears = Ears()
        connect(tls_server.port, ears, client_context("other.example"))
        await ears.hears()
        tls_server.end()
        plain.end()
        async with asyncio.timeout(PATIENCE_S):
            while count() > before:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0)
