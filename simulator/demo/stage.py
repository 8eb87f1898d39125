"""Sets the demo's stage: identities, broker, simulator, agent process, and takes it down again.

Everything runs on the loopback interface, in a folder of its own, with keys made for this run. The
agent is the real one, started as its own process with its own configuration file, so that what is
shown is what a user gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agent
from agent.cloud.topics import TopicSpace
from agent.configuration import ENVIRONMENT_PREFIX
from certs.errors import LinkError
from certs.store import Store
from simulator import fleet_policies
from simulator.demo.application import Application
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import account_of, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls
from simulator.morai_host.ports import Pair, PortSet
from simulator.morai_host.server import HostServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.vehicle.frames import MapFrame
    from simulator.morai_host.host import Host

FLEET = "demo"
THING = "demo-car"
APPLICATION_ID = "demo-app"
_HOST = "127.0.0.1"
_PUBLISHED = ("ego_status", "objects", "collision", "traffic_light", "imu", "gps")
_OBEYED = ("ego_control", "lamps", "scenario_load")
_AGENT_START_S = 20.0
_AGENT_STOP_S = 15.0
_AGENT_LOOK_S = 0.2
_LAST_WORDS = 600


@dataclass(frozen=True, slots=True)
class Stage:
    """What is running.

    Attributes:
        core: The IoT Core stand-in.
        host: The MORAI stand-in.
        application: The application, connected and subscribed.
        agent: The agent's process.
        ports: UDP ports of the simulator, both directions.
        folder: Where identities, configuration and the agent's log lie.
    """

    core: CoreServer
    host: Host
    application: Application
    agent: AgentProcess
    ports: PortSet
    folder: Path


class AgentProcess:
    """`morai-agent run` as a child process.

    Args:
        configuration: Its configuration file.
        log: Where its structured log goes.
    """

    def __init__(self, configuration: Path, log: Path) -> None:
        self._configuration = configuration
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        # Ctrl-C in the terminal is for the demo, which then stops the agent in order.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "agent", "run", "--config", str(self._configuration)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # `python -m` imports from the working folder first, so that must not be the user's.
                cwd=self._configuration.parent,
                env=_agent_environment(),
                **apart,
            )

    @property
    def pid(self) -> int | None:
        """Its process id, once it was started."""
        return None if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_WORDS))
            return log.read().decode("utf-8", errors="replace").strip()
        return ""

    async def ended(self) -> int | None:
        """Wait until it ends, whoever ended it; its exit code."""
        while self.is_running:  # noqa: ASYNC110 - a process of Popen sets no event
            await asyncio.sleep(_AGENT_LOOK_S)
        return None if self._process is None else self._process.returncode

    async def stop(self) -> int | None:
        """Ask it to stop as an operating system would, and wait; its exit code, or `None`."""
        if self._process is None:
            return None
        process = self._process
        if process.poll() is None:
            if sys.platform == "win32":
                process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, _AGENT_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            return None


@contextlib.asynccontextmanager
async def set_stage(folder: Path, host: Host, frame: MapFrame) -> AsyncIterator[Stage]:
    """Start everything but the simulator's datagrams, and stop what is left at the end.

    Args:
        folder: An empty folder for identities, configuration and logs; an absolute path.
        host: The simulator; its server is started by `simulator_speaks`.
        frame: Where its map lies on Earth.

    Raises:
        LinkError: The agent did not come up.
    """
    store = Store(folder / "identities")
    store.init_authority()
    store.issue_thing(THING)
    store.issue_thing(APPLICATION_ID)
    server = store.issue_server([_HOST, "localhost"])
    registry = Registry()
    vehicle = fleet_policies.vehicle(FLEET)
    for name, document, thing in (
        (fleet_policies.VEHICLE, vehicle, THING),
        (fleet_policies.APPLICATION, fleet_policies.application(FLEET), APPLICATION_ID),
    ):
        registry.put_policy(Policy.parse(name, document))
        register(registry, store.identity(thing).certificate_id(), [thing], [name])
    account = account_of([Policy.parse(fleet_policies.VEHICLE, vehicle)])
    tls = ServerTls(server.certificate_path, server.key_path, [store.ca_certificate_path])
    ports = _free_ports()
    topics = TopicSpace(FLEET, THING)
    async with CoreServer(registry, tls, _HOST, 0, account=account) as core:
        configuration = folder / "agent.toml"
        configuration.write_text(
            _agent_configuration(store, core.port, ports, frame), encoding="utf-8"
        )
        context = _client_context(store)
        async with Application(_HOST, core.port, context, topics, APPLICATION_ID) as application:
            process = AgentProcess(configuration, folder / "agent.log")
            process.start()
            try:
                if not await _comes_online(process, application):
                    raise LinkError(
                        f"the agent did not come online: {process.last_words()}",
                        f"its log is {folder / 'agent.log'}",
                    )
                yield Stage(core, host, application, process, ports, folder)
            finally:
                await process.stop()


def simulator_speaks(stage: Stage) -> HostServer:
    """The simulator on its ports; enter it to let the datagrams flow, leave it to silence them."""
    return HostServer(stage.host, stage.ports)


async def _comes_online(process: AgentProcess, application: Application) -> bool:
    waiting = asyncio.create_task(
        application.wait_until(lambda: application.health.get("state") == "online", _AGENT_START_S)
    )
    # An agent that gives up at once need not be waited for.
    ending = asyncio.create_task(process.ended())
    try:
        await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.done() and waiting.result()
    finally:
        for task in (waiting, ending):
            task.cancel()
        await asyncio.gather(waiting, ending, return_exceptions=True)


def _agent_environment() -> dict[str, str]:
    """The environment for the agent: of this process, but without settings for another agent."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(ENVIRONMENT_PREFIX)
    }
    # Where this process found the agent, the child finds it, installed or not.
    root = str(Path(agent.__file__).parents[1])
    paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _client_context(store: Store) -> ssl.SSLContext:
    identity = store.identity(APPLICATION_ID)
    context = ssl.create_default_context(cafile=store.ca_certificate_path)
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context


