"""The cloud session against Eclipse Mosquitto: a second opinion on what the broker does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from agent.cloud.publish_window import Message
from agent.cloud.session_values import LinkState
from tests.agent.cloud.rig import HOST, Desk, network, onlooker, options, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from certs.store import Store

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def free_port() -> int:
    """A TCP port that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def mosquitto(store: Store, folder: Path, port: int) -> AsyncIterator[None]:
    """A broker with mutual TLS that forgets everything when it stops."""
    server = store.server_identity()
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"listener {port} {HOST}\n"
        f"cafile {store.ca_certificate_path}\n"
        f"certfile {server.certificate_path}\n"
        f"keyfile {server.key_path}\n"
        "require_certificate true\nallow_anonymous true\npersistence false\n"
        # Otherwise a broker started by root gives up the right to read its key.
        "user root\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        str(MOSQUITTO),
        *("-c", str(settings)),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while b"running" not in (line := await process.stderr.readline()):
                assert line, "mosquitto did not start"
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_messages_go_both_ways(identities: Store, tmp_path: Path) -> None:
    """Both QoS arrive at another client, and its message arrives here."""
    port = free_port()
    async with (
        mosquitto(identities, tmp_path, port),
        onlooker(identities, port, "dt/#") as app,
        session(options(identities, port), {"cmd/+": 1}) as (car, desk),
    ):
        await car.ready(20)
        car.publish(Message("dt/0", b"zero", qos=0))
        car.publish(Message("dt/1", b"one", qos=1))
        await app.arrived(2)
        await app.publish("cmd/1", b"go", qos=1)
        await desk.until(lambda: bool(desk.messages))

        assert app.payloads() == [b"zero", b"one"]
        assert [(m.topic, m.payload) for m in desk.messages] == [("cmd/1", b"go")]


async def test_a_queued_command_survives_a_look_and_is_delivered_once(
    identities: Store, tmp_path: Path
) -> None:
    """What is not acknowledged is delivered again; what is, is not."""
    port = free_port()
    async with mosquitto(identities, tmp_path, port), onlooker(identities, port) as app:
        async with session(options(identities, port), {"cmd/+": 1}) as (car, _):
            await car.ready(20)
        await app.publish("cmd/1", b"go", qos=1)
        async with session(options(identities, port, acknowledge=False)) as (_, looking):
            await looking.until(lambda: bool(looking.messages))
        async with session(options(identities, port)) as (car, taking):
            await taking.until(lambda: bool(taking.messages))
            car.publish(Message("dt/1", b"", qos=1))
            assert await car.drain(20)
        async with session(options(identities, port)) as (_, after):
            await after.connected()
            await app.publish("cmd/last", b"", qos=1)
            await after.until(lambda: bool(after.messages))

    assert (looking.topics(), taking.topics()) == (["cmd/1"], ["cmd/1"])
    assert after.topics() == ["cmd/last"]


async def test_a_clean_stop_is_told_from_a_broken_connection(
    identities: Store, tmp_path: Path
) -> None:
    """After DISCONNECT there is no will; when the network is cut the broker publishes it."""
    port = free_port()
    will = Message("dt/health", b"gone", qos=1)
    async with mosquitto(identities, tmp_path, port), onlooker(identities, port, "dt/#") as app:
        async with session(options(identities, port, will=will)) as (car, _):
            await car.ready(20)
            car.publish(Message("dt/stopped", b"stopped", qos=1))
            assert await car.drain(20)
        async with network(port) as link:
            settings = options(identities, link.port, will=will, reconnect_min_s=3600)
            async with session(settings) as (car, _):
                await car.ready(20)
                link.cut()
                await app.arrived(2)

    assert app.payloads() == [b"stopped", b"gone"]


async def test_a_restarted_broker_is_found_again_and_subscribed_to(
    identities: Store, tmp_path: Path
) -> None:
    """The session reconnects by itself, delivers what waited and hears commands again."""
    port, desk = free_port(), Desk()
    async with contextlib.AsyncExitStack() as stack:
        async with mosquitto(identities, tmp_path, port):
            car, _ = await stack.enter_async_context(
                session(options(identities, port), {"cmd/+": 1}, desk)
            )
            await car.ready(20)
        await desk.failed()
        async with mosquitto(identities, tmp_path, port), onlooker(identities, port) as app:
            await desk.connected(2)
            await car.ready(20)
            await app.publish("cmd/1", b"", qos=1)
            await desk.until(lambda: bool(desk.messages))

    assert desk.topics() == ["cmd/1"]
    assert desk.states[-2][0] is LinkState.DISCONNECTED
