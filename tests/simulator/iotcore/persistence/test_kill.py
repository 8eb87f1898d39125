"""A real `morai-sim core` process, killed without warning."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from certs.store import Store
from tests.client_tls import mutual_tls

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

TIMEOUT_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Certificates of a car and an application."""
    found = Store(tmp_path / "store")
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["car", "app"]))
    return found


@asynccontextmanager
async def core(store: Store, data: Path) -> AsyncIterator[tuple[Process, int]]:
    """A process that listens, and its port. It is killed in the end."""
    arguments = ["core", "--store", str(store.root), "--data-dir", str(data), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *arguments,
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            yield process, json.loads(await process.stdout.readline())["port"]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def client(store: Store, port: int, name: str) -> aiomqtt.Client:
    """A client with a session of an hour."""
    identity = store.identity(name)
    context = mutual_tls(identity)
    lasting: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's own
    lasting.SessionExpiryInterval = 3600
    return aiomqtt.Client(
        "localhost",
        port,
        identifier=name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context,
        clean_start=False,
        properties=lasting,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="paho needs a selector loop")
async def test_a_killed_process_loses_only_what_came_after_its_last_save(
    store: Store, tmp_path: Path
) -> None:
    """Killed while the application is connected; the car finds what was saved before."""
    data = tmp_path / "data"
    async with core(store, data) as (process, port):
        async with client(store, port, "car") as car:
            await car.subscribe("cmd/#", qos=1)
        async with client(store, port, "app") as app:
            await app.publish("cmd/x", b"a message that is saved", qos=1)
            await saved(data, b"a message that is saved")
            process.kill()
            await process.wait()
    async with core(store, data) as (_, port), client(store, port, "car") as car:
        async with client(store, port, "app") as app:
            await app.publish("cmd/end", b"", qos=1)
        messages = [await anext(car.messages) for _ in range(2)]
        assert [message.payload for message in messages] == [b"a message that is saved", b""]


async def saved(data: Path, payload: bytes) -> None:
    """Wait for the save that writes a message."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_written(data, payload):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)


def is_written(data: Path, payload: bytes) -> bool:
    """Whether the bytes are in any file of a folder."""
    return any(payload in path.read_bytes() for path in data.iterdir())
