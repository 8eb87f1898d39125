"""The scene that the benchmarks share: a car among twenty moving objects.

Owns the choice of scene and the datagrams it gives. It must not know what is measured with them.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from agent.morai import DEFAULT_DIALECT, Gear, StatusMode
from agent.vehicle.frames import MapFrame
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import Host
from simulator.morai_host.recorded import RecordedDrive
from simulator.morai_host.simulation import Simulation
from simulator.replay.recording import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.replay.recording import Recording

FRAME = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0, 0.0)
START_S = 1_790_000_000.0
TICK_S = 0.02
"""One tick of the simulator at its default 50 Hz."""

_RECORDING = Path(__file__).parents[2] / "scenarios" / "recordings" / "highway-minute.mcap"
# Ten seconds bring every car into motion.
_SETTLING_TICKS = 500
_SCENARIO = "busy-loop"
_RATES_HZ = {"collision": 0.0, "traffic_light": 0.0}


class Scene:
    """A simulator and its clock.

    Args:
        host: The simulator.

    Attributes:
        host: The simulator.
        now_s: Its time, Unix seconds.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.now_s = START_S

    def tick(self) -> list[tuple[str, bytes]]:
        """Let a fiftieth of a second pass; channel and bytes of each datagram, in order."""
        sent = [(item.channel, item.data) for item in self.host.tick(self.now_s)]
        self.now_s += TICK_S
        return sent


def busy_scene(rates_hz: Mapping[str, float] | None = None) -> Scene:
    """The simulator's own driver among twenty moving objects.

    By default it sends ego status, objects and inertial unit at 50 Hz and the receiver at 20 Hz.
    """
    simulation = Simulation(_SCENARIO, mode=StatusMode.BUILT_IN, gear=Gear.D)
    drive = ModelDrive(simulation, FRAME, DEFAULT_DIALECT, chance=random.Random(0))
    scene = Scene(Host(drive, rates_hz=_RATES_HZ if rates_hz is None else rates_hz))
    for _ in range(_SETTLING_TICKS):
        scene.tick()
    return scene


def recorded_scene(*, loop: bool = False) -> tuple[Scene, MapFrame]:
    """The recorded minute that ships with the project, and where its map lies.

    Args:
        loop: Begin again at the end.
    """
    recording: Recording = read(_RECORDING)
    origin = recording.map_origin
    frame = MapFrame(origin.crs, origin.origin_east_m, origin.origin_north_m, origin.origin_up_m)
    return Scene(Host(RecordedDrive(recording, DEFAULT_DIALECT, loop=loop))), frame
