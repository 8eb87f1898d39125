"""From a command to the control datagram it causes, through a real agent process.

Two clocks. For the agent alone, the clock starts right before the broker's end of the agent's
mutual-TLS connection writes the PUBLISH. For the whole way, it starts right before an application
writes its PUBLISH to the IoT Core stand-in, which runs in a process of its own and passes it on.
Both stop when the datagram has been read from the simulator's UDP socket; start and stop are in
this process, so one clock serves, and the paths through the kernel's loopback are in the figure.

A set point is matched with its datagram by the target speed, which is different in each.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.cloud.topics import CommandProtocol
from agent.commands.ledger import ExecutionKey, Ledger
from agent.morai import EgoControl, EgoStatus, LongitudinalType, StatusMode, decode, encode
from certs.errors import LinkError
from tests.bench import machine
from tests.bench.agent_rig import TOPICS, Rig, every, make_identities, running_agent, tapped_agent
from tests.bench.core_process import core_with_application
from tests.bench.figure import Figure
from tests.bench.scene import TICK_S, busy_scene
from tests.bench.timing import Latencies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BUDGET_P99_MS = 5.0
SET_POINT_HZ = 20.0
COMMAND_HZ = 10.0
STOP_HZ = 3.0
"""A stop is repeated for a fifth of a second, and the next one must not be taken for it."""
_KMH_PER_MPS = 3.6
_SLOWEST_MPS, _STEP_MPS, _STEPS = 1.0, 0.01, 3000
# Without a common factor with the steps: every speed comes once, each far from the last one.
_STRIDE = 1117
_READY_S = 10.0
_PATIENCE_S = 0.5
_WARM_UP_S = 1.0
_DELIVERY_S = 0.2
_ANSWERS = TOPICS.response_filter(CommandProtocol.PLAIN)[:-1]
_AGENT_ONLY = "before the broker's write to datagram read from the UDP socket,"
_DURABLE = ", one durable ledger write in it"
_WHOLE_WAY = "before the application's write to datagram read from the UDP socket,"


def measure(*, quick: bool) -> list[Figure]:
    """Percentiles of set points and of discrete commands."""
    repetitions, seconds = (1, 3.0) if quick else (3, 10.0)
    return machine.run(_measure(repetitions, seconds))


async def _measure(repetitions: int, seconds: float) -> list[Figure]:
    figures = _figures(
        "durable ledger write on this disk",
        [_ledger_writes(seconds / 2) for _ in range(repetitions)],
        f"Ledger.begin in the temporary folder at {COMMAND_HZ:g} Hz, SQLite, synchronous=FULL",
        None,
    )
    async with _behind_tap() as bench:
        for what, rate_hz, action, note in (
            ("stop command to control datagram", STOP_HZ, bench.stop, ""),
            ("drive command to control datagram", COMMAND_HZ, bench.command, _DURABLE),
            ("set point to control datagram", SET_POINT_HZ, bench.set_point, ""),
        ):
            runs = await _repeat(bench, repetitions, seconds, 1 / rate_hz, action)
            how = f"{_AGENT_ONLY} at {rate_hz:g} Hz{note}"
            figures += _figures(what, runs, how, BUDGET_P99_MS)
    async with _behind_core() as bench:
        runs = await _repeat(bench, repetitions, seconds, 1 / SET_POINT_HZ, bench.set_point)
        what = "set point to control datagram, whole way"
        figures += _figures(what, runs, f"{_WHOLE_WAY} at {SET_POINT_HZ:g} Hz", None)
    return figures


async def _repeat(
    bench: Bench, repetitions: int, seconds: float, period_s: float, action: Callable[[int], None]
) -> list[Latencies]:
    runs = []
    await every(period_s, _WARM_UP_S, action)
    for _ in range(repetitions):
        await bench.rest()
        await every(period_s, seconds, action)
        await asyncio.sleep(_DELIVERY_S)
        runs.append(bench.latencies)
    return runs


def _ledger_writes(seconds: float) -> Latencies:
    # At the pace of the commands: back to back, many disks are several times as fast.
    writes = Latencies()
    with tempfile.TemporaryDirectory() as name:
        ledger = Ledger(Path(name) / "commands.sqlite")
        for number in range(round(seconds * COMMAND_HZ)):
            time.sleep(1 / COMMAND_HZ)
            key = ExecutionKey(CommandProtocol.PLAIN.value, f"bench-{number}")
            began_ns = time.perf_counter_ns()
            ledger.begin(key, hashlib.sha256(b"%d" % number).digest(), time.time())
            writes.record(time.perf_counter_ns() - began_ns)
        ledger.close()
    return writes


def _figures(
    what: str, runs: list[Latencies], how: str, budget_p99_ms: float | None
) -> list[Figure]:
    count = sum(map(len, runs))
    how = f"{how}; {count} in all"
    return [
        Figure(f"{what} p{percent}", "ms", tuple(run.ms(percent) for run in runs), how, budget)
        for percent, budget in ((50, None), (99, budget_p99_ms))
    ]


class Bench:
    """An agent that drives, and what left and arrived.

    Args:
        rig: The agent.
        publish: Sends a message to the agent: topic, payload, QoS.
    """

    def __init__(self, rig: Rig, publish: Callable[[str, bytes, int], None]) -> None:
        self.latencies = Latencies()
        self._rig = rig
        self._publish = publish
        self._sent_ns: dict[int, int] = {}
        self._stop_sent_ns: int | None = None
        self._sequence = 0
        self._engaged = asyncio.Event()
        self._last_answer = ""
        self._standing = _standing_in_external_mode()
        self._ego = encode(self._standing)
        rig.on_control = self._on_control

    async def engage(self) -> None:
        """Let the agent take the car over.

        Raises:
            LinkError: It did not.
        """
        # The first requests may come before the agent has heard the simulator.
        try:
            async with asyncio.timeout(_READY_S):
                while not self._engaged.is_set():
                    self._sequence += 1
                    self._request("set_control_mode", {"mode": "external"})
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._engaged.wait(), _PATIENCE_S)
        except TimeoutError:
            raise LinkError(f"the agent did not take the car over: {self._last_answer}") from None

    def answered(self, document: bytes) -> None:
        """The agent's answer to a command."""
        self._last_answer = document.decode()
        if json.loads(document).get("status") == "SUCCEEDED":
            self._engaged.set()

    async def simulate(self) -> None:
        """Report at 50 Hz, until cancelled, a car that has the speed it was told to have."""
        while True:
            await every(TICK_S, 60.0, lambda _: self._rig.send("ego_status", self._ego))

    def set_point(self, _number: int) -> None:
        """Publish the next set point of the drive stream."""
        number = self._next()
        document = {"seq": self._sequence, "speed_mps": _speed_mps(number)}
        payload = json.dumps(document).encode()
        self._sent_ns[number] = time.perf_counter_ns()
        self._publish(TOPICS.drive, payload, 0)

    def command(self, _number: int) -> None:
        """Publish the next `drive` command."""
        number = self._next()
        self._sent_ns[number] = self._request("drive", {"target_speed_mps": _speed_mps(number)})

    def stop(self, _number: int) -> None:
        """Publish the next `stop` command."""
        self._sequence += 1
        self._stop_sent_ns = self._request("stop", {})

    async def rest(self) -> None:
        """Wait for stragglers, then start a new histogram."""
        await asyncio.sleep(_DELIVERY_S)
        self._sent_ns.clear()
        self.latencies = Latencies()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence * _STRIDE % _STEPS

    def _request(self, command: str, parameters: dict[str, object]) -> int:
        payload = json.dumps({"command": command, "parameters": parameters}).encode()
        topic = TOPICS.request(CommandProtocol.PLAIN, f"bench-{self._sequence}")
        began_ns = time.perf_counter_ns()
        self._publish(topic, payload, 1)
        return began_ns

    def _on_control(self, data: bytes, at_ns: int) -> None:
        message = decode(data)
        if not isinstance(message, EgoControl):
            return
        speed_kmh = 0.0
        if message.longitudinal_type == LongitudinalType.VELOCITY:
            speed_kmh = message.velocity_kmh
            number = round((speed_kmh / _KMH_PER_MPS - _SLOWEST_MPS) / _STEP_MPS)
            # A repetition of the same datagram finds its number gone.
            sent_ns = self._sent_ns.pop(number, None)
        else:
            sent_ns, self._stop_sent_ns = self._stop_sent_ns, None
        if sent_ns is not None:
            self.latencies.record(at_ns - sent_ns)
        # A drive command reaches its goal, and a stop ends, before the next one comes.
        self._ego = encode(msgspec.structs.replace(self._standing, signed_velocity_kmh=speed_kmh))


