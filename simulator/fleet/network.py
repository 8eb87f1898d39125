"""A road network as arrays: shapes, links that are placed shapes, and turns from link to link.

Owns the geometry tables and the speed that the road allows at every point; it must not know cars.
Links may share a shape, so a city of 160,000 crossings holds four shapes and a few numbers per
link. A turn is one way to go on at the end of a link. Some turns lead through a *zone*, a place
where paths meet and only cars whose movements do not conflict may be at the same time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.fleet.arrays import BoolArray, FloatArray, IntArray
    from simulator.fleet.curves import Shape

CURVE_MARGIN: Final = 0.92
"""Part of the permitted lateral acceleration that is planned with, the rest is for tracking."""
PLANNED_BRAKING: Final = 0.85
"""Part of the comfortable deceleration that is planned with."""
_MAX_ROUNDS: Final = 500  # links in a row, all shorter than the braking distance
_CREEP_MPS: Final = 1.0  # a link too short to stop on is entered no slower than this
_EASE_M: Final = 6.0
"""A curve's speed is reached this far before the curve."""

CAR_LENGTH_M: Final = 4.6
CAR_FRONT_M: Final = 3.7
"""From the rear axle, which is where a car is, to its front bumper."""
CAR_REAR_M: Final = CAR_LENGTH_M - CAR_FRONT_M

X, Y, Z, YAW, BEND = range(5)
"""Columns of `ShapeTable.points`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast cars may go.

    Attributes:
        lateral_mps2: Greatest lateral acceleration in curves.
        brake_mps2: Comfortable deceleration.
    """

    lateral_mps2: float
    brake_mps2: float

    @property
    def planned_mps2(self) -> float:
        """Deceleration that speed profiles are laid out with."""
        return PLANNED_BRAKING * self.brake_mps2


class ShapeTable:
    """The points of all shapes, one after the other.

    Args:
        shapes: The shapes.
        limits_mps: Posted speed at each point of each shape, or one number per shape.
        pace: For the speed profile.

    Attributes:
        first: Index of each shape's first point, shape (shapes,).
        last: Index, counted from the first point, of each shape's last interval.
        length_m: Shape (shapes,).
        per_m: Intervals per metre, shape (shapes,).
        points: Columns x, y, z, yaw and curvature, then the difference of each to the next point,
            shape (points, 10).
        speed_squared: What the road allows over the interval after each point, squared.
        at_start_squared: What it allows at each shape's start, squared.
    """

    def __init__(
        self, shapes: Sequence[Shape], limits_mps: Sequence[FloatArray | float], pace: Pace
    ) -> None:
        sizes = np.array([len(shape.x_m) for shape in shapes])
        self.first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        self.last = (sizes - 2).astype(np.int32)
        self.length_m = np.array([shape.length_m for shape in shapes])
        self.per_m = (sizes - 1) / self.length_m
        columns = [
            np.concatenate(parts)
            for parts in zip(
                *((s.x_m, s.y_m, s.z_m, _wrapped(s.yaw_rad), s.curvature) for s in shapes),
                strict=True,
            )
        ]
        values = np.stack(columns, axis=1)
        steps = np.diff(values, axis=0, append=values[-1:])
        steps[:, YAW] = np.concatenate([np.diff(s.yaw_rad, append=s.yaw_rad[-1]) for s in shapes])
        steps[np.cumsum(sizes) - 1] = 0.0
        self.points = np.ascontiguousarray(np.concatenate([values, steps], axis=1))
        profiles = [_profile(s, limit, pace) for s, limit in zip(shapes, limits_mps, strict=True)]
        self.speed_squared = np.concatenate(
            [np.append(np.minimum(p[1:], p[:-1]), p[-1]) for p in profiles]
        )
        self.at_start_squared = np.array([profile[0] for profile in profiles])


def _profile(shape: Shape, limit_mps: FloatArray | float, pace: Pace) -> FloatArray:
    """Squared speed at each point: posted, in curves, and braking for what comes within it."""
    step_m = shape.length_m / (len(shape.x_m) - 1)
    bend = np.maximum(np.abs(shape.curvature), 1e-9)
    squared = np.minimum(
        np.broadcast_to(np.square(limit_mps), bend.shape), CURVE_MARGIN * pace.lateral_mps2 / bend
    )
    eased = squared.copy()
    for ahead in range(1, min(len(bend), math.ceil(_EASE_M / step_m) + 1)):
        np.minimum(eased[:-ahead], squared[ahead:], out=eased[:-ahead])
    # u(i) = min over j >= i of u(j) + 2 b (s(j) - s(i)): a running minimum from the far end.
    slope = 2.0 * pace.planned_mps2 * step_m * np.arange(len(bend))
    return np.asarray(np.minimum.accumulate((eased + slope)[::-1])[::-1] - slope)


