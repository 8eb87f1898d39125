"""The loop road the stand-in drives on: two straights joined by two half circles, run left-handed.

Owns the road's geometry, lanes and link names. It must not know who drives on it. A place on the
road is a distance `s_m` along the reference line (the line between the two lanes) and an offset,
positive to the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_SEGMENTS = ("SOUTH", "EAST", "NORTH", "WEST")


@dataclass(frozen=True, slots=True)
class LoopRoad:
    """A stadium-shaped road whose lanes run in the same, counter-clockwise, direction.

    Attributes:
        west_m: East coordinate at which the southern straight begins.
        south_m: North coordinate of the southern straight's reference line.
        straight_m: Length of a straight.
        radius_m: Radius of the reference line in the bends.
        lane_width_m: Width of a lane. Lane 0 is the rightmost one.
        lanes: Number of lanes.
    """

    west_m: float = 60.0
    south_m: float = 40.0
    straight_m: float = 260.0
    radius_m: float = 45.0
    lane_width_m: float = 3.5
    lanes: int = 2

    @property
    def length_m(self) -> float:
        """Length of the reference line once around."""
        return 2.0 * self.straight_m + 2.0 * math.pi * self.radius_m

    def lane_offset(self, lane: float) -> float:
        """Offset of a lane's centre from the reference line."""
        return (lane - (self.lanes - 1) / 2.0) * self.lane_width_m

    def pose(self, s_m: float, offset_m: float = 0.0) -> tuple[float, float, float]:
        """East, north and yaw at a place on the road; yaw grows from 0 to 2 pi around the loop."""
        half = self.length_m / 2.0
        s = s_m % self.length_m
        # The northern half is the southern half turned by 180 degrees about the loop's middle.
        sign, base = (1.0, 0.0) if s < half else (-1.0, math.pi)
        u = s if s < half else s - half
        turn = max(u - self.straight_m, 0.0) / self.radius_m
        radius = self.radius_m - offset_m
        east = min(u, self.straight_m) - self.straight_m / 2.0 + radius * math.sin(turn)
        north = -radius * math.cos(turn)
        return (
            self.west_m + self.straight_m / 2.0 + sign * east,
            self.south_m + self.radius_m + sign * north,
            base + turn,
        )

    def locate(self, x_m: float, y_m: float) -> tuple[float, float]:
        """The distance and offset of the road's place nearest to a point."""
        east = x_m - self.west_m - self.straight_m / 2.0
        north = y_m - self.south_m - self.radius_m
        half = self.length_m / 2.0
        edge = self.straight_m / 2.0
        if abs(east) <= edge:
            if north <= 0.0:
                return east + edge, north + self.radius_m
            return half + edge - east, self.radius_m - north
        base, sign = (self.straight_m, 1.0) if east > 0.0 else (half + self.straight_m, -1.0)
        across, along = sign * east - edge, sign * north
        turn = math.atan2(across, -along)
        return base + self.radius_m * turn, self.radius_m - math.hypot(across, along)

    def curvature(self, s_m: float) -> float:
        """Curvature of the reference line, positive to the left."""
        return 1.0 / self.radius_m if s_m % (self.length_m / 2.0) > self.straight_m else 0.0

    def ahead_m(self, from_s_m: float, to_s_m: float) -> float:
        """How far ahead one place lies of another, in [0, length)."""
        return (to_s_m - from_s_m) % self.length_m

    def lane_at(self, offset_m: float) -> int:
        """The lane that an offset lies in; beyond the edges the nearest one."""
        lane = math.floor(offset_m / self.lane_width_m + self.lanes / 2.0)
        return min(max(lane, 0), self.lanes - 1)

    def link_id(self, s_m: float, lane: int) -> str:
        """Name of the link: the segment and the lane."""
        half = self.length_m / 2.0
        s = s_m % self.length_m
        segment = 2 * int(s >= half) + int(s % half > self.straight_m)
        return f"LOOP-{_SEGMENTS[segment]}-{lane}"
