"""Converts one segment of the comma2k19 dataset into a recording.

Owns the dataset's conventions and the arithmetic that turns them into a map-local drive at 50 Hz.
comma2k19 is a public dataset of highway driving (Schafer, Santana, Haden, Biasini, "A Commute in
Data: The comma2k19 Dataset", arXiv:1812.05752; github.com/commaai/comma2k19, MIT). A segment is a
folder of numpy arrays with the device's boot time in seconds. What this module relies on:

    global_pose/frame_positions     ECEF metres, 20 Hz
    global_pose/frame_velocities    ECEF metres a second
    global_pose/frame_orientations  quaternion w, x, y, z that turns device axes (forward, right,
                                    down) into ECEF
    global_pose/frame_gps_times     GPS week and second of the week
    CAN/steering_angle              steering-wheel degrees, left positive
    IMU/accelerometer, IMU/gyro     device axes, m/s^2 with gravity, rad/s
    GNSS/live_gnss_ublox            latitude, longitude, speed m/s, UTC ms, altitude m, bearing deg

The device sits behind the windscreen and is not aligned with the car. Its mean direction of travel
over the segment gives the mount's yaw and pitch, which are removed; its roll cannot be told from
the road's camber and stays.

Run it as: python -m simulator.replay.comma2k19 SEGMENT_FOLDER OUTPUT.mcap
"""

from __future__ import annotations

import math
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyproj
import typer

from certs.errors import ConfigurationError, StorageError
from certs.terminal import console, run_app
from simulator.replay.mcap_file import to_bytes
from simulator.replay.recording import EgoTrack, GnssTrack, ImuTrack, MapOrigin, Recording

if TYPE_CHECKING:
    from simulator.replay.recording import FloatArray

RATE_HZ = 50.0

# The segment's radar answers on the addresses of a Toyota radar (0x210 and up), and comma2k19 was
# driven in a 2016 Toyota RAV4 and a Civic. Wheelbase and overall steering ratio of the RAV4 as
# openpilot's public car parameters give them.
WHEELBASE_M = 2.65
STEERING_RATIO = 16.88

_GPS_EPOCH_UNIX_S = 315_964_800
_WEEK_S = 604_800
# GPS time minus UTC since 2017-01-01 (IERS Bulletin C 52).
_LEAP_SECONDS = 18
_ECEF = "EPSG:4978"
_WGS84_3D = "EPSG:4979"
_ACCELERATION_WINDOW_S = 0.25
_GYRO_WINDOW_S = 0.05
# Forward, right, down to forward, left, up.
_FLU_FROM_FRD = np.diag([1.0, -1.0, -1.0])


