"""From a simulator datagram to the PUBLISH that carries it, through a real agent process.

The clock starts right before `sendto` of the ego status and stops when the broker's end of the
agent's mutual-TLS connection has read and decrypted the PUBLISH. Both ends are this process, so one
clock serves; the path through the kernel's loopback, twice, and the receiver's decryption are in
the figure. The stream is unbatched (`max_samples = 1`), as somebody would set it who wants the
lowest latency; QoS 1, as by default.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from agent.morai import EgoStatus, decode, encode
from agent.telemetry.payload import decode_batch
from tests.bench import machine
from tests.bench.agent_rig import TOPICS, Rig, every, tapped_agent
from tests.bench.echo import echo
from tests.bench.figure import Figure
from tests.bench.scene import TICK_S, busy_scene
from tests.bench.timing import Latencies

BUDGET_P99_MS = 2.0
_UNBATCHED = "[streams.state]\nmax_samples = 1\nmax_delay_s = 0\nrate_hz = 200"
_WARM_UP_S = 2.0
_DELIVERY_S = 0.2
_CYCLE = 250


def measure(*, quick: bool) -> list[Figure]:
    """Percentiles with the ego status alone, and with everything else of the simulator beside."""
    repetitions, seconds = (1, 3.0) if quick else (3, 12.0)
    figures = []
    for load, others in (("ego status alone", False), ("20 objects, IMU, GPS beside", True)):
        runs, floor = machine.run(_run(repetitions, seconds, others=others))
        count = sum(map(len, runs))
        how = (
            f"before sendto to PUBLISH decrypted at the broker's socket; both loopback paths in;"
            f" {count} samples at 50 Hz, {repetitions} x {seconds:g} s"
        )
        for percent, budget_ms in ((50, None), (99, BUDGET_P99_MS)):
            results = tuple(run.ms(percent) for run in runs)
            figures.append(
                Figure(f"datagram to PUBLISH p{percent}, {load}", "ms", results, how, budget_ms)
            )
        figures.append(
            Figure(
                f"bare echo p99 meanwhile, {load}",
                "ms",
                tuple(run.ms(99) for run in floor),
                "a bare UDP echo through another process, there and back, in the same seconds",
            )
        )
    return figures


async def _run(
    repetitions: int, seconds: float, *, others: bool
) -> tuple[list[Latencies], list[Latencies]]:
    sent_ns: dict[int, int] = {}
    latencies = Latencies()

    def on_publish(topic: str, payload: bytes, at_ns: int) -> None:
        if topic == state_topic:
            # The number of the datagram travels as the east position in metres.
            number = decode_batch(payload).column("Morai.Pose.X")[0]
            assert isinstance(number, int | float)
            began_ns = sent_ns.pop(round(number), None)
            if began_ns is not None:
                latencies.record(at_ns - began_ns)

    state_topic = TOPICS.telemetry("state")
    runs, floor = [], []
    async with tapped_agent(on_publish, _UNBATCHED) as (rig, _), echo() as machine_alone:
        script = Script(rig, sent_ns, others=others)

        def play(step: int) -> None:
            # The echo goes out in the middle between two ticks.
            if step % 2:
                machine_alone.ping()
            else:
                script.play()

        await every(TICK_S / 2, _WARM_UP_S, play)
        for _ in range(repetitions):
            sent_ns.clear()
            latencies = Latencies()
            machine_alone.latencies = Latencies()
            await every(TICK_S / 2, seconds, play)
            await asyncio.sleep(_DELIVERY_S)
            runs.append(latencies)
            floor.append(machine_alone.latencies)
    return runs, floor


class Script:
    """Plays the datagrams of a busy scene and notes when each ego status left.

    Args:
        rig: Where they go.
        sent_ns: Filled with the `perf_counter_ns` of each ego status, by its number.
        others: Send the other channels too, behind the ego status as the simulator does.
    """

    def __init__(self, rig: Rig, sent_ns: dict[int, int], *, others: bool) -> None:
        scene = busy_scene()
        self._ticks = [scene.tick() for _ in range(_CYCLE)]
        self._rig = rig
        self._sent_ns = sent_ns
        self._others = others
        self._number = 0

    def play(self) -> None:
        """One tick of the simulator."""
        self._number += 1
        datagrams = self._ticks[self._number % _CYCLE]
        for channel, data in datagrams:
            if channel == "ego_status":
                numbered = _numbered(data, self._number)
                self._sent_ns[self._number] = time.perf_counter_ns()
                self._rig.send(channel, numbered)
            elif self._others:
                self._rig.send(channel, data)


def _numbered(data: bytes, number: int) -> bytes:
    message = decode(data)
    assert isinstance(message, EgoStatus)
    return encode(msgspec.structs.replace(message, position_x_m=float(number)))
