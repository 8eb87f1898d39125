"""A generated city: a square grid of two-way streets with one lane each way.

Owns the layout. Traffic keeps to the right. At a crossing every approach leads through a path
straight on, to the left and to the right, as far as there is a street; the paths are clothoid turns
that meet the lanes tangentially. Paths through a crossing conflict when cars on them would touch.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from simulator.fleet import curves
from simulator.fleet.network import Links, Pace, RoadNetwork, ShapeTable, Turns

LANE_OFFSET_M: Final = 1.75
"""From the middle of a street to the middle of a lane."""
MOUTH_M: Final = 12.0
"""From the middle of a crossing to where its paths begin."""

# Headings 0 to 3 are east, north, west and south; ways on are straight, left and right.
_EAST: Final = np.array([1, 0, -1, 0])
_NORTH: Final = np.array([0, 1, 0, -1])
_TURN: Final = np.array([0, 1, 3])
_WEIGHT: Final = np.array([0.5, 0.25, 0.25])
_ROAD: Final = 0  # shape number; the paths have 1 to 3
# Centre lines closer than this, a car's width and a little, cannot be driven at the same time.
_TOUCH_M: Final = 2.3


def build(
    blocks: int,
    block_m: float,
    *,
    limit_mps: float,
    stop_share: float,
    pace: Pace,
) -> RoadNetwork:
    """Lay out a city whose centre is the origin.

    Args:
        blocks: Blocks along each side.
        block_m: From crossing to crossing, at least 50.
        limit_mps: Posted speed of every street.
        stop_share: Chance that a car has to stop at a crossing.
        pace: How fast cars may go.
    """
    side = blocks + 1
    shapes = _shapes(block_m)
    row, column = np.divmod(np.arange(side * side), side)

    # Streets: one link from each crossing towards each of its neighbours.
    road = np.full((side * side, 4), -1)
    for way in range(4):
        to_row, to_column = row + _NORTH[way], column + _EAST[way]
        there = (to_row >= 0) & (to_row < side) & (to_column >= 0) & (to_column < side)
        road[there, way] = 0
    road[road == 0] = np.arange(np.count_nonzero(road == 0))
    road_from, road_heading = np.nonzero(road >= 0)
    road_to = road_from + side * _NORTH[road_heading] + _EAST[road_heading]

    # Paths: from the end of each street to each street that leaves the crossing, not back.
    ways = road[road_to[:, None], (road_heading[:, None] + _TURN) % 4]
    path_road, path_way = np.nonzero(ways >= 0)
    path_exit = ways[path_road, path_way]
    path_at = road_to[path_road]
    path_heading = road_heading[path_road]

    roads, paths = len(road_from), len(path_road)
    node = np.concatenate([road_from, path_at])
    heading = np.concatenate([road_heading, path_heading])
    # A street begins beyond its crossing, a path before it, both right of the middle line.
    ahead = np.concatenate([np.full(roads, MOUTH_M), np.full(paths, -MOUTH_M)])
    east_m = column[node] * block_m + ahead * _EAST[heading] + LANE_OFFSET_M * _NORTH[heading]
    north_m = row[node] * block_m + ahead * _NORTH[heading] - LANE_OFFSET_M * _EAST[heading]
    links = Links(
        shape=np.concatenate([np.full(roads, _ROAD), 1 + path_way]),
        x_m=east_m - blocks * block_m / 2.0,
        y_m=north_m - blocks * block_m / 2.0,
        yaw_rad=np.asarray(heading * (math.pi / 2.0)),
        stop_chance=np.concatenate([np.full(roads, stop_share), np.zeros(paths)]),
        entry=np.arange(roads + paths) < roads,
    )
    turns = Turns(
        source=np.concatenate([path_road, roads + np.arange(paths)]),
        target=np.concatenate([roads + np.arange(paths), path_exit]),
        weight=np.concatenate([_WEIGHT[path_way], np.ones(paths)]),
        zone=np.concatenate([path_at, np.full(paths, -1)]),
        movement=np.concatenate([3 * path_heading + path_way, np.zeros(paths, np.int64)]),
        through=np.arange(2 * paths) < paths,
        conflicts=_conflicts(shapes),
    )
    return RoadNetwork(ShapeTable(shapes, [limit_mps] * len(shapes), pace), links, turns, pace)


def _shapes(block_m: float) -> list[curves.Shape]:
    quarter = math.pi / 2.0
    return [
        curves.straight(block_m - 2.0 * MOUTH_M),
        curves.straight(2.0 * MOUTH_M),
        curves.turn(quarter, MOUTH_M + LANE_OFFSET_M),
        curves.turn(-quarter, MOUTH_M - LANE_OFFSET_M),
    ]


def _conflicts(shapes: list[curves.Shape]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which of the twelve movements come too close; those of one approach follow each other."""
    lines = []
    for heading in range(4):
        c, s = _EAST[heading], _NORTH[heading]
        for shape in shapes[1:]:
            x, y = shape.x_m - MOUTH_M, shape.y_m - LANE_OFFSET_M
            lines.append(np.stack([c * x - s * y, s * x + c * y], axis=1))
    conflicts = np.zeros((12, 12), dtype=np.bool_)
    for i, one in enumerate(lines):
        for j, other in enumerate(lines):
            if i // 3 != j // 3:
                apart = np.hypot(*(one[:, None, :] - other[None, :, :]).transpose(2, 0, 1))
                conflicts[i, j] = bool(apart.min() < _TOUCH_M)
    return conflicts