def convert(segment: Path, name: str, rate_hz: float = RATE_HZ) -> Recording:
    """Convert a segment.

    Positions follow the cubic Hermite curve through the fused positions and velocities, so speed
    and displacement agree; orientation, wheel angle and rates are interpolated linearly.

    Args:
        segment: Folder of the segment.
        name: Name of the recording.
        rate_hz: Sample rate of the ego track.

    Raises:
        ConfigurationError: An array is missing or does not have the documented shape.
    """
    pose_t = _load(segment, "global_pose/frame_times", 1)
    ecef = _load(segment, "global_pose/frame_positions", 3)
    ecef_velocity = _load(segment, "global_pose/frame_velocities", 3)
    quaternion = _load(segment, "global_pose/frame_orientations", 4)
    gps_time = _load(segment, "global_pose/frame_gps_times", 2)

    lon_deg, lat_deg, up_m = _transform(_ECEF, _WGS84_3D, ecef)
    utm_zone = int((lon_deg[0] + 180.0) // 6.0) + 1
    crs = f"EPSG:{(32600 if lat_deg[0] >= 0 else 32700) + utm_zone}"
    east_m, north_m, _ = _transform(_WGS84_3D, crs, np.stack([lon_deg, lat_deg, up_m], axis=-1))
    # The local origin lies south-west of the drive, so that no sample is near (0, 0, 0), which
    # MORAI's blanked competition messages use for "no position".
    origin = MapOrigin(crs, _below(east_m), _below(north_m), 0.0)

    # East, north, up axes of the map grid at each pose: true ENU turned by the grid convergence.
    factors = pyproj.Proj(crs).get_factors(lon_deg, lat_deg)
    enu = _enu_axes(
        np.radians(lon_deg), np.radians(lat_deg), np.radians(factors.meridian_convergence)
    )
    ecef_from_device = _matrices(quaternion)
    device_velocity = np.einsum("nji,nj->ni", ecef_from_device, ecef_velocity)
    vehicle_from_device = _FLU_FROM_FRD @ _mount(device_velocity)
    map_from_vehicle = enu @ ecef_from_device @ vehicle_from_device.T
    roll, pitch, yaw = _roll_pitch_yaw(map_from_vehicle)
    map_velocity = np.einsum("nij,nj->ni", enu, ecef_velocity)

    imu_t = _load(segment, "IMU/gyro/t", 1)
    gyro = _load(segment, "IMU/gyro/value", 3) @ vehicle_from_device.T
    force = _load(segment, "IMU/accelerometer/value", 3) @ vehicle_from_device.T
    steer_t = _load(segment, "CAN/steering_angle/t", 1)
    steer_deg = _load(segment, "CAN/steering_angle/value", 1)

    start = pose_t[0]
    t = np.arange(math.floor((pose_t[-1] - start) * rate_hz) + 1) / rate_hz
    at = start + t
    local = np.stack(
        [east_m - origin.origin_east_m, north_m - origin.origin_north_m, up_m], axis=-1
    )
    scale = np.stack([factors.meridional_scale, factors.meridional_scale, np.ones_like(up_m)], -1)
    velocity_at = _interpolate(at, pose_t, map_velocity)
    attitude_at = _interpolate(at, pose_t, np.stack([roll, pitch, np.unwrap(yaw)], axis=-1))
    vehicle_from_map_at = np.swapaxes(_rotation(*attitude_at.T), 1, 2)
    acceleration = _smooth(
        np.gradient(map_velocity, pose_t, axis=0), pose_t, _ACCELERATION_WINDOW_S
    )
    body_velocity = np.einsum("nij,nj->ni", vehicle_from_map_at, velocity_at)
    unknown = np.full(t.shape, np.nan)
    return Recording(
        name=name,
        start_unix_s=_unix_s(gps_time[0]),
        map_origin=origin,
        wheelbase_m=WHEELBASE_M,
        ego=EgoTrack(
            t_s=t,
            position_m=_hermite(at, pose_t, local, map_velocity * scale),
            orientation_rad=attitude_at,
            speed_mps=body_velocity[:, 0],
            velocity_mps=body_velocity,
            angular_velocity_radps=_interpolate(at, imu_t, _smooth(gyro, imu_t, _GYRO_WINDOW_S)),
            acceleration_mps2=np.einsum(
                "nij,nj->ni", vehicle_from_map_at, _interpolate(at, pose_t, acceleration)
            ),
            wheel_angle_rad=np.radians(np.interp(at, steer_t, steer_deg)) / STEERING_RATIO,
            accel_pedal=unknown,
            brake_pedal=unknown,
        ),
        gnss=_gnss(segment, start, t[-1]),
        imu=_imu(imu_t - start, gyro, force, t[-1]),
    )


def _gnss(segment: Path, start: float, end_t: float) -> GnssTrack:
    t = _load(segment, "GNSS/live_gnss_ublox/t", 1) - start
    keep = (t >= 0.0) & (t <= end_t)
    value = _load(segment, "GNSS/live_gnss_ublox/value", 6)[keep]
    return GnssTrack(
        t_s=t[keep],
        latitude_deg=value[:, 0],
        longitude_deg=value[:, 1],
        altitude_m=value[:, 4],
        speed_mps=value[:, 2],
        course_rad=np.radians(value[:, 5]),
        utc_s=value[:, 3] / 1000.0,
    )


def _imu(t: FloatArray, gyro: FloatArray, force: FloatArray, end_t: float) -> ImuTrack:
    # Now and then the device stamps two samples alike; the later one is dropped.
    keep = (t >= 0.0) & (t <= end_t) & (np.diff(np.round(t, 6), prepend=-np.inf) > 0.0)
    return ImuTrack(t_s=t[keep], angular_velocity_radps=gyro[keep], acceleration_mps2=force[keep])


def _load(segment: Path, name: str, width: int) -> FloatArray:
    path = segment / f"{name}.npy"
    if not path.exists():
        # The published archives name the arrays without a suffix.
        path = segment / name
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a numpy array: {error}",
            "name the folder of one comma2k19 segment, with global_pose, CAN, IMU and GNSS inside",
        ) from error
    rows = array.reshape(len(array), -1) if array.ndim else array
    if array.ndim == 0 or len(array) < 2 or rows.shape[1] != width:  # noqa: PLR2004 - a track needs two samples
        raise ConfigurationError(f"{path} has shape {array.shape}, expected (n, {width})")
    result: FloatArray = (rows[:, 0] if width == 1 else rows).astype(np.float64)
    return result


def _transform(source: str, target: str, points: FloatArray) -> tuple[FloatArray, ...]:
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    x, y, z = transformer.transform(points[:, 0], points[:, 1], points[:, 2])
    return np.asarray(x), np.asarray(y), np.asarray(z)


def _below(values: FloatArray) -> float:
    return math.floor(float(values.min()) / 100.0) * 100.0 - 100.0