def _free_ports() -> PortSet:
    """Ports that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:

        def free() -> int:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((_HOST, 0))
            return int(sock.getsockname()[1])

        return PortSet(
            publish={channel: Pair(free(), free()) for channel in _PUBLISHED},
            listen={channel: free() for channel in _OBEYED},
        )


def _agent_configuration(store: Store, port: int, ports: PortSet, frame: MapFrame) -> str:
    identity = store.identity(THING)
    east_m, north_m, up_m = frame.origin_m
    receive = "\n".join(f"{name} = {pair.destination}" for name, pair in ports.publish.items())
    send = "\n".join(f"{name} = {number}" for name, number in ports.listen.items())
    # Short batches keep the panel lively; with every sample let through, the books can be closed
    # to the last one.
    streams = "\n".join(
        f"[streams.{name}]\nrate_hz = 0\nmax_delay_s = 0.2"
        for name in ("state", "objects", "gnss", "imu", "traffic_light")
    )
    return f"""\
[vehicle]
thing = "{THING}"
fleet = "{FLEET}"

[broker]
endpoint = "{_HOST}"
port = {port}
certificate = {_toml_text(identity.certificate_path)}
private_key = {_toml_text(identity.key_path)}
ca = {_toml_text(store.ca_certificate_path)}
reconnect_max_s = 5

[simulator.receive]
{receive}

[simulator.send]
{send}

[map]
crs = {_toml_text(frame.crs_text)}
origin_east_m = {east_m}
origin_north_m = {north_m}
origin_up_m = {up_m}

{streams}

[health]
interval_s = 2

[log]
format = "json"
"""


def _toml_text(value: object) -> str:
    # A JSON string is a basic string of TOML 1.0, whose escapes are a superset.
    return json.dumps(str(value), ensure_ascii=False)
