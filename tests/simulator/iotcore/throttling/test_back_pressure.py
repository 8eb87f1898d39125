"""Reading that stops and goes on, over real sockets and TLS, on both event loops."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from certs.store import Store
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import DEVELOPMENT_POLICY, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.throttling.account import AccountQuotas
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TIMEOUT_S = 30.0
MEGABYTE = 1024 * 1024
PUBLISH = mqtt5.PublishPacket("t", b"x" * 60_000, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1).write()
PING = mqtt5.PingReqPacket().write()


def run_asyncio(main: Coroutine[Any, Any, None]) -> None:
    """The event loop of the standard library."""
    asyncio.run(main)


def run_uvloop(main: Coroutine[Any, Any, None]) -> None:
    """The one the stand-in uses where it exists."""
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(main)


RUNNERS = [run_asyncio] if sys.platform == "win32" else [run_asyncio, run_uvloop]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of two things."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["fast", "other"]))
    return found


def make_server(store: Store, kilobytes_per_s: float) -> CoreServer:
    """A server with this throughput for each connection."""
    registry = Registry()
    registry.put_policy(DEVELOPMENT_POLICY)
    for name in ("fast", "other"):
        register(registry, store.identity(name).certificate_id(), [name], [DEVELOPMENT_POLICY.name])
    identity = store.server_identity()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    quotas = AccountQuotas(
        table_with({"throughput-per-connection": kilobytes_per_s, "publishes-per-connection": 1e6})
    )
    return CoreServer(registry, tls, port=0, quotas=quotas)


async def join(
    store: Store, name: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection past CONNACK."""
    identity = store.identity(name)
    context = mutual_tls(identity)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(mqtt5.ConnectPacket(name, clean_start=True).write())
    _, length = await reader.readexactly(2)
    await reader.readexactly(length)
    return reader, writer


@pytest.mark.parametrize("run", RUNNERS)
def test_a_client_ahead_of_its_rate_meets_a_full_socket(
    store: Store, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """Of 30 MB at 1 KB/s next to nothing is read, while another client is served."""

    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S), make_server(store, 1.0) as core:
            _, fast = await join(store, "fast", core.port)
            reader, other = await join(store, "other", core.port)
            for _ in range(30 * MEGABYTE // len(PUBLISH)):
                fast.write(PUBLISH)
            while "throughput-per-connection" not in core.quota_report():
                other.write(PING)
                await reader.readexactly(2)
            for _ in range(200):
                other.write(PING)
                await reader.readexactly(2)
            assert core.counters()["bytes_in"] < MEGABYTE
            assert not fast.transport.is_closing()
            fast.transport.abort()
            other.transport.abort()

    run(main())


@pytest.mark.parametrize("run", RUNNERS)
def test_everything_arrives_in_the_end(
    store: Store, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """Delayed is not lost: each of the QoS 1 publishes gets its PUBACK."""

    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S), make_server(store, 1000.0) as core:
            reader, fast = await join(store, "fast", core.port)
            for _ in range(30):
                fast.write(PUBLISH)
            for _ in range(30):
                assert await reader.readexactly(4) == b"\x40\x02\x00\x01"
            assert core.quota_report()["throughput-per-connection"]["refused"] >= 1
            fast.transport.abort()

    run(main())
