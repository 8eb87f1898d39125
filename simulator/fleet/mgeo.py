"""A MORAI MGeo map as a road network.

Owns reading `global_info.json`, `node_set.json` and `link_set.json` (MGeo versions 2.8 to 3.0; keys
it does not need are ignored) and what it takes to drive on them for ever. A link is one lane. Links
that follow each other without a choice become one. Roads that end are left out as long as that
leaves most of the map; otherwise, as on a stretch of motorway, whoever reaches an end begins again
at a beginning, and its position jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np

from agent.vehicle.frames import MAX_EXTENT_M, MapFrame
from certs.errors import ConfigurationError
from simulator.fleet import curves
from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.files import MIB, read_bounded
from simulator.fleet.network import Links, Pace, RoadNetwork, ShapeTable, Turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.fleet.arrays import FloatArray

MAX_FILE_BYTES: Final = 512 * MIB
MAX_LINKS: Final = 100_000
MAX_POINTS: Final = 5_000_000
MAX_ROAD_M: Final = 3_000_000.0
"""Length of all links together."""
MAX_WAYS: Final = 16
"""Links that may begin, or end, at one node."""

_MIN_LENGTH_M: Final = 0.05  # a shorter link is a seam of the map, not a road
_MAX_SPEED_MPS: Final = 100.0
_MOST: Final = 0.5
_SETBACK_M: Final = 6.0  # before a merge, where two lanes are already one car wide
_UNIT_MPS: Final = {"": 1 / 3.6, "km/h": 1 / 3.6, "kph": 1 / 3.6, "m/s": 1.0, "mph": 0.44704}
_REMEDY: Final = "name the folder of an MGeo map"

_Coordinate = Annotated[float, msgspec.Meta(ge=-MAX_EXTENT_M, le=MAX_EXTENT_M)]
_Point = tuple[_Coordinate, _Coordinate, _Coordinate]
_Name = Annotated[str, msgspec.Meta(max_length=256)] | int


class _Node(msgspec.Struct):
    idx: _Name


class _Link(msgspec.Struct):
    idx: _Name
    points: list[_Point]
    from_node_idx: _Name | None = None
    to_node_idx: _Name | None = None
    max_speed: float | str | None = None
    speed_unit: str | None = None


@dataclass(slots=True)
class _Road:
    """One or more links in a row: where it leads from and to, and pieces of points and speeds."""

    start: int
    end: int
    pieces: list[tuple[FloatArray, float]]
    length_m: float


def build(
    folder: Path, *, limit_mps: float, stop_share: float, seed: int, pace: Pace
) -> tuple[RoadNetwork, MapFrame]:
    """Read a map.

    Args:
        folder: Where its files are.
        limit_mps: Speed limit of links that state none.
        stop_share: Share of roads, between one choice and the next, that end with a stop.
        seed: Decides which.
        pace: How fast cars may go.

    Raises:
        ConfigurationError: A file is missing, too large or not what MGeo says; it names the file
            and the key.
    """
    info = _decoded(folder, "global_info.json", dict[str, Any])
    frame = MapFrame.from_mgeo(info)
    nodes = _decoded(folder, "node_set.json", list[_Node])
    links = _decoded(folder, "link_set.json", list[_Link])
    where = folder / "link_set.json"
    if not links:
        raise ConfigurationError(f"motion.path: {where} holds no links", _REMEDY)
    if len(links) > MAX_LINKS or sum(len(link.points) for link in links) > MAX_POINTS:
        raise ConfigurationError(
            f"motion.path: {where} holds more than {MAX_LINKS} links or {MAX_POINTS} points",
            "use a smaller map",
        )
    roads = list(_roads(links, {node.idx: n for n, node in enumerate(nodes)}, limit_mps, where))
    if sum(road.length_m for road in roads) > MAX_ROAD_M:
        raise ConfigurationError(
            f"motion.path: {where} holds more than {MAX_ROAD_M / 1000:.0f} km of lanes",
            "use a smaller map",
        )
    roads, seams = _endless(roads, where)
    roads = _joined(roads, seams)
    return _network(roads, stop_share, seed, pace, where), frame


def _decoded(folder: Path, name: str, kind: Any) -> Any:
    path = folder / name
    try:
        return msgspec.json.decode(read_bounded(path, MAX_FILE_BYTES, _REMEDY), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"motion.path: {path}: {error}", _REMEDY) from error


def _roads(
    links: list[_Link], nodes: dict[str | int, int], limit_mps: float, where: Path
) -> Iterator[_Road]:
    """The links as roads between numbered nodes; the ends of a seam become one node."""
    spare = len(nodes)
    ends: list[tuple[int, int]] = []
    for number, link in enumerate(links):
        pair = []
        for key in ("from_node_idx", "to_node_idx"):
            name = getattr(link, key)
            if name is None:
                pair.append(spare)
                spare += 1
            elif name in nodes:
                pair.append(nodes[name])
            else:
                raise ConfigurationError(
                    f"motion.path: {where}: `$[{number}].{key}` is {name!r}, which node_set.json"
                    " does not hold",
                    "use files of one map",
                )
        ends.append((pair[0], pair[1]))
    points = [np.array(link.points).reshape(-1, 3) for link in links]
    lengths = [float(np.hypot(*np.diff(p[:, :2], axis=0).T).sum()) for p in points]
    same = list(range(spare))

    def found(node: int) -> int:
        while same[node] != node:
            same[node] = same[same[node]]
            node = same[node]
        return node

    for (start, end), length in zip(ends, lengths, strict=True):
        if length < _MIN_LENGTH_M:
            same[found(start)] = found(end)
    for number, link in enumerate(links):
        if lengths[number] >= _MIN_LENGTH_M:
            speed = _speed(link, number, limit_mps, where)
            start, end = map(found, ends[number])
            yield _Road(start, end, [(points[number], speed)], lengths[number])


def _speed(link: _Link, number: int, limit_mps: float, where: Path) -> float:
    unit = _UNIT_MPS.get((link.speed_unit or "").strip().lower())
    try:
        value = float(link.max_speed or 0.0)
    except ValueError:
        value = math.nan
    if unit is None or not math.isfinite(value):
        raise ConfigurationError(
            f"motion.path: {where}: `$[{number}].max_speed` is {link.max_speed!r:.40}"
            f" {link.speed_unit or ''!s:.40}",
            "a speed is a number, in km/h unless speed_unit says m/s or mph",
        )
    return min(value * unit, _MAX_SPEED_MPS) if value > 0.0 else limit_mps


def _endless(roads: list[_Road], where: Path) -> tuple[list[_Road], set[int]]:
    """Roads on which one can go on for ever, and nodes at which positions jump."""
    if not roads:
        raise ConfigurationError(f"motion.path: {where} holds no link with a length", _REMEDY)
    core = _without_dead_ends(roads)
    total = sum(road.length_m for road in roads)
    begins = {road.start for road in roads}
    entries = sorted(begins - {road.end for road in roads})
    if sum(road.length_m for road in core) >= _MOST * total or (core and not entries):
        return core, set()
    ends = sorted({road.end for road in roads} - begins)
    onward = {end: entries[n % len(entries)] for n, end in enumerate(ends)}
    for road in roads:
        road.end = onward.get(road.end, road.end)
    return roads, set(onward.values())


def _without_dead_ends(roads: list[_Road]) -> list[_Road]:
    leaving: dict[int, int] = {}
    arriving: dict[int, list[int]] = {}
    for number, road in enumerate(roads):
        leaving[road.start] = leaving.get(road.start, 0) + 1
        arriving.setdefault(road.end, []).append(number)
    gone = [False] * len(roads)
    dead = [node for node in arriving if node not in leaving]
    while dead:
        for number in arriving.get(dead.pop(), ()):
            if not gone[number]:
                gone[number] = True
                start = roads[number].start
                leaving[start] -= 1
                if not leaving[start]:
                    dead.append(start)
    return [road for road, is_gone in zip(roads, gone, strict=True) if not is_gone]


def _joined(roads: list[_Road], seams: set[int]) -> list[_Road]:
    """Make one road of roads that follow each other without a choice."""
    leaving: dict[int, list[int]] = {}
    arriving: dict[int, int] = {}
    for number, road in enumerate(roads):
        leaving.setdefault(road.start, []).append(number)
        arriving[road.end] = arriving.get(road.end, 0) + 1

    def passes(node: int) -> bool:
        return arriving.get(node) == 1 and len(leaving.get(node, ())) == 1 and node not in seams

    done = [False] * len(roads)
    result = []
    # First those that begin at a choice; what is left then are rings, which begin anywhere.
    for at_choice in (True, False):
        for number, road in enumerate(roads):
            if done[number] or (at_choice and passes(road.start)):
                continue
            done[number] = True
            whole = _Road(road.start, road.end, list(road.pieces), road.length_m)
            while passes(whole.end) and not done[leaving[whole.end][0]]:
                following = leaving[whole.end][0]
                done[following] = True
                whole.pieces += roads[following].pieces
                whole.length_m += roads[following].length_m
                whole.end = roads[following].end
            result.append(whole)
    return result


def _network(
    roads: list[_Road], stop_share: float, seed: int, pace: Pace, where: Path
) -> RoadNetwork:
    shapes, limits = [], []
    for road in roads:
        points = np.concatenate([piece for piece, _ in road.pieces])
        shape = curves.from_points(points)
        ends = np.cumsum([np.hypot(*np.diff(p[:, :2], axis=0).T).sum() for p, _ in road.pieces])
        at = np.linspace(0.0, float(ends[-1]), len(shape.x_m))
        piece = np.minimum(np.searchsorted(ends, at), len(ends) - 1)
        shapes.append(shape)
        limits.append(np.array([speed for _, speed in road.pieces])[piece])

    leaving: dict[int, list[int]] = {}
    arriving: dict[int, list[int]] = {}
    for number, road in enumerate(roads):
        leaving.setdefault(road.start, []).append(number)
        arriving.setdefault(road.end, []).append(number)
    if max(map(len, [*leaving.values(), *arriving.values()])) > MAX_WAYS:
        raise ConfigurationError(
            f"motion.path: {where}: more than {MAX_WAYS} links begin or end at one node", _REMEDY
        )
    merges = {node: zone for zone, node in enumerate(n for n, a in arriving.items() if len(a) > 1)}
    lane = {number: rank for ends in arriving.values() for rank, number in enumerate(ends)}
    pairs = [(number, onward) for number, road in enumerate(roads) for onward in leaving[road.end]]
    source, target = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    count = len(roads)
    numbers = np.arange(count)
    return RoadNetwork(
        ShapeTable(shapes, limits, pace),
        Links(
            shape=numbers,
            x_m=np.zeros(count),
            y_m=np.zeros(count),
            yaw_rad=np.zeros(count),
            stop_chance=(uniform(seed, Purpose.SIGN, numbers, 0) < stop_share).astype(float),
            entry=np.ones(count, np.bool_),
        ),
        Turns(
            source=source,
            target=target,
            weight=np.ones(len(pairs)),
            zone=np.array([merges.get(roads[number].end, -1) for number in source]),
            movement=np.array([lane[number] for number in source]),
            through=np.zeros(len(pairs), np.bool_),
            conflicts=~np.eye(max(map(len, arriving.values())), dtype=np.bool_),
        ),
        pace,
        _SETBACK_M,
    )
