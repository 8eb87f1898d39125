"""What the inertial unit and the satellite receiver of the ego measure.

Owns the measurement from the ego's state, with optional noise from a seeded generator. It must not
know NMEA or bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.vehicle.frames import OutsideMapError
from agent.vehicle.state import GnssFix, ImuSample
from simulator.morai_host.parameters import STANDARD_GRAVITY_MPS2

if TYPE_CHECKING:
    import random

    from agent.vehicle.frames import MapFrame
    from agent.vehicle.state import EgoState, Vector3

Quaternion = tuple[float, float, float, float]

# What MORAI's receiver is reported to state in every sentence.
QUALITY, SATELLITES, HDOP = 1, 9, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviations of white noise; zero is a perfect sensor.

    Attributes:
        gnss_m: Of each horizontal coordinate and of the altitude.
        gyro_radps: Of each angular velocity.
        accelerometer_mps2: Of each acceleration.
    """

    gnss_m: float = 0.0
    gyro_radps: float = 0.0
    accelerometer_mps2: float = 0.0


def quaternion(roll_rad: float, pitch_rad: float, yaw_rad: float) -> Quaternion:
    """Unit quaternion w, x, y, z of a z-y-x rotation from body to map."""
    cr, sr = math.cos(roll_rad / 2.0), math.sin(roll_rad / 2.0)
    cp, sp = math.cos(pitch_rad / 2.0), math.sin(pitch_rad / 2.0)
    cy, sy = math.cos(yaw_rad / 2.0), math.sin(yaw_rad / 2.0)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


def gravity_reaction(roll_rad: float, pitch_rad: float) -> Vector3:
    """What an accelerometer at rest shows, in body axes: one g along the map's up axis."""
    g = STANDARD_GRAVITY_MPS2
    return (
        -g * math.sin(pitch_rad),
        g * math.cos(pitch_rad) * math.sin(roll_rad),
        g * math.cos(pitch_rad) * math.cos(roll_rad),
    )


def imu_sample(state: EgoState, noise: Noise, chance: random.Random) -> ImuSample:
    """Measure the ego's rotation and specific force. Unknown parts of the state count as zero."""
    zero = (0.0, 0.0, 0.0)
    roll, pitch = state.roll_rad or 0.0, state.pitch_rad or 0.0
    rates = state.angular_velocity_radps or zero
    gravity = gravity_reaction(roll, pitch)
    force = tuple(a + g for a, g in zip(state.acceleration_mps2 or zero, gravity, strict=True))
    return ImuSample(
        orientation=quaternion(roll, pitch, state.yaw_rad or 0.0),
        angular_velocity_radps=_noisy(rates, noise.gyro_radps, chance),
        acceleration_mps2=_noisy(force, noise.accelerometer_mps2, chance),
        stamp_s=state.stamp_s,
    )


def gnss_fix(
    state: EgoState, frame: MapFrame, noise: Noise, chance: random.Random
) -> GnssFix | None:
    """Measure the ego's place; `None` where the map's projection ends."""
    if state.position_m is None or state.yaw_rad is None:
        return None
    x_m, y_m, z_m = _noisy(state.position_m, noise.gnss_m, chance)
    try:
        latitude, longitude, altitude, heading = frame.pose_to_wgs84(x_m, y_m, z_m, state.yaw_rad)
    except OutsideMapError:
        return None
    return GnssFix(
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=altitude,
        speed_mps=abs(state.speed_mps),
        course_rad=heading,
        quality=QUALITY,
        satellites=SATELLITES,
        hdop=HDOP,
        utc_s=state.stamp_s,
    )


def _noisy(values: tuple[float, ...], deviation: float, chance: random.Random) -> Vector3:
    x, y, z = values
    if deviation <= 0.0:
        return x, y, z
    return (
        x + chance.gauss(0.0, deviation),
        y + chance.gauss(0.0, deviation),
        z + chance.gauss(0.0, deviation),
    )
