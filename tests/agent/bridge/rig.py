"""A bridge between a car in memory and the IoT Core stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.bridge.runtime import Bridge
from agent.configuration import AgentConfiguration, load_configuration
from agent.links import MemoryLink
from tests.agent.bridge import datagrams as wire
from tests.agent.cloud.rig import HOST, PATIENCE_S, Onlooker
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from certs.store import Store

HEALTH = f"dt/morai/demo/{CAR}/health"
DRIVE = f"cmd/morai/demo/{CAR}/drive"
_REPORT_PERIOD_S = 0.02


def write_configuration(folder: Path, store: Store, port: int, extra: str = "") -> Path:
    """An agent.toml for the car that reconnects fast and takes any free UDP port.

    Args:
        folder: Where the file and the ledger go.
        store: Identities.
        port: Of the broker.
        extra: More TOML, with keys of `[broker]` first if there are any.
    """
    identity = store.identity(CAR)
    path = folder / "agent.toml"
    path.write_text(
        f"""\
[vehicle]
thing = "{CAR}"

[broker]
endpoint = "{HOST}"
port = {port}
certificate = '{identity.certificate_path}'
private_key = '{identity.key_path}'
ca = '{store.ca_certificate_path}'
reconnect_min_s = 0.1
reconnect_max_s = 0.2
{extra}
""",
        encoding="utf-8",
    )
    return path


class Wire(MemoryLink):
    """The memory link, with a way to wait for what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()
        self.on_control: Callable[[wire.Control], None] = lambda _control: None

    def send(self, channel: str, data: bytes) -> bool:
        """Take a datagram of the agent."""
        sent = super().send(channel, data)
        if sent and channel == "ego_control":
            self.on_control(wire.control(data))
        self.changed.set()
        return sent

    def controls(self, since: int = 0) -> list[wire.Control]:
        """Ego controls sent, without the first `since` datagrams."""
        return [
            wire.control(data) for channel, data in self.sent[since:] if channel == "ego_control"
        ]

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until `condition` holds, looking again at every datagram sent."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Car:
    """A simulated car that obeys at once: target speeds jump, the full brake stops.

    As in MORAI SIM the last command stays in force, and the car obeys in external mode only.
    """

    def __init__(self, link: Wire) -> None:
        self.link = link
        self.mode = 1
        self.speed_kmh = 0.0
        self.is_stuck = False
        link.on_control = self.obey

    def obey(self, control: wire.Control) -> None:
        """Take a control command."""
        if control.mode:
            self.mode = control.mode
        if self.mode != 2:
            return
        if control.is_full_brake:
            self.speed_kmh = 0.0
        elif control.kind == 2 and not self.is_stuck:
            self.speed_kmh = control.velocity_kmh

    def report(self) -> None:
        """Send one ego status."""
        data = wire.ego_status(speed_kmh=self.speed_kmh, mode=self.mode)
        self.link.deliver("ego_status", data)

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Send ego statuses at 50 Hz until the block is left."""

        async def report_for_ever() -> None:
            while True:
                self.report()
                await asyncio.sleep(_REPORT_PERIOD_S)

        task = asyncio.create_task(report_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@dataclass(slots=True)
class Running:
    """A bridge that runs as a task."""

    bridge: Bridge
    link: Wire
    car: Car
    stop: asyncio.Event
    task: asyncio.Task[None]
    answered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def end(self) -> None:
        """Ask it to end and wait until it did."""
        self.stop.set()
        await asyncio.wait_for(self.task, PATIENCE_S)


@contextlib.asynccontextmanager
async def running(
    configuration: AgentConfiguration, boot_id: str = "b007"
) -> AsyncIterator[Running]:
    """A bridge on a memory link; ended in order when the block is left."""
    link, stop = Wire(), asyncio.Event()
    bridge = Bridge(configuration, link, boot_id)
    task = asyncio.create_task(bridge.run(stop))
    try:
        yield Running(bridge, link, Car(link), stop, task)
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), PATIENCE_S)


def configuration(folder: Path, store: Store, port: int, extra: str = "") -> AgentConfiguration:
    """The configuration of `write_configuration`, loaded."""
    return load_configuration(write_configuration(folder, store, port, extra), {})


class Control:
    """The cloud side: sends commands and reads answers and health through the application."""

    def __init__(self, app: Onlooker) -> None:
        self.app = app

    async def send(self, execution_id: str, command: str, /, **parameters: Any) -> None:
        """Publish a request on the plain protocol."""
        body = json.dumps({"command": command, "parameters": parameters}).encode()
        await self.app.publish(f"cmd/morai/demo/{CAR}/req/{execution_id}", body, qos=1)

    async def set_point(self, seq: int, **values: float) -> None:
        """Publish a set point of the drive stream."""
        await self.app.publish(DRIVE, json.dumps({"seq": seq, **values}).encode(), qos=0)

    def answers(self, execution_id: str) -> list[str]:
        """Statuses received for an execution, each with its reason code if it has one."""
        found = []
        for message in self.app.messages:
            topic = str(message.topic)
            if execution_id in topic.split("/") and "/res" in topic:
                document = json.loads(bytes(message.payload))
                reason = document.get("statusReason", {}).get("reasonCode")
                found.append(" ".join(filter(None, (document["status"], reason))))
        return found

    async def answer(self, execution_id: str, *wanted: str) -> list[str]:
        """Wait for the last of `wanted` among the statuses of an execution; all of them."""
        await self.app.until(lambda: wanted[-1] in self.answers(execution_id))
        return self.answers(execution_id)

    async def command(self, execution_id: str, command: str, /, **parameters: Any) -> None:
        """Send a command and wait until it succeeded."""
        await self.send(execution_id, command, **parameters)
        await self.answer(execution_id, "SUCCEEDED")

    def health(self) -> list[dict[str, Any]]:
        """Health documents received, in order."""
        return [json.loads(payload) for payload in self.app.payloads(HEALTH)]

    async def state(self, wanted: str) -> dict[str, Any]:
        """Wait until the last health document says so; that document."""
        await self.app.until(lambda: bool(self.health()) and self.health()[-1]["state"] == wanted)
        return self.health()[-1]
