"""CPU and memory of a real agent process that bridges a busy simulator with its default settings.

In: ego status, 20 objects and inertial unit at 50 Hz each, the receiver at 20 Hz. Out: the streams
of the default configuration, batched, over mutual TLS. CPU is user and system time of all threads
of the agent, read from /proc around a window in steady state.
"""

from __future__ import annotations

import asyncio
import statistics

from tests.bench import machine
from tests.bench.agent_rig import every, tapped_agent
from tests.bench.figure import Figure
from tests.bench.scene import TICK_S, busy_scene

BUDGET_CPU_PERCENT = 10.0
BUDGET_MEMORY_MB = 80.0
_WARM_UP_S = 3.0
_CYCLE = 500


def measure(*, quick: bool) -> list[Figure]:
    """Share of one core and resident memory."""
    repetitions, seconds = (1, 4.0) if quick else (3, 12.0)
    return machine.run(_run(repetitions, seconds))


async def _run(repetitions: int, seconds: float) -> list[Figure]:
    scene = busy_scene()
    ticks = [scene.tick() for _ in range(_CYCLE)]
    published: list[int] = []

    def on_publish(_topic: str, payload: bytes, _at_ns: int) -> None:
        published.append(len(payload))

    async with tapped_agent(on_publish) as (rig, _):

        def play(number: int) -> None:
            for channel, data in ticks[number % _CYCLE]:
                rig.send(channel, data)

        await every(TICK_S, _WARM_UP_S, play)
        cpu_percent, memory_mb = [], []
        published.clear()
        for _ in range(repetitions):
            began_s, began_cpu_s = asyncio.get_running_loop().time(), machine.cpu_s(rig.pid)
            await every(TICK_S, seconds, play)
            took_s = asyncio.get_running_loop().time() - began_s
            cpu_percent.append((machine.cpu_s(rig.pid) - began_cpu_s) / took_s * 100)
            memory_mb.append(machine.resident_mb(rig.pid))
        peak_mb = machine.resident_mb(rig.pid, "VmHWM")
    rate = len(published) / (repetitions * seconds)
    size = statistics.fmean(published)
    how = f"/proc, {repetitions} x {seconds:g} s after {_WARM_UP_S:g} s of warm-up"
    return [
        Figure(
            "agent CPU, 50 Hz ego + 20 objects + IMU + GPS",
            "% of a core",
            tuple(cpu_percent),
            f"{how}; {rate:.1f} messages/s of {size:,.0f} bytes out",
            BUDGET_CPU_PERCENT,
        ),
        Figure(
            "agent resident memory, same load",
            "MB",
            tuple(memory_mb),
            f"VmRSS at the end of each; {peak_mb:.1f} MB at most (VmHWM)",
            BUDGET_MEMORY_MB,
        ),
    ]
