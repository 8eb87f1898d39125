"""From local metres to latitude, longitude and true heading, fast enough for every step.

Owns the approximation. PROJ takes about a microsecond per point, which for 10,000 cars is more than
the whole of the rest of a step, so over the area of one map its result is replaced by a polynomial
in east and north that is fitted to it once. The degree is the lowest that meets `TOLERANCE_M`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.vehicle.frames import MapFrame
    from simulator.fleet.arrays import FloatArray

TOLERANCE_M: Final = 0.02
_MAX_DEGREE: Final = 6
_METRES_PER_DEGREE: Final = 111_320.0
_ARM_M: Final = 10.0
_WRAPS_FROM_DEG: Final = 179.9
_SEMI_MAJOR_M: Final = 6_378_137.0  # WGS 84, NIMA TR8350.2, table 3.1
_ECCENTRICITY_SQUARED: Final = 0.00669437999014  # table 3.3


def local_frame_text(latitude_deg: float, longitude_deg: float) -> str:
    """PROJ text of the transverse Mercator projection whose origin is the given place."""
    return (
        f"+proj=tmerc +lat_0={latitude_deg:.12g} +lon_0={longitude_deg:.12g} +k=1 +x_0=0 +y_0=0"
        " +datum=WGS84 +units=m +no_defs"
    )


def degrees_per_metre(latitude_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Degrees of latitude per metre north, and of longitude per metre east, on the ellipsoid.

    From the radii of curvature in the meridian and in the prime vertical (NIMA TR8350.2).
    """
    latitude = np.radians(latitude_deg)
    flat = 1.0 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2
    normal_m = _SEMI_MAJOR_M / np.sqrt(flat)
    meridian_m = normal_m * (1.0 - _ECCENTRICITY_SQUARED) / flat
    return np.degrees(1.0 / meridian_m), np.degrees(1.0 / (normal_m * np.cos(latitude)))


class Places:
    """Latitude, longitude and convergence over a box of a map.

    Args:
        frame: Where the map lies.
        extent_m: West, south, east and north end of the box, map-local.

    Attributes:
        north_deg_per_m: Degrees of latitude per metre to the north, at the middle of the box.
        east_deg_per_m: Degrees of longitude per metre to the east there.
        origin_up_m: Height of the map's zero.

    Raises:
        ConfigurationError: The projection does not hold over the box.
    """

    def __init__(self, frame: MapFrame, extent_m: tuple[float, float, float, float]) -> None:
        west, south, east, north = extent_m
        self._x0, self._y0 = (west + east) / 2.0, (south + north) / 2.0
        self._reach = max(east - west, north - south, 100.0) / 2.0 + _ARM_M
        self.origin_up_m = frame.origin_m[2]
        self._wraps = False  # not while fitting, which needs one continuous range
        for degree in range(1, _MAX_DEGREE + 1):
            self._degree = degree
            if self._fit(frame) <= TOLERANCE_M:
                break
        else:
            raise ConfigurationError(
                f"the map reaches over {2 * self._reach / 1000:.0f} km, where its projection cannot"
                " be followed",
                "use a smaller map",
            )
        corners = np.array([[west, east, west, east], [south, south, north, north]], dtype=float)
        self._wraps = bool(np.any(np.abs(self.locate(*corners)[1]) >= _WRAPS_FROM_DEG))
        per_m = degrees_per_metre(self._coefficients[0, :1])
        self.north_deg_per_m, self.east_deg_per_m = (float(value[0]) for value in per_m)

    def locate(self, x_m: FloatArray, y_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Latitude (deg), longitude (deg) and true heading of the y axis (rad), shape (n,) each.

        Within `TOLERANCE_M` of PROJ for positions inside the box.
        """
        x = (x_m - self._x0) / self._reach
        y = (y_m - self._y0) / self._reach
        latitude, longitude, convergence = (self._value(c, x, y) for c in self._horner)
        if self._wraps:
            longitude -= 360.0 * np.floor((longitude + 180.0) / 360.0)
        return latitude, longitude, convergence

    def _value(self, columns: list[list[float]], x: FloatArray, y: FloatArray) -> FloatArray:
        """Horner's scheme in y whose coefficients are Horner's schemes in x."""
        result: FloatArray | None = None
        for row in columns:
            inner: FloatArray | float = row[0]
            for coefficient in row[1:]:
                inner = inner * x
                inner += coefficient
            if result is None:
                result = np.full_like(x, inner)
            else:
                result *= y
                result += inner
        assert result is not None  # noqa: S101 - a polynomial has a coefficient
        return result

    def _fit(self, frame: MapFrame) -> float:
        """Fit the present degree; its greatest error in metres on points between the fitted."""
        fitted = np.cos(np.linspace(0.0, math.pi, 13))  # Chebyshev nodes keep the edges in
        checked = np.linspace(-1.0, 1.0, 18)
        x, y = (v.ravel() for v in np.meshgrid(fitted, fitted))
        powers = [(i, j) for j in range(self._degree + 1) for i in range(self._degree + 1 - j)]
        terms = np.stack([x**i * y**j for i, j in powers], axis=1)
        values = self._exact(frame, x, y)
        solution, *_ = np.linalg.lstsq(terms, values, rcond=None)
        self._coefficients = solution.T
        index = {power: n for n, power in enumerate(powers)}
        self._horner = [
            [
                [float(row[index[i, j]]) for i in range(self._degree - j, -1, -1)]
                for j in range(self._degree, -1, -1)
            ]
            for row in self._coefficients
        ]
        x, y = (v.ravel() for v in np.meshgrid(checked, checked))
        exact = self._exact(frame, x, y)
        error = np.stack(
            self.locate(x * self._reach + self._x0, y * self._reach + self._y0), axis=1
        )
        error -= exact
        error[:, 0] *= _METRES_PER_DEGREE
        error[:, 1] *= _METRES_PER_DEGREE * np.cos(np.radians(exact[:, 0]))
        error[:, 2] *= _ARM_M  # 0.02 m over an arm of 10 m: 2 mrad
        return float(np.abs(error).max())

    def _exact(self, frame: MapFrame, x: FloatArray, y: FloatArray) -> FloatArray:
        """What PROJ says, shape (n, 3): latitude, longitude and convergence by a short arm."""
        east, north = x * self._reach + self._x0, y * self._reach + self._y0
        zero = np.zeros_like(east)
        latitude, longitude, _ = frame.many_to_wgs84(east, north, zero)
        tip_latitude, tip_longitude, _ = frame.many_to_wgs84(east, north + _ARM_M, zero)
        if not np.all(np.isfinite(latitude + longitude + tip_latitude + tip_longitude)):
            raise ConfigurationError(
                "the map reaches beyond where its projection holds", "use a smaller map"
            )
        # One continuous range of longitudes, so that a map across 180 degrees can be fitted.
        middle = frame.to_wgs84(self._x0, self._y0)[1]
        longitude = middle + np.remainder(longitude - middle + 180.0, 360.0) - 180.0
        step = np.remainder(tip_longitude - longitude + 180.0, 360.0) - 180.0
        north_deg, east_deg = degrees_per_metre(latitude)
        convergence = np.arctan2(step / east_deg, (tip_latitude - latitude) / north_deg)
        return np.stack([latitude, longitude, convergence], axis=1)
