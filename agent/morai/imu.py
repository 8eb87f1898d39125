"""IMU, `#IMUData$`: orientation, angular velocity and acceleration of the inertial sensor.

Owns the message and its two byte tables. The declared data length of this packet is not
dependable, so the size of the datagram selects the table.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/IMU.py` and MORAI-SensorExample (115
bytes); MORAI SIM: Drive user manual 24.R2 and 26.R1, sensor protocols (107 bytes).
"""

from __future__ import annotations

import msgspec

from agent.morai.enums import Direction
from agent.morai.layout import Layout
from agent.morai.table import F64, I32, Field, moved

NAME = b"#IMUData$"


class Imu(msgspec.Struct, frozen=True, gc=False):
    """One inertial sample. Body axes: x forward, y left, z up.

    The simulator sends all-zero quaternions for a moment after its start.

    Attributes:
        sec: Unix seconds; `None` in the 107-byte form.
        nsec: Nanoseconds; `None` in the 107-byte form. Known to be garbage at times.
        orientation_w: Quaternion, scalar part.
        orientation_x: Quaternion.
        orientation_y: Quaternion.
        orientation_z: Quaternion.
        angular_velocity_x_radps: Roll rate.
        angular_velocity_y_radps: Pitch rate.
        angular_velocity_z_radps: Yaw rate, positive when turning left.
        acceleration_x_mps2: Gravity included.
        acceleration_y_mps2: Gravity included.
        acceleration_z_mps2: Gravity included: +9.81 at rest.
    """

    sec: int | None
    nsec: int | None
    orientation_w: float
    orientation_x: float
    orientation_y: float
    orientation_z: float
    angular_velocity_x_radps: float
    angular_velocity_y_radps: float
    angular_velocity_z_radps: float
    acceleration_x_mps2: float
    acceleration_y_mps2: float
    acceleration_z_mps2: float


_STAMP = (
    Field(25, I32, "sec", "s", "Unix seconds, wall clock of the simulator host"),
    Field(29, I32, "nsec", "ns"),
)
_SAMPLE = (
    Field(33, F64, "orientation_w", "1", "quaternion"),
    Field(41, F64, "orientation_x", "1", "quaternion"),
    Field(49, F64, "orientation_y", "1", "quaternion"),
    Field(57, F64, "orientation_z", "1", "quaternion"),
    Field(65, F64, "angular_velocity_x_radps", "rad/s", "roll rate"),
    Field(73, F64, "angular_velocity_y_radps", "rad/s", "pitch rate"),
    Field(81, F64, "angular_velocity_z_radps", "rad/s", "yaw rate, positive to the left"),
    Field(89, F64, "acceleration_x_mps2", "m/s^2", "with gravity"),
    Field(97, F64, "acceleration_y_mps2", "m/s^2", "with gravity"),
    Field(105, F64, "acceleration_z_mps2", "m/s^2", "with gravity, +9.81 at rest"),
)

IMU_TIMED = Layout(
    Imu,
    NAME,
    115,
    (*_STAMP, *_SAMPLE),
    data_length=88,
    direction=Direction.FROM_SIMULATOR,
    label="timed",
)
IMU_UNTIMED = Layout(
    Imu,
    NAME,
    107,
    moved(_SAMPLE, -8),
    data_length=80,
    direction=Direction.FROM_SIMULATOR,
    label="untimed",
)
