"""Whose certificates TLS lets in, as the registry changes while the server runs."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mqtt5
import pytest

from certs.authority import create_authority
from certs.pem import certificate_id, load_certificate
from certs.store import Store
from simulator.iotcore.clock import Clock
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.registry import CertificateStatus, Registry
from simulator.iotcore.registry.records import CertificateMode, RegisteredAuthority
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from tests.client_tls import mutual_tls
from tests.simulator.iotcore.transports.rig import POLICY, TIMEOUT_S, make_server, wanted, wire

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Identity
    from simulator.iotcore.server import CoreServer


@pytest.fixture
def foreign(tmp_path: Path) -> Store:
    """A CA the server has never heard of, with the certificate of a bus."""
    found = Store(tmp_path)
    found.init_authority()
    found.issue_thing("bus")
    return found


def foreign_tls(store: Store, identity: Identity) -> ssl.SSLContext:
    """TLS of a client of the foreign CA."""
    return mutual_tls(identity, ca_path=store.ca_certificate_path)


async def connects(core: CoreServer, context: ssl.SSLContext, client_id: str) -> bool:
    """Whether a client gets a CONNACK that lets it in."""
    try:
        async with wire(core, context) as client:
            client.send(mqtt5.ConnectPacket(client_id))
            answer = await client.receive()
            return answer is not None and int(answer.reason_code) == 0
    except (ConnectionError, ssl.SSLError):
        return False


def adopt(core: CoreServer, foreign: Store) -> str:
    """Register the foreign CA as RegisterCACertificate does."""
    pem = foreign.ca_certificate_path.read_text(encoding="ascii")
    key = certificate_id(load_certificate(pem.encode(), "CA"))
    core.registry.authorities.put(key, RegisteredAuthority(key, pem, is_active=True))
    return key


async def test_a_ca_registered_meanwhile_counts_for_the_next_handshake(
    store: Store, foreign: Store
) -> None:
    """TLS fails before, and completes after; the certificate must be registered as well."""
    bus = foreign.identity("bus")
    context = foreign_tls(store, bus)
    async with asyncio.timeout(TIMEOUT_S), make_server(store) as core:
        assert not await connects(core, context, "bus")
        assert core.counters()["tls_failed"] == 1
        adopt(core, foreign)
        assert not await connects(core, context, "bus")
        assert core.counters()["tls_failed"] == 1
        core.registry.register_certificate(bus.certificate_id())
        core.registry.attach_policy("vehicle", bus.certificate_id())
        assert await connects(core, context, "bus")


async def test_a_certificate_registered_without_its_ca(store: Store, foreign: Store) -> None:
    """As RegisterCertificateWithoutCA: it is trusted by itself, others of its CA are not."""
    bus = foreign.identity("bus")
    foreign.issue_thing("tram")
    async with asyncio.timeout(TIMEOUT_S), make_server(store) as core:
        core.registry.register_certificate(
            bus.certificate_id(),
            pem=bus.certificate_path.read_text(encoding="ascii"),
            mode=CertificateMode.SNI_ONLY,
        )
        core.registry.attach_policy("vehicle", bus.certificate_id())
        assert await connects(core, foreign_tls(store, bus), "bus")
        assert not await connects(core, foreign_tls(store, foreign.identity("tram")), "tram")
        assert core.counters()["tls_failed"] == 1


async def test_what_is_no_certificate_is_skipped(store: Store, foreign: Store) -> None:
    """A registry with damage in it does not stop the listener."""
    async with asyncio.timeout(TIMEOUT_S), make_server(store) as core:
        broken = RegisteredAuthority("0" * 64, "not a certificate", is_active=True)
        core.registry.authorities.put("0" * 64, broken)
        adopt(core, foreign)
        assert await connects(core, mutual_tls(store.identity("car")), "car")


async def test_a_first_connect_registers_the_certificate(store: Store, foreign: Store) -> None:
    """JITR: an event, a close without CONNACK, and in with the next try once it is activated."""
    clock = Clock.of_machine()
    registry = Registry()
    ids = itertools.count(1)
    cloud = Cloud(
        registry,
        DevelopmentAuthority(create_authority("Test CA", datetime.now(UTC))),
        new_id=lambda: f"service-{next(ids)}",
        unix_s_at_zero=clock.unix_s_at_zero,
    )
    bus = foreign.identity("bus")
    context = foreign_tls(store, bus)
    async with (
        asyncio.timeout(TIMEOUT_S),
        make_server(store, registry=registry, cloud=cloud, clock=clock) as core,
        wire(core, mutual_tls(store.identity("app"))) as app,
    ):
        app.send(mqtt5.ConnectPacket("app"))
        await app.receive()
        app.send(mqtt5.SubscribePacket(1, [wanted("$aws/events/certificates/registered/+")]))
        await app.receive()
        pem = foreign.ca_certificate_path.read_text(encoding="ascii")
        ca_id = cloud.just_in_time.register_authority(pem)
        assert not await connects(core, context, "bus")
        packet = await app.receive()
        assert packet.topic == f"$aws/events/certificates/registered/{ca_id}"
        event = json.loads(packet.payload)
        assert event["certificateId"] == bus.certificate_id()
        assert event["certificateStatus"] == "PENDING_ACTIVATION"
        assert event["sourceIp"] == "127.0.0.1"
        registry.set_status(bus.certificate_id(), CertificateStatus.ACTIVE)
        registry.put_policy(POLICY)
        registry.attach_policy("vehicle", bus.certificate_id())
        assert await connects(core, context, "bus")
