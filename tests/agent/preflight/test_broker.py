"""The check of the broker, step by step, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from agent.configuration import BrokerSection
from agent.preflight.broker import check_broker
from certs.inspection import Finding, Verdict
from tests.agent.cloud.rig import HOST, core_of, deny, onlooker, options, session
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from certs.store import Store


def section(store: Store, port: int, thing: str = CAR, **changes: Any) -> BrokerSection:
    """The `[broker]` section of a thing."""
    identity = store.identity(thing)
    given: dict[str, Any] = {
        "endpoint": HOST,
        "port": port,
        "certificate": identity.certificate_path,
        "private_key": identity.key_path,
        "ca": store.ca_certificate_path,
    }
    return BrokerSection(**{**given, **changes})


async def check(broker: BrokerSection, *, connect: bool = True, thing: str = CAR) -> list[Finding]:
    """All findings about a broker."""
    findings = check_broker(broker, thing, connect=connect, timeout_s=5)
    return [finding async for finding in findings]


def last(findings: list[Finding], step: str) -> Finding:
    """The finding that ended the check; every one before it must be ok."""
    assert [f.verdict for f in findings[:-1]] == [Verdict.OK] * (len(findings) - 1)
    assert findings[-1].check == step
    assert findings[-1].verdict is Verdict.FAILED
    assert findings[-1].remedy
    return findings[-1]


@contextlib.asynccontextmanager
async def server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[int]:
    """A TCP server that is no broker; its port."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, HOST, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.gather(*served)


async def test_a_good_broker_passes_every_step(identities: Store) -> None:
    """Name, TCP, TLS and CONNECT, each with what was found."""
    async with core_of(identities) as core:
        findings = await check(section(identities, core.port))

    assert [(f.check, f.verdict) for f in findings] == [
        ("broker name", Verdict.OK),
        ("broker TCP", Verdict.OK),
        ("broker TLS", Verdict.OK),
        ("broker CONNECT", Verdict.OK),
    ]
    assert "TLSv1.3" in findings[2].what
    assert CAR in findings[3].what


async def test_without_connect_the_session_is_left_alone(identities: Store) -> None:
    """The check says why it did not sign in, and how to make it."""
    async with core_of(identities) as core:
        findings = await check(section(identities, core.port), connect=False)
        assert core.broker.counters.connects == 0

    assert findings[-1].verdict is Verdict.NOTE
    assert "--connect" in findings[-1].remedy


async def test_the_check_takes_nothing_from_the_session(identities: Store) -> None:
    """A queued command, the subscriptions and the session itself survive the check."""
    async with core_of(identities) as core:
        async with session(options(identities, core.port), {"cmd/+": 1}) as (car, _):
            await car.ready(20)
        await core.publish("cmd/1", b"go", qos=1)
        findings = await check(section(identities, core.port))
        async with session(options(identities, core.port)) as (_, desk):
            await desk.until(lambda: bool(desk.messages))

    assert findings[-1].verdict is Verdict.OK
    assert desk.topics() == ["cmd/1"]
    assert desk.states[1][1] == "session resumed"


async def test_the_check_publishes_nothing(identities: Store) -> None:
    """Nobody sees a health document or a will of the check."""
    async with core_of(identities) as core, onlooker(identities, core.port, "#") as app:
        await check(section(identities, core.port))
        await app.publish("marker", b"", qos=1)
        await app.arrived(1)

        assert [str(message.topic) for message in app.messages] == ["marker"]


async def test_a_name_that_does_not_resolve(identities: Store) -> None:
    """The first step fails with the name in it (RFC 6761: .invalid never resolves)."""
    finding = last(await check(section(identities, 8883, endpoint="broker.invalid")), "broker name")

    assert "broker.invalid" in finding.what


async def test_a_broker_that_is_down(identities: Store) -> None:
    """A refused connection is named with the way through firewalls."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
        finding = last(await check(section(identities, port)), "broker TCP")

    assert f"{HOST}:{port}" in finding.what
    assert "443" in finding.remedy


async def test_a_port_that_speaks_no_tls(identities: Store) -> None:
    """A server that answers in plain text fails the handshake, with a question worth asking."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        with contextlib.suppress(OSError):
            await writer.drain()

    async with server(talk) as port:
        finding = last(await check(section(identities, port)), "broker TLS")

    assert "MQTT TLS port" in finding.remedy


async def test_a_broker_that_hangs_up_during_the_handshake(identities: Store) -> None:
    """A closed connection still has a reason in words."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with server(hang_up) as port:
        finding = last(await check(section(identities, port)), "broker TLS")

    assert finding.what != "handshake failed: "


async def test_a_broker_that_never_answers_the_handshake(identities: Store) -> None:
    """Silence ends after the patience of the step."""

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with server(say_nothing) as port:
        findings = check_broker(section(identities, port), CAR, connect=True, timeout_s=0.2)
        finding = last([f async for f in findings], "broker TLS")

    assert "no answer" in finding.what


async def test_a_root_that_did_not_sign_the_broker(
    identities: Store, foreign_identities: Store
) -> None:
    """With the wrong root the finding names the key to correct."""
    async with core_of(identities) as core:
        broker = section(identities, core.port, ca=foreign_identities.ca_certificate_path)
        finding = last(await check(broker), "broker TLS")

    assert "certificate is not accepted" in finding.what
    assert "broker.ca" in finding.remedy


async def test_a_name_the_brokers_certificate_does_not_carry(identities: Store) -> None:
    """A broker reached under another name is no broker to trust."""
    core = core_of(identities)
    core.host = "127.0.0.2"
    async with core:
        broker = section(identities, core.port, endpoint="127.0.0.2")
        finding = last(await check(broker), "broker TLS")

    assert "127.0.0.2" in finding.what


async def test_files_that_cannot_be_loaded(identities: Store, tmp_path: Path) -> None:
    """A missing certificate fails before the network is asked for more."""
    async with core_of(identities) as core:
        broker = section(identities, core.port, certificate=tmp_path / "none.pem")
        finding = last(await check(broker), "broker TLS")

    assert "cannot be loaded" in finding.what


async def test_a_certificate_the_broker_does_not_know(identities: Store) -> None:
    """AWS closes the connection without a word; the finding has the words."""
    async with core_of(identities) as core:
        broker = section(identities, core.port, "unknown-car")
        finding = last(await check(broker, thing="unknown-car"), "broker CONNECT")

    assert "does not know the certificate" in finding.what
    assert "ACTIVE" in finding.remedy


async def test_a_policy_that_denies_connect(identities: Store) -> None:
    """The reason code and the permission to give stand in the finding."""
    async with core_of(identities) as core:
        deny(core, identities, "iot:Connect")
        finding = last(await check(section(identities, core.port)), "broker CONNECT")

    assert "NOT_AUTHORIZED" in finding.what
    assert f"iot:Connect for client/{CAR}" in finding.remedy


@pytest.mark.parametrize("version", ["1", "2"])
async def test_an_encrypted_key_does_not_ask_for_a_passphrase(
    identities: Store, tmp_path: Path, version: str
) -> None:
    """The check never waits for somebody to type."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only here

    identity = identities.identity(CAR)
    key = serialization.load_pem_private_key(identity.key_path.read_bytes(), None)
    path = tmp_path / "key.pem"
    form = (
        serialization.PrivateFormat.PKCS8
        if version == "1"
        else serialization.PrivateFormat.TraditionalOpenSSL
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
        )
    )
    async with core_of(identities) as core:
        broker = section(identities, core.port, private_key=path)
        finding = last(await check(broker), "broker TLS")

    assert "cannot be loaded" in finding.what
