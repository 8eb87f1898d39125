"""Cars that stand still, spread over a square.

Owns their places; nothing moves and no sensor errs, so `advance` costs nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from agent.vehicle.frames import MapFrame
from simulator.fleet.cars import Cars
from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.places import local_frame_text

if TYPE_CHECKING:
    from simulator.scenario.motion import ParkedMotion


class ParkedCars(Cars):
    """Cars that stand still.

    Args:
        motion: Where.
        count: How many.
        seed: Of their places.
    """

    def __init__(self, motion: ParkedMotion, count: int, seed: int) -> None:
        super().__init__(count, None)
        numbers = np.arange(count)
        east, north, heading = (
            uniform(seed, purpose, numbers, 0)
            for purpose in (Purpose.EAST, Purpose.NORTH, Purpose.TURN)
        )
        self.position_m = motion.spread_m * (2.0 * np.stack([east, north], axis=1) - 1.0)
        frame = MapFrame(local_frame_text(motion.origin.latitude_deg, motion.origin.longitude_deg))
        x, y = self.position_m.T
        self.latitude_deg, self.longitude_deg, _ = frame.many_to_wgs84(x, y, np.zeros(count))
        self.heading_rad = math.tau * heading
        self._sense(0.0)

    def _step(self, dt_s: float) -> None:
        """Nothing moves."""

    def _report(self) -> None:
        """Nothing changes."""

    def _command(self, index: int, speed_mps: float) -> None:
        """Nothing obeys."""

    def advance(self, to_s: float) -> None:
        """Note the time."""
        self.now_s = max(self.now_s, to_s)
