"""The MORAI stand-in: what one tick of the simulator costs."""

from __future__ import annotations

from tests.bench.figure import Figure
from tests.bench.scene import Scene, busy_scene, recorded_scene
from tests.bench.timing import cost_us

_ALL_CHANNELS_HZ = {"collision": 50.0, "traffic_light": 50.0}


def measure(*, quick: bool) -> list[Figure]:
    """Time `Host.tick` at 50 Hz; there is no budget, it says what the stand-in takes away."""
    busy = busy_scene(_ALL_CHANNELS_HZ)
    recorded, _ = recorded_scene(loop=True)
    return [
        _figure("simulator tick, busy scene", busy, "every channel on, 20 objects", quick=quick),
        _figure("simulator tick, recorded drive", recorded, "every channel on", quick=quick),
    ]


def _figure(what: str, scene: Scene, load: str, *, quick: bool) -> Figure:
    repetitions, seconds = (3, 0.02) if quick else (9, 0.1)
    runs = cost_us(scene.tick, repetitions=repetitions, seconds=seconds)
    return Figure(what, "us", runs, f"timeit over consecutive ticks of 20 ms, {load}")
