"""Cars that repeat a recorded drive, each from another moment and in another place.

Owns the shift in time and space. A car goes through the recording in a circle: it starts anywhere
in it, and after the last sample it is back at the first one, where its position jumps. Speed,
acceleration and yaw rate are those of the recording; no command changes them.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError, PeerError
from simulator.fleet.cars import Cars
from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.places import degrees_per_metre
from simulator.replay import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.fleet.arrays import FloatArray
    from simulator.fleet.noise import SensorNoise
    from simulator.replay.recording import Recording

_SHIPPED: Final = Path("scenarios", "recordings", "highway-minute.mcap")
MAX_DURATION_S: Final = 4 * 3600.0
_RATE_HZ: Final = 50.0
_MAX_LATITUDE_DEG: Final = 84.0
_ARM_M: Final = 10.0
LATITUDE, LONGITUDE, ALTITUDE, HEADING, SPEED, ACCELERATION, YAW_RATE, EAST, NORTH = range(9)


def shipped() -> Path:
    """The drive that comes with the project.

    Raises:
        ConfigurationError: This installation does not hold it.
    """
    for root in (Path(str(files("simulator"))).parent, Path.cwd()):
        if (root / _SHIPPED).is_file():
            return root / _SHIPPED
    raise ConfigurationError(
        f"motion.path: the recording {_SHIPPED.as_posix()} is not part of this installation",
        "set `path` to an .mcap recording, or run from a checkout of the project",
    )


class RecordedCars(Cars):
    """Cars that repeat one recording.

    Args:
        drive: The recording.
        count: How many.
        seed: Of their shifts.
        spread_m: Cars are shifted by up to this to the east or west, and to the north or south.
        make_noise: Makes their sensor errors from degrees of latitude per metre north and of
            longitude per metre east.
    """

    def __init__(
        self,
        drive: Recording,
        count: int,
        *,
        seed: int,
        spread_m: float,
        make_noise: Callable[[FloatArray, FloatArray], SensorNoise | None],
    ) -> None:
        super().__init__(count, None)
        samples, middle = _samples(drive)
        self._samples = np.concatenate(
            [samples[:-1], np.diff(samples, axis=0)], axis=1, dtype=np.float64
        )
        self._duration_s = len(self._samples) / _RATE_HZ
        numbers = np.arange(count)
        east, north, time = (
            uniform(seed, purpose, numbers, 0)
            for purpose in (Purpose.EAST, Purpose.NORTH, Purpose.TIME)
        )
        self._start_s = time * self._duration_s
        self._elapsed_s = 0.0
        self._shift_m = spread_m * (2.0 * np.stack([east, north], axis=1) - 1.0)
        # Degrees per metre where the car is; the drive keeps its size in metres wherever it is put.
        here = degrees_per_metre(np.full(count, middle[0]))
        latitude = np.clip(
            middle[0] + self._shift_m[:, 1] * here[0], -_MAX_LATITUDE_DEG, _MAX_LATITUDE_DEG
        )
        there = degrees_per_metre(latitude)
        self._latitude_deg = latitude - middle[0] * (there[0] / here[0])
        self._latitude_scale = there[0] / here[0]
        self._longitude_deg = middle[1] + self._shift_m[:, 0] * there[1]
        self._longitude_scale = there[1] / here[1]
        self._middle_longitude_deg = middle[1]
        self._noise = make_noise(*there)
        self._report()
        self._sense(0.0)

    def _step(self, dt_s: float) -> None:
        self._elapsed_s += dt_s

    def _command(self, index: int, speed_mps: float) -> None:
        """Nothing obeys."""

    def _report(self) -> None:
        at = self._start_s + self._elapsed_s % self._duration_s
        at -= self._duration_s * (at >= self._duration_s)
        at *= _RATE_HZ
        index = np.minimum(at.astype(np.int64), len(self._samples) - 1)
        at -= index
        rows = self._samples.take(index, axis=0)
        width = rows.shape[1] // 2
        values = rows[:, :width] + rows[:, width:] * at[:, None]
        self.latitude_deg = self._latitude_deg + values[:, LATITUDE] * self._latitude_scale
        longitude = (values[:, LONGITUDE] - self._middle_longitude_deg) * self._longitude_scale
        longitude += self._longitude_deg
        self.longitude_deg = longitude - 360.0 * np.floor((longitude + 180.0) / 360.0)
        self.altitude_m = values[:, ALTITUDE]
        heading = values[:, HEADING]
        self.heading_rad = heading - math.tau * np.floor(heading / math.tau)
        self.heading_rad[self.heading_rad >= math.tau] = 0.0
        self.speed_mps = np.maximum(values[:, SPEED], 0.0)
        self.acceleration_mps2 = values[:, ACCELERATION]
        self.yaw_rate_radps = values[:, YAW_RATE]
        self.position_m = values[:, EAST : NORTH + 1] + self._shift_m


def _samples(drive: Recording) -> tuple[FloatArray, tuple[float, float]]:
    """The drive at an even rate, shape (n, 9), and the middle of it in degrees."""
    ego, origin = drive.ego, drive.map_origin
    if drive.duration_s > MAX_DURATION_S:
        raise ConfigurationError(
            f"motion.path: the drive {drive.name} takes {drive.duration_s:.0f} s",
            f"use one of at most {MAX_DURATION_S:.0f} s",
        )
    frame = MapFrame(origin.crs, origin.origin_east_m, origin.origin_north_m, origin.origin_up_m)
    east, north, up = ego.position_m.T
    latitude, longitude, altitude = frame.many_to_wgs84(east, north, up)
    yaw = ego.orientation_rad[:, 2]
    tip_latitude, tip_longitude, _ = frame.many_to_wgs84(
        east + _ARM_M * np.cos(yaw), north + _ARM_M * np.sin(yaw), up
    )
    if not np.all(np.isfinite(latitude + longitude + tip_latitude + tip_longitude)):
        raise ConfigurationError(
            f"motion.path: the drive {drive.name} leaves the area of its projection {origin.crs}",
            "use another recording",
        )
    longitude = np.unwrap(longitude, period=360.0)
    per_m = degrees_per_metre(latitude)
    step = np.remainder(tip_longitude - longitude + 180.0, 360.0) - 180.0
    heading = np.unwrap(np.arctan2(step / per_m[1], (tip_latitude - latitude) / per_m[0]))
    columns = [
        latitude,
        longitude,
        altitude,
        heading,
        ego.speed_mps,
        ego.acceleration_mps2[:, 0],
        ego.angular_velocity_radps[:, 2],
        east,
        north,
    ]
    at = np.arange(float(ego.t_s[0]), float(ego.t_s[-1]), 1.0 / _RATE_HZ)
    samples = np.stack([np.interp(at, ego.t_s, column) for column in columns], axis=1)
    if not np.all(np.isfinite(samples)):
        raise ConfigurationError(
            f"motion.path: the drive {drive.name} has gaps in position, speed or yaw rate",
            "use another recording",
        )
    ends = samples.min(axis=0) + samples.max(axis=0)
    return samples, (float(ends[LATITUDE] / 2.0), float(ends[LONGITUDE] / 2.0))


def load(path: str | None, base: Path) -> Recording:
    """Read the recording that a motion names; None is the one that is shipped.

    Raises:
        ConfigurationError: It is missing, too large or no recording.
    """
    file = shipped() if path is None else base / path
    try:
        return recording.read(file)
    except (ConfigurationError, PeerError) as error:
        raise ConfigurationError(f"motion.path: {error.what}", error.remedy) from error