def _wrapped(yaw_rad: FloatArray) -> FloatArray:
    return yaw_rad - math.tau * np.round(yaw_rad / math.tau)


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Links, m of them: each a shape moved and turned to its place.

    Attributes:
        shape: Number of the shape, shape (m,).
        x_m: Where the shape's origin lies, shape (m,).
        y_m: Shape (m,).
        yaw_rad: By how much the shape is turned, shape (m,).
        stop_chance: Chance that a car has to stop at the link's end, shape (m,).
        entry: Whether a drive may begin on the link, shape (m,).
    """

    shape: IntArray
    x_m: FloatArray
    y_m: FloatArray
    yaw_rad: FloatArray
    stop_chance: FloatArray
    entry: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """Ways on from the ends of links, t of them, in order of `source`.

    Attributes:
        source: Link that ends, shape (t,).
        target: Link that is entered, shape (t,).
        weight: How often it is taken in proportion to the source's other turns, shape (t,).
        zone: Zone that the turn leads through, or -1, shape (t,).
        movement: Row and column of the turn in `conflicts`, shape (t,).
        through: Whether the zone also covers the whole target link (a path inside a crossing);
            otherwise it ends at the target's beginning (a merge), shape (t,).
        conflicts: Which movements through a zone exclude each other; symmetric, shape (k, k).
    """

    source: IntArray
    target: IntArray
    weight: FloatArray
    zone: IntArray
    movement: IntArray
    through: BoolArray
    conflicts: BoolArray


class RoadNetwork:
    """Where cars can drive.

    Args:
        table: The shapes.
        links: The links; every link needs at least one turn.
        turns: The turns.
        pace: How fast cars may go.
        setback_m: How far before a link's end a car's front stops.

    Attributes:
        length_m: Of each link, shape (m,).
        start_squared: Squared speed at which a link may be entered so that everything behind its
            beginning can still be met with the planned deceleration, shape (m,).
        stop_m: Where on a link a car stands that has to stop at its end, shape (m,).
        zones: Number of zones.
        turn_key: Increasing; `searchsorted(turn_key, link + u, "right")` is the turn that a
            number u in [0, 1) chooses at the end of a link.
        is_moved: Whether any link is placed away from its shape.
    """

    def __init__(
        self, table: ShapeTable, links: Links, turns: Turns, pace: Pace, setback_m: float = 1.0
    ) -> None:
        self.table, self.links, self.turns, self.pace = table, links, turns, pace
        self._setback_m = setback_m
        self.length_m = table.length_m[links.shape]
        self.stop_m = np.maximum(self.length_m - setback_m - CAR_FRONT_M, 0.5 * self.length_m)
        self.zones = int(turns.zone.max(initial=-1)) + 1
        self.is_moved = bool(np.any(links.x_m) or np.any(links.y_m) or np.any(links.yaw_rad))
        first = np.flatnonzero(np.diff(turns.source, prepend=-1))
        if len(first) != len(links.shape) or np.any(np.diff(turns.source) < 0):
            raise ValueError("turns must be sorted, and every link needs one")
        self.turn_key = _keys(turns, first)
        self.start_squared = self._entry_speeds(first)

    @property
    def count(self) -> int:
        """Number of links."""
        return len(self.links.shape)

    def extent_m(self) -> tuple[float, float, float, float]:
        """West, south, east and north end of a box that holds all links."""
        table, links = self.table, self.links
        xs, ys = table.points[:, X], table.points[:, Y]
        low = np.array([np.minimum.reduceat(v, table.first) for v in (xs, ys)])
        high = np.array([np.maximum.reduceat(v, table.first) for v in (xs, ys)])
        if self.is_moved:
            reach = np.hypot(*np.maximum(np.abs(low), np.abs(high)))
            low, high = np.array([-reach, -reach]), np.array([reach, reach])
        return (
            float(np.min(low[0][links.shape] + links.x_m)),
            float(np.min(low[1][links.shape] + links.y_m)),
            float(np.max(high[0][links.shape] + links.x_m)),
            float(np.max(high[1][links.shape] + links.y_m)),
        )

    def layered(self, layers: int) -> RoadNetwork:
        """The same roads several times over; cars of different layers do not see one another."""
        if layers == 1:
            return self
        links, turns = self.links, self.turns
        layer = np.repeat(np.arange(layers, dtype=np.int64), len(turns.source))
        zone = np.tile(turns.zone, layers)
        return RoadNetwork(
            self.table,
            Links(
                shape=np.tile(links.shape, layers),
                x_m=np.tile(links.x_m, layers),
                y_m=np.tile(links.y_m, layers),
                yaw_rad=np.tile(links.yaw_rad, layers),
                stop_chance=np.tile(links.stop_chance, layers),
                entry=np.tile(links.entry, layers),
            ),
            Turns(
                source=np.tile(turns.source, layers) + layer * self.count,
                target=np.tile(turns.target, layers) + layer * self.count,
                weight=np.tile(turns.weight, layers),
                zone=np.where(zone >= 0, zone + layer * self.zones, -1),
                movement=np.tile(turns.movement, layers),
                through=np.tile(turns.through, layers),
                conflicts=turns.conflicts,
            ),
            self.pace,
            self._setback_m,
        )

    def _entry_speeds(self, first: IntArray) -> FloatArray:
        """Fixed point of "no faster than I can leave by the slowest way on, plus braking room".

        Only links shorter than the braking distance are held down by what follows them; a car on a
        longer one sees its own way on in time.
        """
        speeds: FloatArray = self.table.at_start_squared[self.links.shape]
        braking = 2.0 * self.pace.planned_mps2
        gated = self.links.stop_chance > 0.0
        gated[self.turns.source[self.turns.zone >= 0]] = True
        to_stop = np.where(gated, np.maximum(braking * self.stop_m, _CREEP_MPS**2), np.inf)
        speeds = np.minimum(speeds, to_stop)
        room = braking * self.length_m
        for _ in range(_MAX_ROUNDS):
            slowest = np.minimum.reduceat(speeds[self.turns.target], first)
            lower = np.minimum(speeds, slowest + room)
            if np.array_equal(lower, speeds):
                break
            speeds = lower
        return speeds


def _keys(turns: Turns, first: IntArray) -> FloatArray:
    running = np.cumsum(turns.weight)
    before = np.concatenate([[0.0], running])[first]
    totals = np.add.reduceat(turns.weight, first)
    of_link = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(turns.source))))
    share = (running - before[of_link]) / totals[of_link]
    share[np.append(first[1:], len(share)) - 1] = 1.0
    return np.asarray(turns.source + share)