def _speed_mps(number: int) -> float:
    return _SLOWEST_MPS + number * _STEP_MPS


def _standing_in_external_mode() -> EgoStatus:
    data = next(data for channel, data in busy_scene().tick() if channel == "ego_status")
    message = decode(data)
    assert isinstance(message, EgoStatus)
    return msgspec.structs.replace(
        message, control_mode=StatusMode.EXTERNAL, signed_velocity_kmh=0.0, velocity_x_kmh=0.0
    )


@contextlib.asynccontextmanager
async def _behind_tap() -> AsyncIterator[Bench]:
    """The agent alone: this process is its broker."""
    benches: list[Bench] = []

    def on_publish(topic: str, payload: bytes, _at_ns: int) -> None:
        if benches and topic.startswith(_ANSWERS):
            benches[0].answered(payload)

    async with tapped_agent(on_publish) as (rig, tap):
        benches.append(Bench(rig, tap.publish))
        async with _engaged(benches[0]) as bench:
            yield bench


@contextlib.asynccontextmanager
async def _behind_core() -> AsyncIterator[Bench]:
    """The whole way: the stand-in between this process and the agent."""
    benches: list[Bench] = []
    online = asyncio.Event()

    def on_message(topic: str, payload: bytes) -> None:
        if topic == TOPICS.telemetry("health") and b'"online"' in payload:
            online.set()
        elif benches and topic.startswith(_ANSWERS):
            benches[0].answered(payload)

    with tempfile.TemporaryDirectory() as name:
        store = make_identities(Path(name))
        async with (
            core_with_application(store, on_message) as (port, application),
            running_agent(Path(name), store, port, online.wait) as rig,
        ):
            benches.append(Bench(rig, application.publish))
            async with _engaged(benches[0]) as bench:
                yield bench


@contextlib.asynccontextmanager
async def _engaged(bench: Bench) -> AsyncIterator[Bench]:
    simulation = asyncio.create_task(bench.simulate(), name="simulate")
    try:
        await bench.engage()
        yield bench
    finally:
        simulation.cancel()
        await asyncio.gather(simulation, return_exceptions=True)
