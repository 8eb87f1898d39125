from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from certs.errors import ConfigurationError, LinkError, PeerError
from certs.store import Store
from simulator.load.target.identities import AuthorityPem, Identities, mint_range
from simulator.load.target.opening import ClientTls, open_target
from simulator.load.target.reachability import Address, reachable, resolve
from tests.simulator.load.documents import scenario
from tests.simulator.load.wire import TIMEOUT_S, connected, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from simulator.load.target.opening import Target

NOWHERE = Path("no such folder")


@asynccontextmanager
async def opened(base: Path = NOWHERE, **changes: Any) -> AsyncIterator[Target]:
    """The target of a scenario with these parts."""
    document = scenario(**changes)
    identities = Identities.prepare(document, base)
    async with asyncio.timeout(TIMEOUT_S), open_target(document, base, identities) as target:
        yield target


def broker(port: int, **more: Any) -> dict[str, Any]:
    """Parts of a scenario: a broker on this machine, without client certificates."""
    target = {"kind": "broker", "host": "127.0.0.1", "port": port, **more}
    return {"target": target, "identities": {"kind": "none"}}


def server_context(ca: trustme.CA, **options: Any) -> ssl.SSLContext:
    """TLS of a broker whose certificate the CA signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("broker.example", **options).configure_cert(context)
    return context


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server that accepts connections and says nothing; its port."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hold, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextmanager
def openssl_listening(context: ssl.SSLContext) -> Iterator[int]:
    """A server that does with TLS what OpenSSL does, alerts included; its port."""
    held = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            # A failed handshake closes the socket, after the alert was sent.
            with suppress(OSError):
                held.append(context.wrap_socket(sock, server_side=True))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for sock in held:
                sock.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The CA of a broker."""
    return trustme.CA(organization_name="Brokers and Sons")


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    """Its PEM file."""
    ca.cert_pem.write_to_path(tmp_path / "broker-ca.pem")
    return "broker-ca.pem"


async def test_the_stand_in_lets_in_what_workers_minted() -> None:
    """A car whose identity a worker made connects after its id was registered; reports count it."""
    document = scenario()
    identities = Identities.prepare(document, NOWHERE)
    now = datetime.now(UTC)
    async with open_target(document, NOWHERE, identities) as target:
        route = pickle.loads(pickle.dumps(target.route))
        pairs = identities.cars(0, 3).pairs(now)
        observer = identities.application("load:observers:0001")
        assert pairs is not None
        assert observer is not None
        await target.register_cars([(pair.certificate_id, pair.thing) for pair in pairs])
        before = await target.report(1.0)
        async with (
            connected(target.port, route.tls, pairs[2]) as car,
            connected(target.port, route.tls, observer) as application,
        ):
            assert (await car.receive()).reason_code == 0
            assert (await application.receive()).reason_code == 0
            refusal = await car.ask(publish("dt/morai/load/load-city-0001/state"))
            report = await target.report(2.0)

    assert refusal.reason_code == 0x87
    assert (target.kind, target.host) == ("stand-in", "127.0.0.1")
    assert "policies: vehicle" in target.text
    assert route.address(7) == Address(socket.AF_INET, ("127.0.0.1", target.port))
    assert before is not None
    assert report is not None
    assert report.at_s == 2.0
    assert report.counters["connections"] == 2
    assert report.refusals == {"publish_denied": 1}
    # Since the report before, not since the start of the process, whose imports take longer.
    assert 0 < report.process.cpu_s < before.process.cpu_s


def test_it_all_works_on_the_faster_event_loop(ca: trustme.CA) -> None:
    """The engine runs on uvloop where that exists: the stand-in starts, faults have their words."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with opened() as target:
            assert target.stand_in is not None
            os.kill(target.stand_in.pid, signal.SIGKILL)
            assert "signal 9" in str(await target.lost())
            with pytest.raises(LinkError, match="signal 9"):
                await target.report(1.0)
        with (
            openssl_listening(server_context(ca)) as port,
            pytest.raises(PeerError, match="not trusted"),
        ):
            async with opened(**broker(port, server_name="broker.example")):
                pass
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(LinkError, match="refuses connections"):
                async with opened(**broker(taken.getsockname()[1])):
                    pass

    uvloop.run(main())


async def test_a_foreign_certificate_stays_outside() -> None:
    """The identity of the wrong-certificate fault does not get a CONNACK."""
    document = scenario()
    identities = Identities.prepare(document, NOWHERE)
    wrong = identities.cars(0, 1).wrong_pair("load-city-0001", datetime.now(UTC))
    async with open_target(document, NOWHERE, identities) as target:
        assert target.tls is not None
        async with connected(target.port, target.tls, wrong) as wire:
            assert await wire.receive() is None


async def test_a_store_feeds_the_stand_in(tmp_path: Path) -> None:
    """Its cars are registered when the target opens, under the store's CA."""
    store = Store(tmp_path / "identities")
    store.init_authority()
    list(store.issue_things(["car-1", "car-2", "car-3", "app-1", "app-2", "app-3"]))
    document = scenario(identities={"kind": "store", "path": "identities"})
    identities = Identities.prepare(document, tmp_path)
    pairs = identities.cars(0, 3).pairs(datetime.now(UTC))
    assert pairs is not None
    async with open_target(document, tmp_path, identities) as target:
        assert target.tls is not None
        async with connected(target.port, target.tls, pairs[0]) as wire:
            assert (await wire.receive()).reason_code == 0


async def test_the_stand_in_needs_identities() -> None:
    """Without certificates it could be reached by nobody."""
    with pytest.raises(ConfigurationError, match="asks every client for a certificate"):
        async with opened(identities={"kind": "none"}):
            pass


