"""Where the cars drove, as drawings: positions on a plane, in places, thinned, as SVG paths.

Owns the projection and what is left out. Knows nothing about results or the page; pure arithmetic.

The plane is the local equirectangular one: x = R cos(latitude) * longitude, y = R * latitude, exact
to 0.1 per cent within some 50 km of a place's centre. Cars further apart than that are drawn as
places of their own, since on one sheet each would be a dot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

EARTH_RADIUS_M: Final = 6_371_008.8
"""Mean radius (IUGG)."""
PLACE_RADIUS_M: Final = 50_000.0
MAX_POINTS: Final = 8_000
"""Points of all tracks together; thinning gets coarser until they fit."""
MAX_PLACES: Final = 4
MAX_TRACKS: Final = 500
SHEET_WIDTH: Final = 2000
"""Units across a drawing; the viewer scales it."""
COLOURS: Final = 8

_FASTEST_MPS: Final = 120.0
"""Faster than any scenario lets a car drive: such a step is a gap, not a drive."""
_SMALLEST_M: Final = 40.0
_MARGIN: Final = 0.05
_LONGEST_SIDE_RATIO: Final = 2.6
_SMALLEST_SIDE_RATIO: Final = 1.6


@dataclass(frozen=True, slots=True)
class Fix:
    """Where a car was.

    Attributes:
        at_s: When.
        latitude_deg: WGS 84.
        longitude_deg: WGS 84.
    """

    at_s: float
    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True)
class Track:
    """The drawn way of one car.

    Attributes:
        title: What the car is called.
        colour: Number of the colour, 0 to 7.
        path: SVG path data.
        start: SVG path data of its first point.
        end: SVG path data of its last point.
    """

    title: str
    colour: int
    path: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Place:
    """A drawing of everything that drove in one place; north is up.

    Attributes:
        width: Units across.
        height: Units down.
        width_m: What is seen across, in metres.
        height_m: What is seen down, in metres.
        latitude_deg: Of the centre.
        longitude_deg: Of the centre.
        scale_m: Length of the scale bar, a round number.
        grid: SVG path data of lines one scale bar apart.
        tracks: The cars.
        driven_m: Length of all tracks together, before thinning.
    """

    width: int
    height: int
    width_m: float
    height_m: float
    latitude_deg: float
    longitude_deg: float
    scale_m: float
    grid: str
    tracks: tuple[Track, ...]
    driven_m: float

    @property
    def scale_share(self) -> float:
        """The scale bar as a share of the width."""
        return self.scale_m / self.width_m


@dataclass(slots=True)
class _Ways:
    """The cars of one place; `ways` holds pieces of shape (n, 2), metres east and north."""

    latitude_deg: float
    longitude_deg: float
    ways: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)

    def plane(self, fixes: Sequence[Fix]) -> NDArray[np.float64]:
        latitudes = np.array([fix.latitude_deg for fix in fixes])
        longitudes = np.array([fix.longitude_deg for fix in fixes])
        east_deg = (longitudes - self.longitude_deg + 180.0) % 360.0 - 180.0
        shrink = max(math.cos(math.radians(self.latitude_deg)), 1e-6)
        return EARTH_RADIUS_M * np.radians(
            np.column_stack([east_deg * shrink, latitudes - self.latitude_deg])
        )


def draw(
    fixes: Mapping[int, Sequence[Fix]],
    names: Mapping[int, str] | None = None,
    colours: Mapping[int, int] | None = None,
) -> list[Place]:
    """Draw tracks, place by place, the one with most cars first.

    At most `MAX_TRACKS` cars (the first ones), `MAX_PLACES` places, and about `MAX_POINTS` points.
    Positions that are none on Earth are left out.

    Args:
        fixes: Car to its positions in order of time.
        names: Car to its title; without, its number.
        colours: Car to its colour; without, cars take turns.
    """
    places: list[_Ways] = []
    for car in sorted(fixes)[:MAX_TRACKS]:
        valid = [fix for fix in fixes[car] if _is_on_earth(fix)]
        if valid:
            place = _place_for(places, valid[0])
            place.ways[car] = _pieces(place.plane(valid), np.array([fix.at_s for fix in valid]))
    places.sort(key=lambda place: -len(place.ways))
    names, colours = names or {}, colours or {}
    return [_drawing(place, names, colours) for place in places[:MAX_PLACES]]


def _is_on_earth(fix: Fix) -> bool:
    return abs(fix.latitude_deg) <= 90 and abs(fix.longitude_deg) <= 360  # noqa: PLR2004 - degrees


def _place_for(places: list[_Ways], first: Fix) -> _Ways:
    for place in places:
        if float(np.hypot(*place.plane([first])[0])) <= PLACE_RADIUS_M:
            return place
    places.append(_Ways(first.latitude_deg, first.longitude_deg))
    return places[-1]


def _pieces(points: NDArray[np.float64], times_s: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut where no car could have driven, such as after a long time offline."""
    steps_m = np.hypot(*np.diff(points, axis=0).T)
    allowed_m = _FASTEST_MPS * np.maximum(np.diff(times_s), 1.0)
    return np.split(points, np.flatnonzero(steps_m > allowed_m) + 1)


