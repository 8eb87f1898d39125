"""Where on Earth a map is: map-local metres, projected coordinates, WGS 84.

Owns the one place where pyproj is used. A MORAI map is a flat ENU frame whose origin has a known
position in a projected coordinate system (UTM or another transverse Mercator), so

    projected east, north, up = map-local x, y, z + local origin

and PROJ does the rest. `workspace_origin` of an MGeo map is a setting of the map editor and no
part of that sum (MORAI MGeo map format, `global_info.json`, versions 2.8 to 3.0).

The map's y axis points to *grid* north. Grid north differs from true north by the meridian
convergence, about 1.3 degrees at K-City, so a map yaw is not a compass heading turned around:
use `MapFrame.pose_to_wgs84` or `MapFrame.convergence_rad`.

Heights: PROJ leaves the third coordinate alone. MORAI does not say which vertical datum its maps
use; the sum is taken as height above the WGS 84 ellipsoid.

This module must not know messages, VSS names or units other than metres, degrees and radians.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from agent.vehicle.angles import wrap_heading_rad, wrap_rad
from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_EXTENT_M", "MapFrame", "OutsideMapError"]

MAX_EXTENT_M: Final = 1_000_000.0
"""No map reaches further from its origin; a coordinate beyond it is a fault, not a place."""

_WGS84_3D: Final = "EPSG:4979"
_WGS84_ECCENTRICITY_SQUARED: Final = 0.00669437999014  # NIMA TR8350.2, table 3.3
# Long enough to keep twelve digits in the difference, short enough that the Earth is flat over it.
_BEARING_ARM_M: Final = 10.0
_MAX_CRS_TEXT: Final = 4096
_MAX_ORIGIN_M: Final = 1e8  # a false easting can exceed the Earth's girth, not by much
_ORIGIN_AXES: Final = ("east", "north", "up")


class OutsideMapError(ValueError):
    """A coordinate that no map can hold, or that the projection cannot express."""


class MapFrame:
    """One map's place on Earth. Immutable.

    Args:
        crs: The projected coordinate system: an EPSG code as a number, `"EPSG:32652"`, a PROJ
            string or WKT.
        origin_east_m: Easting of the map's origin in that system.
        origin_north_m: Northing of the map's origin.
        origin_up_m: Height of the map's origin.

    Raises:
        ConfigurationError: The coordinate system is unknown, not projected or not in metres, or
            the origin is not a finite number or not a place.
    """

    __slots__ = ("_forward", "_inverse", "crs_text", "origin_m")

    crs_text: str
    origin_m: tuple[float, float, float]

    def __init__(
        self,
        crs: str | int,
        origin_east_m: float = 0.0,
        origin_north_m: float = 0.0,
        origin_up_m: float = 0.0,
    ) -> None:
        self.crs_text = str(crs)
        self.origin_m = _origin((origin_east_m, origin_north_m, origin_up_m), "the map's origin")
        system = _projected(crs, "crs")
        wgs84 = CRS.from_user_input(_WGS84_3D)
        self._forward = Transformer.from_crs(system, wgs84, always_xy=True)
        self._inverse = Transformer.from_crs(wgs84, system, always_xy=True)
        try:
            self.to_wgs84(0.0, 0.0, 0.0)
        except OutsideMapError as error:
            raise ConfigurationError(
                f"the map's origin {self.origin_m} lies outside {self.crs_text!r}",
                "give east, north and up in metres of that coordinate system",
            ) from error

    @classmethod
    def from_mgeo(cls, global_info: Mapping[str, object]) -> MapFrame:
        """Read the frame from the parsed `global_info.json` of an MGeo map.

        Keys other than `global_coordinate_system` and `local_origin_in_global` are ignored.

        Raises:
            ConfigurationError: One of the two keys is missing or holds something else than a
                coordinate system and three numbers; the error names the key.
        """
        if not hasattr(global_info, "keys"):
            raise ConfigurationError(
                "global_info.json does not hold a JSON object", "name the map's own file"
            )
        crs = _required(global_info, "global_coordinate_system")
        if isinstance(crs, bool) or not isinstance(crs, str | int):
            raise ConfigurationError(
                f"global_coordinate_system must be a PROJ string or an EPSG code, not {crs!r:.80}",
                "copy it from the map's global_info.json",
            )
        _projected(crs, "global_coordinate_system")
        origin = _origin(_required(global_info, "local_origin_in_global"), "local_origin_in_global")
        return cls(crs, *origin)

    def __repr__(self) -> str:
        return f"MapFrame({self.crs_text!r}, {', '.join(map(repr, self.origin_m))})"

    def to_projected(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
        """Map-local position to easting, northing, height, all in metres."""
        east, north, up = self.origin_m
        return x_m + east, y_m + north, z_m + up

    def from_projected(
        self, east_m: float, north_m: float, up_m: float
    ) -> tuple[float, float, float]:
        """Easting, northing, height to map-local position, all in metres."""
        east, north, up = self.origin_m
        return east_m - east, north_m - north, up_m - up

    def to_wgs84(self, x_m: float, y_m: float, z_m: float = 0.0) -> tuple[float, float, float]:
        """Map-local position to latitude (deg), longitude (deg), height (m).

        Raises:
            OutsideMapError: The position is not finite, or further than `MAX_EXTENT_M` from the
                origin, or outside what the projection can express.
        """
        _check_extent(x_m, y_m, z_m)
        east, north, up = self.origin_m
        longitude, latitude, height = self._forward.transform(x_m + east, y_m + north, z_m + up)
        if not math.isfinite(latitude + longitude + height):
            raise OutsideMapError(f"({x_m}, {y_m}) m is outside {self.crs_text!r}")
        return latitude, longitude, height

    def from_wgs84(
        self, latitude_deg: float, longitude_deg: float, height_m: float = 0.0
    ) -> tuple[float, float, float]:
        """Latitude, longitude, height to map-local position in metres.

        Raises:
            OutsideMapError: The result would be further than `MAX_EXTENT_M` from the origin, or
                the arguments are no place on Earth.
        """
        if not (abs(latitude_deg) <= 90 and abs(longitude_deg) <= 180):  # noqa: PLR2004 - degrees
            raise OutsideMapError(f"({latitude_deg}, {longitude_deg}) deg is no place on Earth")
        east, north, up = self._inverse.transform(longitude_deg, latitude_deg, height_m)
        local = self.from_projected(east, north, up)
        _check_extent(*local)
        return local

    def many_to_wgs84(self, x_m: Any, y_m: Any, z_m: Any) -> tuple[Any, Any, Any]:
        """Convert many positions in one call; about a quarter of the cost a point.

        Lists come back as lists and numpy arrays as arrays; the arguments stay as they are.
        Positions the projection cannot express come back as infinity instead of an error.

        Args:
            x_m: Map-local x, shape (n,).
            y_m: Map-local y, shape (n,).
            z_m: Map-local z, shape (n,).

        Returns:
            Latitudes (deg), longitudes (deg) and heights (m), shape (n,) each.
        """
        east, north, up = self.origin_m
        longitudes, latitudes, heights = self._forward.transform(
            _shifted(x_m, east), _shifted(y_m, north), _shifted(z_m, up)
        )
        return latitudes, longitudes, heights

    def pose_to_wgs84(
        self, x_m: float, y_m: float, z_m: float, yaw_rad: float
    ) -> tuple[float, float, float, float]:
        """Map-local pose to latitude (deg), longitude (deg), height (m) and true heading (rad).

        The heading is the direction, clockwise from true north in [0, 2 pi), of a short arm laid
        along the yaw, so the meridian convergence is in it whatever the projection.

        Raises:
            OutsideMapError: As `to_wgs84`.
        """
        latitude, longitude, height = self.to_wgs84(x_m, y_m, z_m)
        return (
            latitude,
            longitude,
            height,
            self._bearing_rad(x_m, y_m, yaw_rad, latitude, longitude),
        )

    def convergence_rad(self, x_m: float, y_m: float) -> float:
        """True heading of the map's y axis (grid north) at a point, in (-pi, pi].

        Positive where grid north points east of true north: north of the equator that is east of
        the projection's central meridian. True heading = grid heading + convergence.

        Raises:
            OutsideMapError: As `to_wgs84`.
        """
        latitude, longitude, _ = self.to_wgs84(x_m, y_m, 0.0)
        return wrap_rad(self._bearing_rad(x_m, y_m, math.pi / 2, latitude, longitude))

    def yaw_from_true_heading_rad(self, x_m: float, y_m: float, heading_rad: float) -> float:
        """Map yaw in (-pi, pi] of a true heading at a point: the way back of `pose_to_wgs84`.

        Raises:
            OutsideMapError: As `to_wgs84`.
        """
        return wrap_rad(math.pi / 2 - (heading_rad - self.convergence_rad(x_m, y_m)))

    def _bearing_rad(
        self, x_m: float, y_m: float, yaw_rad: float, latitude_deg: float, longitude_deg: float
    ) -> float:
        tip_latitude, tip_longitude, _ = self.to_wgs84(
            x_m + _BEARING_ARM_M * math.cos(yaw_rad), y_m + _BEARING_ARM_M * math.sin(yaw_rad)
        )
        latitude_rad = math.radians(latitude_deg)
        # Ratio of the ellipsoid's radii of curvature: a degree of latitude is a little shorter
        # than a degree along the equator would be.
        meridian_over_normal = (1 - _WGS84_ECCENTRICITY_SQUARED) / (
            1 - _WGS84_ECCENTRICITY_SQUARED * math.sin(latitude_rad) ** 2
        )
        step_deg = math.remainder(tip_longitude - longitude_deg, 360.0)
        return wrap_heading_rad(
            math.atan2(
                step_deg * math.cos(latitude_rad),
                (tip_latitude - latitude_deg) * meridian_over_normal,
            )
        )


def _check_extent(x_m: float, y_m: float, z_m: float) -> None:
    # Written so that NaN fails too.
    if not (abs(x_m) <= MAX_EXTENT_M and abs(y_m) <= MAX_EXTENT_M and abs(z_m) <= MAX_EXTENT_M):
        raise OutsideMapError(f"({x_m}, {y_m}, {z_m}) m is on no map")


def _shifted(values: Any, offset: float) -> Any:
    if hasattr(values, "__array__"):
        return values + offset
    return [value + offset for value in values]


def _required(global_info: Mapping[str, object], key: str) -> object:
    try:
        return global_info[key]
    except KeyError:
        raise ConfigurationError(
            f"global_info.json has no {key}", "use the map's file, or give the map by hand"
        ) from None


def _projected(crs: str | int, key: str) -> CRS:
    text = f"{crs!r:.80}"
    remedy = "give an EPSG code such as EPSG:32652, or a PROJ string of a projected system"
    if isinstance(crs, str) and len(crs) > _MAX_CRS_TEXT:
        raise ConfigurationError(f"{key} is longer than {_MAX_CRS_TEXT} characters", remedy)
    try:
        system = CRS.from_user_input(crs)
    except CRSError as error:
        raise ConfigurationError(
            f"{key} {text} is not a coordinate system PROJ knows", remedy
        ) from error
    if not system.is_projected:
        raise ConfigurationError(f"{key} {text} is not a projected coordinate system", remedy)
    if any(axis.unit_conversion_factor != 1.0 for axis in system.axis_info[:2]):
        raise ConfigurationError(f"{key} {text} is not in metres", remedy)
    return system


def _origin(value: object, key: str) -> tuple[float, float, float]:
    remedy = "give three finite numbers: east, north and up in metres"
    if not isinstance(value, list | tuple) or len(value) != len(_ORIGIN_AXES):
        raise ConfigurationError(f"{key} must be three numbers, not {value!r:.80}", remedy)
    for axis, number in zip(_ORIGIN_AXES, value, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ConfigurationError(f"{key}: {axis} must be a number, not {number!r:.80}", remedy)
        if not abs(number) <= _MAX_ORIGIN_M:
            raise ConfigurationError(
                f"{key}: {axis} must be at most {_MAX_ORIGIN_M:.0f} m, not {number!r:.80}", remedy
            )
    east, north, up = value
    return float(east), float(north), float(up)
