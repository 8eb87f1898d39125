"""A real server with a data directory, real clients, and restarts between their visits."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from certs.authority import create_authority
from certs.errors import StorageError
from certs.store import Store
from simulator.iotcore.clock import Clock
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.persistence.directory import FILE_NAME, DataDirectory
from simulator.iotcore.persistence.keeping import Persistence
from simulator.iotcore.persistence.parts import parts_of
from simulator.iotcore.persistence.records import Change, Kind, encode
from simulator.iotcore.registry import CertificateStatus, Registry, Thing
from simulator.iotcore.registry_files import DEVELOPMENT_POLICY, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ACCOUNT = Account("ap-northeast-2", "123456789012")
TIMEOUT_S = 20.0
FAR_S = 1_000_000.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of a car and an application."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority(now=datetime.now(UTC) - timedelta(days=1))
    found.issue_server()
    list(found.issue_things(["car", "app"]))
    return found


class Machine:
    """A machine whose Unix clock a test can move while nothing runs on it."""

    def __init__(self) -> None:
        self.moved_s = 0.0

    def clock(self) -> Clock:
        """The clock of a process that starts now."""
        real = Clock.of_machine()
        return Clock(real.now_s, lambda: real.unix_s() + self.moved_s)


class Run(CoreServer):
    """One process."""

    persistence: Persistence
    services: Cloud


@asynccontextmanager
async def run(
    store: Store, path: Path, *, every_s: float = FAR_S, machine: Machine | None = None
) -> AsyncIterator[Run]:
    """A stand-in on a data directory, from start to clean stop."""
    clock = (machine or Machine()).clock()
    registry = Registry()
    cloud = Cloud(
        registry,
        DevelopmentAuthority(create_authority("Test CA", datetime.now(UTC))),
        account=ACCOUNT,
        new_id=lambda: str(uuid.uuid4()),
        unix_s_at_zero=clock.unix_s_at_zero,
    )
    identity = store.server_identity()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    with Persistence(path, every_s) as persistence:
        persistence.load(parts_of(cloud))
        registry.put_policy(DEVELOPMENT_POLICY)
        for name in ("car", "app"):
            register(registry, store.identity(name).certificate_id(), [name], ["development"])
        server = Run(registry, tls, port=0, cloud=cloud, clock=clock, persistence=persistence)
        server.persistence, server.services = persistence, cloud
        async with asyncio.timeout(TIMEOUT_S), server:
            yield server


def client(
    core: CoreServer,
    store: Store,
    name: str,
    protocol: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5,
) -> aiomqtt.Client:
    """A client as an application would write it, with a session of an hour."""
    identity = store.identity(name)
    context = mutual_tls(identity)
    if protocol is aiomqtt.ProtocolVersion.V311:
        options: dict[str, Any] = {"clean_session": False}
    else:
        lasting: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        lasting.SessionExpiryInterval = 3600
        options = {"clean_start": False, "properties": lasting}
    return aiomqtt.Client(
        "localhost",
        core.port,
        identifier=name,
        tls_context=context,
        protocol=protocol,
        **options,
    )


async def drain(visitor: aiomqtt.Client, last: str) -> list[tuple[str, bytes]]:
    """Messages up to the one on a topic, which is left out."""
    found: list[tuple[str, bytes]] = []
    async for message in visitor.messages:
        if str(message.topic) == last:
            break
        assert isinstance(message.payload, bytes)
        found.append((str(message.topic), message.payload))
    return found


def contents(folder: Path) -> bytes:
    """All files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("protocol", [aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311])
async def test_a_car_comes_back_to_a_restarted_server(
    store: Store, tmp_path: Path, protocol: aiomqtt.ProtocolVersion
) -> None:
    """Its session is there, what waited arrives once, and it need not subscribe again."""
    async with run(store, tmp_path) as core:
        async with client(core, store, "car", protocol) as car:
            await car.subscribe("cmd/#", qos=1)
        async with client(core, store, "app") as app:
            for number in range(3):
                await app.publish("cmd/x", b"%d" % number, qos=1)
            await app.publish("kept", b"retained", qos=1, retain=True)
    for expected in ([("cmd/x", b"%d" % number) for number in range(3)], []):
        async with run(store, tmp_path) as core, client(core, store, "car", protocol) as car:
            await core.publish("cmd/end", b"", qos=1)
            assert await drain(car, "cmd/end") == expected
            await car.subscribe("kept", qos=1)
            assert (await anext(car.messages)).payload == b"retained"


async def test_shadows_jobs_and_things_are_still_there(store: Store, tmp_path: Path) -> None:
    """What devices and applications left with the services."""
    async with run(store, tmp_path) as core:
        async with client(core, store, "car") as car:
            await car.subscribe("$aws/things/car/shadow/update/accepted", qos=1)
            await car.publish(
                "$aws/things/car/shadow/update", b'{"state":{"reported":{"gear":3}}}', qos=1
            )
            await anext(car.messages)
        target = f"{ACCOUNT.arn_prefix}thing/car"
        request = {"jobId": "update-1", "targets": [target], "document": '{"do":"it"}'}
        core.services.jobs.control.create_job(request, core.clock.now_s())
    async with run(store, tmp_path) as core, client(core, store, "car") as car:
        await car.subscribe("$aws/things/car/shadow/get/accepted", qos=1)
        await car.publish("$aws/things/car/shadow/get", b"", qos=1)
        shadow = json.loads((await anext(car.messages)).payload)
        assert (shadow["state"], shadow["version"]) == ({"reported": {"gear": 3}}, 1)
        await car.subscribe("$aws/things/car/jobs/start-next/accepted", qos=1)
        await car.publish("$aws/things/car/jobs/start-next", b"{}", qos=1)
        job = json.loads((await anext(car.messages)).payload)
        assert job["execution"]["jobDocument"] == {"do": "it"}