async def test_a_broker_with_tls_is_found(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    """Its name is verified against its CA; it makes no reports and is never lost."""
    async with (
        listening(server_context(ca)) as port,
        opened(tmp_path, **broker(port, ca=ca_file, server_name="broker.example")) as target,
    ):
        assert target.tls is not None
        assert target.text == f"broker 127.0.0.1 port {port}, TLS"
        assert target.tls.server_name == "broker.example"
        assert await target.report(1.0) is None
        assert await target.lost() is None
        # Both TLS libraries accept what the worker gets.
        assert target.tls.context().verify_mode is ssl.CERT_REQUIRED
        target.tls.client_context()


async def test_a_plain_broker_is_found() -> None:
    """Without TLS a TCP connection is all that can be looked at."""
    async with listening(None) as port, opened(**broker(port, tls=False)) as target:
        assert target.tls is None
        assert target.text == f"broker 127.0.0.1 port {port}, without TLS"


async def test_a_server_that_is_not_verified(ca: trustme.CA) -> None:
    """With verify: false any certificate will do, and the header says so."""
    async with (
        listening(server_context(ca)) as port,
        opened(**broker(port, verify=False)) as target,
    ):
        assert "server not verified" in target.text


async def test_nothing_listens() -> None:
    """A refused connection names the address and what to correct."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        with pytest.raises(LinkError, match="refuses connections") as caught:
            async with opened(**broker(taken.getsockname()[1])):
                pass

    assert "start the broker" in caught.value.remedy


async def test_an_unknown_ca_is_named(ca: trustme.CA) -> None:
    """An untrusted certificate tells who signed it, so that the right file can be found."""
    async with listening(server_context(ca)) as port:
        with pytest.raises(PeerError, match="not trusted") as caught:
            async with opened(**broker(port, server_name="broker.example")):
                pass

    assert "Brokers and Sons" in caught.value.remedy


async def test_another_name_in_the_certificate(
    ca: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    """The names that the certificate holds are given."""
    async with listening(server_context(ca)) as port:
        with pytest.raises(PeerError, match=r"is for broker\.example, not for '127\.0\.0\.1'"):
            async with opened(tmp_path, **broker(port, ca=ca_file)):
                pass


async def test_an_expired_certificate(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    """It is told apart from one that is not trusted."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with listening(server_context(ca, not_after=yesterday)) as port:
        with pytest.raises(PeerError, match="not valid now"):
            async with opened(tmp_path, **broker(port, ca=ca_file, server_name="broker.example")):
                pass


async def test_tls_to_a_port_that_answers_something_else() -> None:
    """A port that speaks another protocol is not taken for a broker with TLS."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        with pytest.raises(PeerError, match="does not speak TLS"):
            async with opened(**broker(server.sockets[0].getsockname()[1])):
                pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_broker_that_wants_client_certificates(
    ca: trustme.CA, ca_file: str, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Refused without one, refused with one of another CA, found with the right one."""
    authority, other = (AuthorityPem.make(name, datetime.now(UTC)) for name in ("ours", "other"))
    context = server_context(ca)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    tls = ClientTls((tmp_path / ca_file).read_bytes(), "broker.example")
    right, wrong = (
        mint_range(issuer, ["car"], datetime.now(UTC))[0] for issuer in (authority, other)
    )
    with openssl_listening(context) as port:
        addresses = await resolve("127.0.0.1", port)

        with pytest.raises(PeerError, match="refuses a client without a certificate"):
            await reachable(addresses, "it", tls.context(), tls.server_name)
        with pytest.raises(PeerError, match="refuses the client certificate"):
            await reachable(addresses, "it", tls.context(), tls.server_name, wrong)
        found = await reachable(addresses, "it", tls.context(), tls.server_name, right)

    assert found == addresses


@pytest.mark.parametrize(
    ("has_identity", "remedy"), [(False, "give the scenario identities"), (True, "trusts the CA")]
)
async def test_a_broker_that_closes_without_a_word(
    ca: trustme.CA, ca_file: str, tmp_path: Path, *, has_identity: bool, remedy: str
) -> None:
    """Some servers hang up on a wrong certificate and send no alert; the likely cause is named."""
    context = server_context(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = ClientTls((tmp_path / ca_file).read_bytes(), "broker.example")
    [pair] = mint_range(AuthorityPem.make("x", datetime.now(UTC)), ["car"], datetime.now(UTC))
    # The event loop's server drops the alert with the connection.
    async with listening(context) as port:
        addresses = await resolve("127.0.0.1", port)
        with pytest.raises(PeerError, match="closed the connection") as caught:
            await reachable(
                addresses, "it", tls.context(), tls.server_name, pair if has_identity else None
            )

    assert remedy in caught.value.remedy


async def test_addresses_that_do_not_answer_are_left_out() -> None:
    """Of several addresses of a name the reachable ones remain."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = Address(socket.AF_INET, taken.getsockname())
        async with listening(None) as port:
            alive = Address(socket.AF_INET, ("127.0.0.1", port))

            assert await reachable([dead, alive, dead], "it") == [alive]


async def test_a_name_without_address() -> None:
    """A host name that does not exist (RFC 6761, .invalid) is a link error that repeats it."""
    with pytest.raises(LinkError, match=r"'no-such-broker\.invalid' cannot be resolved"):
        await resolve("no-such-broker.invalid", 8883)


@pytest.mark.parametrize("content", [b"", b"no certificate"])
async def test_a_ca_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    """It is found before anything is connected."""
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        async with opened(tmp_path, **broker(1, ca="ca.pem")):
            pass
    with pytest.raises(ConfigurationError, match="does not exist"):
        async with opened(tmp_path, **broker(1, ca="missing.pem")):
            pass