def _unix_s(gps_time: FloatArray) -> float:
    week, second = gps_time.tolist()
    return float(_GPS_EPOCH_UNIX_S + week * _WEEK_S + second - _LEAP_SECONDS)


def _matrices(quaternion: FloatArray) -> FloatArray:
    w, x, y, z = (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=-2,
    )


def _enu_axes(lon: FloatArray, lat: FloatArray, convergence: FloatArray) -> FloatArray:
    """Matrices whose rows are grid east, grid north and up in ECEF, shape (n, 3, 3)."""
    zero = np.zeros_like(lon)
    east = np.stack([-np.sin(lon), np.cos(lon), zero], axis=-1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
    up = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    # Convergence is the clockwise angle from true north to grid north, so grid east lies as much
    # clockwise of true east.
    c, s = np.cos(convergence)[:, None], np.sin(convergence)[:, None]
    return np.stack([c * east - s * north, s * east + c * north, up], axis=-2)


def _mount(device_velocity: FloatArray) -> FloatArray:
    """Rotation from device axes to the car's forward, right, down axes: yaw, then pitch."""
    moving = np.linalg.norm(device_velocity, axis=1) > 1.0
    forward = (device_velocity[moving] if moving.any() else device_velocity).mean(axis=0)
    yaw = math.atan2(forward[1], forward[0])
    pitch = math.atan2(-forward[2], math.hypot(forward[0], forward[1]))
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    turn = np.array([[cy, sy, 0.0], [-sy, cy, 0.0], [0.0, 0.0, 1.0]])
    tilt = np.array([[cp, 0.0, -sp], [0.0, 1.0, 0.0], [sp, 0.0, cp]])
    rotation: FloatArray = tilt @ turn
    return rotation


def _roll_pitch_yaw(map_from_vehicle: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angles of z-y-x rotations; with z up, a positive pitch lowers the nose (ISO 8855)."""
    m = map_from_vehicle
    return (
        np.arctan2(m[:, 2, 1], m[:, 2, 2]),
        -np.arcsin(np.clip(m[:, 2, 0], -1.0, 1.0)),
        np.arctan2(m[:, 1, 0], m[:, 0, 0]),
    )


def _rotation(roll: FloatArray, pitch: FloatArray, yaw: FloatArray) -> FloatArray:
    half = np.stack([roll, pitch, yaw]) / 2.0
    (cr, cp, cy), (sr, sp, sy) = np.cos(half), np.sin(half)
    return _matrices(
        np.stack(
            [
                cr * cp * cy + sr * sp * sy,
                sr * cp * cy - cr * sp * sy,
                cr * sp * cy + sr * cp * sy,
                cr * cp * sy - sr * sp * cy,
            ],
            axis=-1,
        )
    )


def _interpolate(at: FloatArray, t: FloatArray, values: FloatArray) -> FloatArray:
    return np.stack([np.interp(at, t, column) for column in values.T], axis=-1)


def _hermite(at: FloatArray, t: FloatArray, values: FloatArray, slopes: FloatArray) -> FloatArray:
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(t) - 2)
    h = (t[i + 1] - t[i])[:, None]
    u = (at[:, None] - t[i][:, None]) / h
    curve: FloatArray = (
        (1 + 2 * u) * (1 - u) ** 2 * values[i]
        + u * (1 - u) ** 2 * h * slopes[i]
        + u**2 * (3 - 2 * u) * values[i + 1]
        + u**2 * (u - 1) * h * slopes[i + 1]
    )
    return curve


def _smooth(values: FloatArray, t: FloatArray, window_s: float) -> FloatArray:
    """Centred moving mean, with the edge samples repeated beyond the ends."""
    step_s = (t[-1] - t[0]) / (len(t) - 1)
    half = max(0, round(window_s / step_s / 2.0))
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    kernel = np.full(2 * half + 1, 1.0 / (2 * half + 1))
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], axis=-1)


def main() -> None:
    """Entry point of `python -m simulator.replay.comma2k19`."""
    app = typer.Typer(add_completion=False)
    app.command()(_command)
    run_app(app, "python -m simulator.replay.comma2k19")


def _command(
    segment: Annotated[Path, typer.Argument(help="Folder of one comma2k19 segment.")],
    output: Annotated[Path, typer.Argument(help="MCAP file to write.")],
    name: Annotated[str, typer.Option(help="Name of the recording.")] = "",
) -> None:
    """Convert one segment of the comma2k19 dataset into a recording at 50 Hz."""
    recording = convert(segment, name or output.stem)
    data = to_bytes(recording)
    try:
        output.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror or error}") from error
    console().print(
        f"{output}: {recording.duration_s:.1f} s, {len(recording.ego.t_s)} poses, {len(data)} bytes"
    )


if __name__ == "__main__":
    main()