async def test_a_certificate_that_was_deactivated_stays_so(store: Store, tmp_path: Path) -> None:
    """The registry is kept."""
    key = store.identity("car").certificate_id()
    async with run(store, tmp_path) as core:
        core.registry.set_status(key, CertificateStatus.INACTIVE)
        core.registry.put_thing(Thing("made-by-hand", attributes={"colour": "red"}))
    with Persistence(tmp_path) as persistence:
        registry = Registry()
        persistence.load({"registry": registry})
        assert not registry.is_active(key)
        made = registry.thing("made-by-hand")
        assert made is not None
        assert made.attributes == {"colour": "red"}


@pytest.mark.parametrize(("away_s", "is_there"), [(3500, True), (3700, False)])
async def test_a_session_runs_out_while_the_machine_is_off(
    store: Store, tmp_path: Path, away_s: float, is_there: bool
) -> None:
    """The hour of the session goes on while no process runs."""
    machine = Machine()
    async with run(store, tmp_path, machine=machine) as core, client(core, store, "car"):
        pass
    machine.moved_s = away_s
    async with run(store, tmp_path, machine=machine) as core:
        assert [found.client_id for found in core.clients()] == ["car"] * is_there


async def test_nothing_is_written_when_nothing_happens(store: Store, tmp_path: Path) -> None:
    """With everybody offline the disk can sleep; with somebody online the time is kept."""
    async with run(store, tmp_path, every_s=0.02) as core:
        await until(lambda: core.persistence.saves == 1)
        async with client(core, store, "car"):
            saves = core.persistence.saves
            await until(lambda: core.persistence.saves > saves + 2)


async def test_a_second_server_on_the_same_directory_is_refused(
    store: Store, tmp_path: Path
) -> None:
    """Before it listens; the first one goes on."""
    async with run(store, tmp_path) as core:
        with pytest.raises(StorageError, match="in use by another process"):
            async with run(store, tmp_path):
                pass
        async with client(core, store, "car"):
            pass


async def test_a_damaged_document_names_the_file(store: Store, tmp_path: Path) -> None:
    """A service that cannot read what it had stops the start."""
    async with run(store, tmp_path):
        pass
    directory = DataDirectory(tmp_path)
    directory.write([Change(Kind.DOCUMENT, "shadows", encode([{"shadows": 3}, {}]))])
    directory.commit(1.0)
    directory.close()
    with pytest.raises(StorageError, match=f"{FILE_NAME} is damaged: shadows"):
        async with run(store, tmp_path):
            pass


async def test_no_private_key_is_ever_written(store: Store, tmp_path: Path) -> None:
    """Not even when the stand-in made the key itself."""
    async with run(store, tmp_path) as core:
        async with client(core, store, "car") as car:
            await car.subscribe("$aws/certificates/create/json/accepted", qos=1)
            await car.publish("$aws/certificates/create/json", b"{}", qos=1)
            made = json.loads((await anext(car.messages)).payload)
            assert "PRIVATE KEY" in made["privateKey"]
        secret = made["privateKey"].splitlines()[1].encode()
    written = contents(tmp_path)
    assert secret not in written
    assert b"PRIVATE KEY" not in written


async def test_a_failed_save_is_made_up_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs nothing that the next save cannot still write."""
    async with run(store, tmp_path / "data", every_s=0.02) as core:
        await until(lambda: core.persistence.saves == 1)
        fail = StorageError("the disk is full", "make room")

        def refuse(*_arguments: object) -> None:
            raise fail

        with monkeypatch.context() as patch:
            patch.setattr(DataDirectory, "commit", refuse)
            async with client(core, store, "car") as car:
                await car.subscribe("cmd/#", qos=1)
            await core.publish("cmd/x", b"1", qos=1)
            await until(lambda: core.persistence.failed_saves > 1)
        # The first of these saves may have begun before, the second has everything.
        saves = core.persistence.saves
        async with client(core, store, "app"):
            await until(lambda: core.persistence.saves > saves + 1)
        await until(lambda: core.persistence.saves > saves + 2)
        as_if_killed = shutil.copytree(tmp_path / "data", tmp_path / "copy")
    async with run(store, as_if_killed) as core, client(core, store, "car") as car:
        await core.publish("cmd/end", b"", qos=1)
        assert await drain(car, "cmd/end") == [("cmd/x", b"1")]


async def test_a_server_may_be_entered_again(store: Store, tmp_path: Path) -> None:
    """The same objects serve twice, and what the first time left is there the second time."""
    async with run(store, tmp_path) as core:
        async with client(core, store, "car") as car:
            await car.subscribe("cmd/#", qos=1)
        await core.publish("cmd/x", b"1", qos=1)
        await core.__aexit__(None, None, None)
        await core.__aenter__()
        async with client(core, store, "car") as car:
            await core.publish("cmd/end", b"", qos=1)
            assert await drain(car, "cmd/end") == [("cmd/x", b"1")]
