"""The converter, on a segment made by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from certs.errors import ConfigurationError
from simulator.replay.comma2k19 import convert
from simulator.replay.mcap_file import to_bytes
from simulator.replay.recording import parse

# On the central meridian of UTM zone 52 grid north is true north, and the scale is 0.9996.
LATITUDE, LONGITUDE = 37.0, 129.0
BOOT_S = 1000.0
SPEED_MPS = 15.0


def segment(folder: Path, mount_yaw_deg: float = 0.0) -> Path:
    """Due east at 15 m/s for five seconds, with the device turned to the right by some degrees."""
    t = BOOT_S + np.arange(101) / 20.0
    to_ecef = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    lat, lon = math.radians(LATITUDE), math.radians(LONGITUDE)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array(
        [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)]
    )
    up = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    start = np.array(to_ecef.transform(LONGITUDE, LATITUDE, 50.0))
    turn = math.radians(mount_yaw_deg)
    forward = math.cos(turn) * east - math.sin(turn) * north
    right = -math.sin(turn) * east - math.cos(turn) * north
    rotation = np.stack([forward, right, -up], axis=1)
    w = math.sqrt(1.0 + np.trace(rotation)) / 2.0
    quaternion = [
        w,
        (rotation[2, 1] - rotation[1, 2]) / (4 * w),
        (rotation[0, 2] - rotation[2, 0]) / (4 * w),
        (rotation[1, 0] - rotation[0, 1]) / (4 * w),
    ]
    column = np.ones((len(t), 1))
    # The device feels gravity upwards (negative down) and 1 m/s2 forwards along the car's axis.
    force = np.array([math.cos(turn), -math.sin(turn), -9.8])
    arrays = {
        "global_pose/frame_times": t,
        "global_pose/frame_positions": start + np.outer((t - BOOT_S) * SPEED_MPS, east),
        "global_pose/frame_velocities": column * east * SPEED_MPS,
        "global_pose/frame_orientations": column * quaternion,
        # GPS week 2012, second 404106.397 is 2018-08-02 16:14:48.397 UTC.
        "global_pose/frame_gps_times": np.stack([column[:, 0] * 2012, 404106.397 + t - BOOT_S], 1),
        "CAN/steering_angle/t": t,
        "CAN/steering_angle/value": column[:, 0] * 16.88,
        "IMU/gyro/t": t,
        "IMU/gyro/value": column * [0.0, 0.0, -0.2],
        "IMU/accelerometer/t": t,
        "IMU/accelerometer/value": column * force,
        "GNSS/live_gnss_ublox/t": t[::2],
        "GNSS/live_gnss_ublox/value": column[::2]
        * [LATITUDE, LONGITUDE, SPEED_MPS, 1_533_226_488_397.0, 50.0, 90.0],
    }
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return folder


@pytest.mark.parametrize("mount_yaw_deg", [0.0, 3.0])
def test_a_drive_due_east(tmp_path: Path, mount_yaw_deg: float) -> None:
    """Yaw 0, 15 m/s, one metre of ground is 0.9996 of the grid; the mount does not matter."""
    found = convert(segment(tmp_path, mount_yaw_deg), "east")
    ego = found.ego
    assert found.map_origin.crs == "EPSG:32652"
    assert found.start_unix_s == pytest.approx(1_533_226_488.397, abs=1e-3)
    assert len(ego.t_s) == 251
    # Over 75 m the Earth curves down by 75 / 6,378,000 rad.
    assert np.abs(ego.orientation_rad).max() < 2e-5
    assert ego.speed_mps == pytest.approx(SPEED_MPS, abs=1e-6)
    moved = ego.position_m - ego.position_m[0]
    # At 50 m the ground distance is longer than on the ellipsoid by 50 / 6,378,000.
    assert moved[:, 0] == pytest.approx(ego.t_s * SPEED_MPS * 0.9996, rel=1e-5, abs=1e-6)
    assert moved[:, 1] == pytest.approx(0.0, abs=1e-2)  # a straight line is no parallel
    assert ego.position_m[0, 0] + found.map_origin.origin_east_m == pytest.approx(500_000, abs=0.01)
    assert ego.position_m[0, 2] == pytest.approx(50.0, abs=1e-3)
    assert ego.wheel_angle_rad == pytest.approx(math.radians(1.0))
    # Down axis -0.2 rad/s is a left turn.
    assert ego.angular_velocity_radps[:, 2] == pytest.approx(0.2)
    assert found.imu.acceleration_mps2 == pytest.approx(
        np.tile([1.0, 0.0, 9.8], (len(found.imu.t_s), 1)), abs=1e-6
    )
    assert found.gnss.course_rad == pytest.approx(math.pi / 2)
    assert parse(to_bytes(found), "x").ego.t_s == pytest.approx(ego.t_s)


def test_missing_array_is_named(tmp_path: Path) -> None:
    """A folder that is no segment is the user's mistake, and the missing array is named."""
    with pytest.raises(ConfigurationError, match="frame_times"):
        convert(tmp_path, "x")


def test_wrong_shape_is_named(tmp_path: Path) -> None:
    """An array of another shape is refused."""
    folder = segment(tmp_path)
    np.save(folder / "IMU/gyro/value.npy", np.zeros((5, 2)))
    with pytest.raises(ConfigurationError, match=r"expected \(n, 3\)"):
        convert(folder, "x")


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    """An array file that would run code is refused."""
    folder = segment(tmp_path)
    np.save(folder / "IMU/gyro/value.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        convert(folder, "x")
