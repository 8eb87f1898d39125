"""A line from a GPX or CSV file as a road that never ends.

Owns reading the two formats and closing the line: either its end is joined to its start, or there
are two lanes, there and back, with a turning loop at each end. Recorded tracks are noisy and have
corners no car can drive, so the line is smoothed before it becomes a road.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final

import gpxpy
import gpxpy.gpx
import numpy as np

from agent.vehicle.frames import MapFrame, OutsideMapError
from certs.errors import ConfigurationError
from simulator.fleet import curves
from simulator.fleet.files import MIB, read_bounded
from simulator.fleet.network import Links, Pace, RoadNetwork, ShapeTable, Turns
from simulator.fleet.places import local_frame_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.fleet.arrays import FloatArray

MAX_FILE_BYTES: Final = 16 * MIB
MAX_POINTS: Final = 100_000
MIN_LENGTH_M: Final = 30.0
MAX_LENGTH_M: Final = 500_000.0

_SMOOTH_M: Final = 4.0
_THIN_M: Final = 3.0  # points nearer than this to the one before say more about noise than the road
_LANE_OFFSET_M: Final = 1.75
_LOOP_RADIUS_M: Final = 6.0
_REMEDY: Final = "name a .gpx file, or a .csv file with columns latitude_deg and longitude_deg"
# Coordinates of places on Earth that a transverse Mercator projection reaches.
_MAX_LATITUDE_DEG: Final = 84.0
_MAX_LONGITUDE_DEG: Final = 180.0
_MAX_ALTITUDE_M: Final = 100_000.0

Place = tuple[float, float, float]


def build(
    path: Path, *, closed: bool, limit_mps: float, pace: Pace
) -> tuple[RoadNetwork, MapFrame]:
    """Make the road of a line, one link that leads back to its own beginning.

    Args:
        path: The file.
        closed: Join the end to the start; otherwise there and back.
        limit_mps: Speed limit everywhere.
        pace: How fast cars may go.

    Raises:
        ConfigurationError: The file is missing, too large, no line, or not on Earth.
    """
    places = read_places(path)
    points, frame = _projected(places, path)
    line = _thinned(points)
    if closed:
        line = np.concatenate([line, line[:1]])
    length_m = float(np.hypot(*np.diff(line[:, :2], axis=0).T).sum())
    if not MIN_LENGTH_M <= length_m <= MAX_LENGTH_M:
        raise ConfigurationError(
            f"motion.path: the line in {path} is {length_m:.0f} m long",
            f"a line has {MIN_LENGTH_M:.0f} m to {MAX_LENGTH_M / 1000:.0f} km",
        )
    if not closed:
        line = _there_and_back(curves.from_points(line, smooth_m=_SMOOTH_M))
    shape = curves.from_points(line, smooth_m=_SMOOTH_M if closed else 1.0, closed=True)
    one, none = np.zeros(1, np.int64), np.zeros(1)
    network = RoadNetwork(
        ShapeTable([shape], [limit_mps], pace),
        Links(one, none, none, none, none, np.ones(1, np.bool_)),
        Turns(
            one, one, np.ones(1), one - 1, one, np.zeros(1, np.bool_), np.zeros((1, 1), np.bool_)
        ),
        pace,
    )
    return network, frame


def read_places(path: Path) -> list[Place]:
    """Latitude, longitude (deg) and altitude (m) of the points in a file, two or more.

    Raises:
        ConfigurationError: As for `build`.
    """
    data = read_bounded(path, MAX_FILE_BYTES, _REMEDY)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"motion.path: {path} is not UTF-8 text", _REMEDY) from error
    kind = path.suffix.lower()
    if kind not in {".gpx", ".csv"}:
        raise ConfigurationError(f"motion.path: {path} is neither .gpx nor .csv", _REMEDY)
    places: list[Place] = []
    for where, place in _from_gpx(text, path) if kind == ".gpx" else _from_csv(text, path):
        latitude, longitude, altitude = place
        if not (
            abs(latitude) <= _MAX_LATITUDE_DEG
            and abs(longitude) <= _MAX_LONGITUDE_DEG
            and abs(altitude) <= _MAX_ALTITUDE_M
        ):
            raise ConfigurationError(
                f"motion.path: {path}: {where} is at latitude {latitude:g}, longitude"
                f" {longitude:g}, altitude {altitude:g}",
                f"latitudes reach from -{_MAX_LATITUDE_DEG:g} to {_MAX_LATITUDE_DEG:g} degrees,"
                " longitudes from -180 to 180",
            )
        places.append(place)
        if len(places) > MAX_POINTS:
            raise ConfigurationError(
                f"motion.path: {path} holds more than {MAX_POINTS} points", "thin it out"
            )
    if len(places) < 2:  # noqa: PLR2004 - a line has two ends
        raise ConfigurationError(
            f"motion.path: {path} holds {len(places)} points, and a line needs two", _REMEDY
        )
    return places


def _from_gpx(text: str, path: Path) -> Iterator[tuple[str, Place]]:
    """Points of the first track, or else of the first route (GPX 1.1 schema, trkType, rteType)."""
    # A document type declares entities, and entities can grow to any size; GPX has neither.
    if re.search("<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ConfigurationError(f"motion.path: {path} declares a document type", _REMEDY)
    try:
        gpx = gpxpy.parse(text)
    except (gpxpy.gpx.GPXException, ValueError) as error:
        raise ConfigurationError(
            f"motion.path: {path} is not GPX: {error!s:.200}", _REMEDY
        ) from error
    if gpx.tracks:
        parts: list[Any] = [segment.points for segment in gpx.tracks[0].segments]
    else:
        parts = [route.points for route in gpx.routes[:1]]
    for number, point in enumerate(itertools.chain.from_iterable(parts), 1):
        yield f"point {number}", (point.latitude, point.longitude, point.elevation or 0.0)


def _from_csv(text: str, path: Path) -> Iterator[tuple[str, Place]]:
    rows = csv.reader(io.StringIO(text))
    try:
        header = [name.strip() for name in next(rows, [])]
        columns = []
        for name in ("latitude_deg", "longitude_deg"):
            if name not in header:
                raise ConfigurationError(f"motion.path: {path} has no column {name}", _REMEDY)
            columns.append(header.index(name))
        up = header.index("altitude_m") if "altitude_m" in header else None
        for row in rows:
            where = f"line {rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            try:
                latitude, longitude = (float(row[column]) for column in columns)
                altitude = float(row[up] or 0.0) if up is not None else 0.0
            except (ValueError, IndexError) as error:
                raise ConfigurationError(
                    f"motion.path: {path}: {where} does not hold numbers in its columns", _REMEDY
                ) from error
            yield where, (latitude, longitude, altitude)
    except csv.Error as error:
        raise ConfigurationError(f"motion.path: {path} is not CSV: {error}", _REMEDY) from error


def _projected(places: list[Place], path: Path) -> tuple[FloatArray, MapFrame]:
    """East, north, up about the middle of the line, and where that is."""
    latitudes, longitudes, _ = (np.array(column) for column in zip(*places, strict=True))
    frame = MapFrame(
        local_frame_text(
            float(latitudes.min() + latitudes.max()) / 2.0,
            float(longitudes.min() + longitudes.max()) / 2.0,
        )
    )
    try:
        return np.array([frame.from_wgs84(*place) for place in places]), frame
    except OutsideMapError as error:
        raise ConfigurationError(
            f"motion.path: the line in {path} is too far from end to end",
            "use one of less than 1000 km",
        ) from error


def _thinned(points: FloatArray) -> FloatArray:
    """The line without points that lie close to the one before."""
    kept = [0]
    for index in range(1, len(points)):
        if math.dist(points[index, :2], points[kept[-1], :2]) >= _THIN_M:
            kept.append(index)
    return points[kept]


def _there_and_back(shape: curves.Shape) -> FloatArray:
    """A closed line: the right lane, a loop, the other lane, a loop; shape (n, 3)."""
    lanes = []
    for way in (1, -1):
        x, y, z = (column[::way] for column in (shape.x_m, shape.y_m, shape.z_m))
        yaw = shape.yaw_rad[::way] + (0.0 if way == 1 else math.pi)
        right = np.stack(
            [x + _LANE_OFFSET_M * np.sin(yaw), y - _LANE_OFFSET_M * np.cos(yaw), z], axis=1
        )
        ahead, aside = _loop().T
        c, s = math.cos(yaw[-1]), math.sin(yaw[-1])
        loop = np.stack(
            [
                x[-1] + c * ahead - s * aside,
                y[-1] + s * ahead + c * aside,
                np.full(len(ahead), z[-1]),
            ],
            axis=1,
        )
        lanes += [right, loop[1:-1]]
    return np.concatenate([*lanes, lanes[0][:1]])


def _loop() -> FloatArray:
    """From the end of the right lane round to the beginning of the left one: three arcs.

    A bend to the right by phi, one to the left by pi + 2 phi about a point on the middle line, and
    one to the right again; all of the same radius r, so cos phi = (r + offset) / 2 r.
    """
    r, offset = _LOOP_RADIUS_M, _LANE_OFFSET_M
    phi = math.acos((r + offset) / (2.0 * r))
    out = np.linspace(0.0, phi, 12)
    first = np.stack([r * np.sin(out), -offset - r * (1.0 - np.cos(out))], axis=1)
    middle = 2.0 * r * math.sin(phi)
    around = np.linspace(-(math.pi / 2.0 + phi), math.pi / 2.0 + phi, 48)
    circle = np.stack([middle + r * np.cos(around), r * np.sin(around)], axis=1)
    last = first[::-1] * np.array([1.0, -1.0])
    return np.concatenate([first, circle[1:-1], last])