def thinned(points: NDArray[np.float64], tolerance_m: float) -> NDArray[np.float64]:
    """Leave out points that are nearer than the tolerance to the line without them.

    Ramer-Douglas-Peucker; first and last points stay. Shapes (n, 2).
    """
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    stack = [(0, len(points) - 1)]
    while stack:
        low, high = stack.pop()
        if high - low < 2:  # noqa: PLR2004 - nothing between
            continue
        chord = points[high] - points[low]
        offsets = points[low + 1 : high] - points[low]
        # The distance from the piece of line, not from the line: a car may turn back.
        length2 = float(chord @ chord)
        along = np.clip(offsets @ chord / length2, 0.0, 1.0) if length2 else np.zeros(len(offsets))
        distances = np.hypot(*(offsets - along[:, None] * chord).T)
        farthest = int(distances.argmax())
        if distances[farthest] > tolerance_m:
            middle = low + 1 + farthest
            keep[middle] = True
            stack += [(low, middle), (middle, high)]
    return points[keep]


def _thinned_to_fit(
    ways: Mapping[int, list[NDArray[np.float64]]], extent_m: float
) -> dict[int, list[NDArray[np.float64]]]:
    tolerance_m = extent_m / SHEET_WIDTH
    thin = {car: [thinned(piece, tolerance_m) for piece in way] for car, way in ways.items()}
    # Each car keeps two points a piece at least, so a bound on the rounds is needed.
    for _ in range(8):
        if sum(len(piece) for way in thin.values() for piece in way) <= MAX_POINTS:
            break
        tolerance_m *= 2
        thin = {car: [thinned(piece, tolerance_m) for piece in way] for car, way in thin.items()}
    return thin


def _drawing(place: _Ways, names: Mapping[int, str], colours: Mapping[int, int]) -> Place:
    everything = np.concatenate([piece for way in place.ways.values() for piece in way])
    low, high = everything.min(axis=0), everything.max(axis=0)
    centre = (low + high) / 2
    width_m, height_m = np.maximum(high - low, _SMALLEST_M) * (1 + 2 * _MARGIN)
    # Neither a thin strip nor taller than a screen: the sheet is widened around what was driven.
    height_m = max(height_m, width_m / _LONGEST_SIDE_RATIO)
    width_m = max(width_m, height_m * _SMALLEST_SIDE_RATIO)
    corner = np.array([centre[0] - width_m / 2, centre[1] + height_m / 2])
    units = SHEET_WIDTH / width_m
    thin = _thinned_to_fit(place.ways, max(width_m, height_m))
    tracks = []
    for car, way in thin.items():
        drawn = [np.rint((piece - corner) * [units, -units]).astype(int) for piece in way]
        tracks.append(
            Track(
                title=names.get(car, f"car {car}"),
                colour=colours.get(car, car) % COLOURS,
                path="".join(map(_path, drawn)),
                start=_dot(drawn[0][0]),
                end=_dot(drawn[-1][-1]),
            )
        )
    scale_m = _round_length(width_m / 5)
    height = round(height_m * units)
    shrink = max(math.cos(math.radians(place.latitude_deg)), 1e-6)
    return Place(
        width=SHEET_WIDTH,
        height=height,
        width_m=float(width_m),
        height_m=float(height_m),
        latitude_deg=place.latitude_deg + math.degrees(centre[1] / EARTH_RADIUS_M),
        longitude_deg=place.longitude_deg + math.degrees(centre[0] / EARTH_RADIUS_M / shrink),
        scale_m=scale_m,
        grid=_grid(scale_m * units, height),
        tracks=tuple(tracks),
        driven_m=_length_m(piece for way in place.ways.values() for piece in way),
    )


def _path(points: NDArray[np.int64]) -> str:
    steps = np.diff(points, axis=0).tolist()
    moves = [f"{x} {y}" for x, y in steps if x or y]
    first = f"M{points[0][0]} {points[0][1]}"
    return first + "l" + " ".join(moves) if moves else first + "h0"


def _dot(point: NDArray[np.int64]) -> str:
    return f"M{point[0]} {point[1]}h0"


def _grid(step: float, height: int) -> str:
    columns = [f"M{round(step * i)} 0v{height}" for i in range(1, math.ceil(SHEET_WIDTH / step))]
    rows = [
        f"M0 {round(height - step * i)}h{SHEET_WIDTH}" for i in range(1, int(height / step) + 1)
    ]
    return "".join(columns + rows)


def _round_length(length_m: float) -> float:
    """The largest of 1, 2, 5, 10, 20 ... that is not longer."""
    power = 10.0 ** math.floor(math.log10(length_m))
    return max(step * power for step in (1, 2, 5) if step * power <= length_m)


def _length_m(pieces: Iterable[NDArray[np.float64]]) -> float:
    return float(sum(np.hypot(*np.diff(piece, axis=0).T).sum() for piece in pieces))
