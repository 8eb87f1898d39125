"""Inertial unit and satellite receiver, from the wire and to it.

Owns the conversion of these two sensors' messages. Which sentences belong to one instant is decided
in `agent.vehicle.gnss`.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Final

from agent.morai import DecodeError, DecodeReason, Gga, Imu, Rmc
from agent.vehicle.angles import wrap_heading_rad
from agent.vehicle.morai_view.units import (
    DEG_PER_RAD,
    MPS_PER_KNOT,
    RAD_PER_DEG,
    stamp_s,
    vector,
    wire_stamp,
)
from agent.vehicle.state import GnssFix, ImuSample

if TYPE_CHECKING:
    from agent.morai import GpsSentences

_ZERO4: Final = (0.0, 0.0, 0.0, 0.0)


def imu_sample(message: Imu) -> ImuSample:
    """One inertial sample.

    Raises:
        DecodeError: A rate or a force is not a finite number; see `ego_state`.
    """
    rates = vector(
        message.angular_velocity_x_radps,
        message.angular_velocity_y_radps,
        message.angular_velocity_z_radps,
    )
    force = vector(
        message.acceleration_x_mps2, message.acceleration_y_mps2, message.acceleration_z_mps2
    )
    if rates is None or force is None:
        raise DecodeError(DecodeReason.NON_FINITE, "a rate or force of the IMU is not finite")
    return ImuSample(
        orientation=_unit_quaternion(
            message.orientation_w,
            message.orientation_x,
            message.orientation_y,
            message.orientation_z,
        ),
        angular_velocity_radps=rates,
        acceleration_mps2=force,
        stamp_s=stamp_s(message.sec, message.nsec),
    )


def gnss_fix(message: GpsSentences) -> GnssFix | None:
    """The fix that the sentences of one datagram state together, or `None` without one.

    The simulator usually sends RMC and GGA in two datagrams; `agent.vehicle.gnss` joins them.

    There is no fix when a sentence says so (status V, quality 0) or when no sentence has a
    position other than 0, 0. The altitude is that of GGA plus its geoid separation, which is the
    height above the ellipsoid. Times are whole seconds, because the simulator writes the fraction
    ambiguously.
    """
    rmc = next((item for item in message.sentences if isinstance(item, Rmc)), None)
    gga = next((item for item in message.sentences if isinstance(item, Gga)), None)
    return join_sentences(rmc, gga)


def join_sentences(rmc: Rmc | None, gga: Gga | None) -> GnssFix | None:
    """The fix that two sentences of one instant state together; rules as in `gnss_fix`."""
    if (rmc is not None and not rmc.valid) or (gga is not None and gga.quality == 0):
        return None
    position = gga or rmc
    if position is None:
        return None
    latitude_deg, longitude_deg = position.latitude_deg, position.longitude_deg
    if latitude_deg is None or longitude_deg is None or latitude_deg == longitude_deg == 0.0:
        return None
    altitude_m = None
    if gga is not None and gga.altitude_m is not None:
        altitude_m = gga.altitude_m + (gga.geoid_separation_m or 0.0)
    speed_knots = None if rmc is None else rmc.speed_knots
    course_deg = None if rmc is None else rmc.course_deg
    return GnssFix(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        altitude_m=altitude_m,
        speed_mps=None if speed_knots is None else speed_knots * MPS_PER_KNOT,
        course_rad=None if course_deg is None else wrap_heading_rad(course_deg * RAD_PER_DEG),
        quality=None if gga is None else gga.quality,
        satellites=None if gga is None else gga.satellites,
        hdop=None if gga is None else gga.hdop,
        utc_s=None if rmc is None else rmc.unix_s(),
    )


def imu(sample: ImuSample, *, with_stamp: bool = True) -> Imu:
    """The message a simulator would send for this inertial sample.

    Args:
        sample: The sample; an unknown orientation is written as the all-zero quaternion.
        with_stamp: Write the form that carries a time stamp.
    """
    sec, nsec = wire_stamp(sample.stamp_s) if with_stamp else (None, None)
    return Imu(
        sec,
        nsec,
        *(sample.orientation or _ZERO4),
        *sample.angular_velocity_radps,
        *sample.acceleration_mps2,
    )


def gps_sentences(fix: GnssFix | None, utc_s: float) -> tuple[Rmc, Gga]:
    """The two sentences a simulator would send for this fix.

    Args:
        fix: The fix; `None` gives what the simulator sends in a blackout zone: latitude and
            longitude 0 with a valid status.
        utc_s: Unix time of the sentences. The fraction is written as the simulator does, in
            milliseconds without leading zeros.
    """
    whole, milliseconds = divmod(round(utc_s * 1000), 1000)
    moment = dt.datetime.fromtimestamp(whole, dt.UTC)
    utc = f"{moment:%H%M%S}.{milliseconds}"
    latitude_deg = 0.0 if fix is None else fix.latitude_deg
    longitude_deg = 0.0 if fix is None else fix.longitude_deg
    speed_mps = None if fix is None else fix.speed_mps
    course_rad = None if fix is None else fix.course_rad
    rmc = Rmc(
        utc=utc,
        valid=True,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        speed_knots=None if speed_mps is None else speed_mps / MPS_PER_KNOT,
        course_deg=None if course_rad is None else course_rad * DEG_PER_RAD,
        date=f"{moment:%d%m%y}",
    )
    gga = Gga(
        utc=utc,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        quality=1 if fix is None or fix.quality is None else fix.quality,
        satellites=None if fix is None else fix.satellites,
        hdop=None if fix is None else fix.hdop,
        altitude_m=None if fix is None else fix.altitude_m,
        geoid_separation_m=0.0,
    )
    return rmc, gga


def _unit_quaternion(
    w: float, x: float, y: float, z: float
) -> tuple[float, float, float, float] | None:
    norm = math.hypot(w, x, y, z)
    if norm == 0.0 or not math.isfinite(norm):
        return None
    return w / norm, x / norm, y / norm, z / norm
