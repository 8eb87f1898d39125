"""A real agent process between a simulator and a broker that are both in the hands of a benchmark.

Owns the process, its identities and configuration in a folder of their own, and the UDP socket that
plays the simulator. The broker side is a `WireTap` unless the benchmark brings another. It must not
know what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cloud.topics import TopicSpace
from agent.links.udp import bind_udp
from certs.errors import LinkError
from certs.store import Store
from simulator.demo.stage import AgentProcess
from simulator.iotcore.tls import ServerTls
from tests.bench.scene import FRAME
from tests.bench.wire_tap import WireTap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

THING = "bench-car"
APPLICATION = "bench-app"
TOPICS = TopicSpace("bench", THING)
_HOST = "127.0.0.1"
_READY_S = 30.0
_LOOK_AGAIN_S = 0.1
_RECEIVES = ("ego_status", "objects", "collision", "traffic_light", "imu", "gps")


@dataclass(slots=True)
class Rig:
    """What a benchmark holds in its hands.

    Attributes:
        pid: The agent's process.
        destinations: Where each simulator channel sends to.
        sender: The socket of the simulator.
        on_control: Called with each ego control datagram and the `perf_counter_ns` of its receipt.
    """

    pid: int
    destinations: dict[str, tuple[str, int]]
    sender: socket.socket
    on_control: Callable[[bytes, int], None] | None = None

    def send(self, channel: str, data: bytes) -> None:
        """Send a datagram as the simulator."""
        self.sender.sendto(data, self.destinations[channel])


class _Simulator(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.rig: Rig | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        at_ns = time.perf_counter_ns()
        if self.rig is not None and self.rig.on_control is not None:
            self.rig.on_control(data, at_ns)


def make_identities(folder: Path) -> Store:
    """Keys and certificates of the car, an application and the broker."""
    store = Store(folder / "identities")
    store.init_authority()
    store.issue_thing(THING)
    store.issue_thing(APPLICATION)
    store.issue_server()
    return store


@contextlib.asynccontextmanager
async def tapped_agent(
    on_publish: Callable[[str, bytes, int], None], streams: str = ""
) -> AsyncIterator[tuple[Rig, WireTap]]:
    """A running agent whose broker is a tap.

    Args:
        on_publish: See `WireTap`.
        streams: The stream sections of its configuration; the defaults when left out.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_identities(folder)
        server = store.server_identity()
        tls = ServerTls(server.certificate_path, server.key_path, [store.ca_certificate_path])
        async with (
            WireTap(tls.context(), on_publish) as tap,
            running_agent(folder, store, tap.port, tap.subscribed.wait, streams) as rig,
        ):
            yield rig, tap


@contextlib.asynccontextmanager
async def running_agent(
    folder: Path,
    store: Store,
    broker_port: int,
    ready: Callable[[], Awaitable[object]],
    streams: str = "",
) -> AsyncIterator[Rig]:
    """A running agent.

    Args:
        folder: Where its configuration and log go.
        store: From `make_identities`.
        broker_port: Port of its broker on the loopback interface.
        ready: Returns when the agent is connected and subscribed.
        streams: The stream sections of its configuration; the defaults when left out.

    Raises:
        LinkError: The agent did not come up.
    """
    loop = asyncio.get_running_loop()
    transport, simulator = await loop.create_datagram_endpoint(
        _Simulator, sock=bind_udp(_HOST, 0, "ego_control")
    )
    port = transport.get_extra_info("sockname")[1]
    configuration, log = folder / "agent.toml", folder / "agent.log"
    text = _configuration(store, broker_port, port, folder / "commands.sqlite", streams)
    configuration.write_text(text, encoding="utf-8")
    agent = AgentProcess(configuration, log)
    agent.start()
    try:
        await _until_ready(agent, ready)
        # A socket of its own, because MORAI SIM sends each channel from one port as well.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((_HOST, 0))
            assert agent._process is not None
            rig = Rig(agent._process.pid, _destinations(log), sender)
            simulator.rig = rig
            yield rig
    finally:
        await agent.stop()
        transport.close()


async def every(period_s: float, duration_s: float, action: Callable[[int], None]) -> None:
    """Call `action` with 0, 1, 2, … on a grid that does not drift; late calls are not skipped."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for number in range(round(duration_s / period_s)):
        await asyncio.sleep(max(0.0, start_s + number * period_s - loop.time()))
        action(number)


async def _until_ready(agent: AgentProcess, ready: Callable[[], Awaitable[object]]) -> None:
    waiting = asyncio.ensure_future(ready())
    try:
        async with asyncio.timeout(_READY_S):
            while agent.is_running and not waiting.done():
                await asyncio.wait([waiting], timeout=_LOOK_AGAIN_S)
    except TimeoutError:
        pass
    if not waiting.done():
        waiting.cancel()
        raise LinkError(f"the agent did not come up: {agent.last_words()}")


def _destinations(log: Path) -> dict[str, tuple[str, int]]:
    # The agent chose its ports itself and says so in its first line.
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("event") == "agent_started":
            return {name: (_HOST, int(port)) for name, port in entry["ports"].items()}
    raise LinkError(f"the agent did not say which ports it has: {log.read_text()[-600:]}")


def _configuration(
    store: Store, broker_port: int, control_port: int, ledger: Path, streams: str
) -> str:
    identity = store.identity(THING)
    east_m, north_m, up_m = FRAME.origin_m
    receive = "\n".join(f"{name} = 0" for name in _RECEIVES)
    return f"""\
[vehicle]
thing = "{THING}"
fleet = "{TOPICS.fleet}"

[broker]
endpoint = "{_HOST}"
port = {broker_port}
certificate = '{identity.certificate_path}'
private_key = '{identity.key_path}'
ca = '{store.ca_certificate_path}'

[simulator.receive]
{receive}

[simulator.send]
ego_control = {control_port}

[map]
crs = '{FRAME.crs_text}'
origin_east_m = {east_m}
origin_north_m = {north_m}
origin_up_m = {up_m}

{streams}

[commands]
ledger = '{ledger}'

[log]
format = "json"
"""
