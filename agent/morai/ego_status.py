"""Ego Vehicle Status, `#MoraiInfo$`: everything the simulator says about its own car.

Owns the message and the byte tables of its six generations E0 to E5. The wire units stay as they
are (km/h, degrees); conversion to SI is not done here.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/EgoVehicleStatus.py` (E3, E4);
MORAI-NetworkModule 26.R1 (E5); MORAI-DriveExample_UDP history since 2021-12 (E1, E2, E4); MORAI
SIM: Drive user manual 24.R2, "UDP communication message".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agent.morai.enums import Direction, EgoStatusVariant
from agent.morai.layout import Layout
from agent.morai.table import F32, I8, I32, Field, Pad, Several, Text, moved

Wheels: TypeAlias = tuple[float, float, float, float]
"""One value a wheel: front left, front right, rear left, rear right."""

NAME = b"#MoraiInfo$"


class EgoStatus(msgspec.Struct, frozen=True, gc=False):
    """The state of the simulated car, in wire units.

    A field that the variant does not carry is `None`. Competition builds send zeros for position,
    lateral and vertical velocity, and acceleration; a zero is passed on as a zero here.

    Attributes:
        variant: Generation of the datagram.
        sec: Unix seconds of the simulator host's wall clock, not simulation time. Stamps repeat.
        nsec: Nanoseconds within the second, seen in steps of 1 ms.
        control_mode: Who drives, see `StatusMode`.
        gear: See `Gear`.
        signed_velocity_kmh: Speed along the car, positive forward.
        map_data_id: 0-9999 digital-twin maps, 10000-19999 virtual maps.
        accel_pedal: 0 to 1.
        brake_pedal: 0 to 1.
        size_x_m: Length of the car.
        size_y_m: Width.
        size_z_m: Height.
        overhang_m: Front axle to front end.
        wheelbase_m: Front axle to rear axle.
        rear_overhang_m: Rear axle to rear end.
        position_x_m: East in the map frame, of the centre of the rear axle.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        roll_deg: Not wrapped on the wire.
        pitch_deg: Not wrapped.
        yaw_deg: 0 is east, counter-clockwise positive. Not wrapped: values near -359 occur.
        velocity_x_kmh: Body frame, forward.
        velocity_y_kmh: Body frame, left.
        velocity_z_kmh: Body frame, up.
        angular_velocity_x_degps: Body frame.
        angular_velocity_y_degps: Body frame.
        angular_velocity_z_degps: Body frame.
        acceleration_x_mps2: Body frame.
        acceleration_y_mps2: Body frame.
        acceleration_z_mps2: Body frame.
        steer_deg: Front wheel angle; its sign is `Dialect.status_steer_sign`.
        rear_steer_deg: Rear wheel angle (E5).
        link_id: Id of the road link the car is on (E2 and later), may be empty.
        tyre_lateral_force_n: Per wheel (E4 and later).
        side_slip_deg: Per wheel (E4 and later).
        cornering_stiffness_n_per_deg: Per wheel (E4 and later).
        distance_left_lane_m: To the left lane boundary (E5).
        distance_right_lane_m: To the right lane boundary (E5).
        cross_track_error_m: Positive to the right of the lane centre (E5).
        e0_values: The eight floats of E0, whose meaning is not public.
    """

    variant: EgoStatusVariant
    sec: int | None = None
    nsec: int | None = None
    control_mode: int = 0
    gear: int = 0
    signed_velocity_kmh: float = 0.0
    map_data_id: int = 0
    accel_pedal: float | None = None
    brake_pedal: float | None = None
    size_x_m: float | None = None
    size_y_m: float | None = None
    size_z_m: float | None = None
    overhang_m: float | None = None
    wheelbase_m: float | None = None
    rear_overhang_m: float | None = None
    position_x_m: float | None = None
    position_y_m: float | None = None
    position_z_m: float | None = None
    roll_deg: float | None = None
    pitch_deg: float | None = None
    yaw_deg: float | None = None
    velocity_x_kmh: float | None = None
    velocity_y_kmh: float | None = None
    velocity_z_kmh: float | None = None
    angular_velocity_x_degps: float | None = None
    angular_velocity_y_degps: float | None = None
    angular_velocity_z_degps: float | None = None
    acceleration_x_mps2: float | None = None
    acceleration_y_mps2: float | None = None
    acceleration_z_mps2: float | None = None
    steer_deg: float | None = None
    rear_steer_deg: float | None = None
    link_id: str | None = None
    tyre_lateral_force_n: Wheels | None = None
    side_slip_deg: Wheels | None = None
    cornering_stiffness_n_per_deg: Wheels | None = None
    distance_left_lane_m: float | None = None
    distance_right_lane_m: float | None = None
    cross_track_error_m: float | None = None
    e0_values: tuple[float, float, float, float, float, float, float, float] | None = None


# The offsets below are those of E3 and E4. Older generations are the same rows further in front.

_STAMP = (
    Field(27, I32, "sec", "s", "Unix seconds, wall clock of the simulator host"),
    Field(31, I32, "nsec", "ns", "nanoseconds, steps of 1 ms"),
)
_DRIVING = (
    Field(35, I8, "control_mode", "", "0 built-in, 1 keyboard, 2 external"),
    Field(36, I8, "gear", "", "0 M, 1 P, 2 R, 3 N, 4 D, 5 L"),
    Field(37, F32, "signed_velocity_kmh", "km/h", "positive forward"),
    Field(41, I32, "map_data_id", "", "0-9999 digital twin, 10000-19999 virtual"),
)
_POSE = (
    Field(45, F32, "accel_pedal", "1", "0 to 1"),
    Field(49, F32, "brake_pedal", "1", "0 to 1"),
    Field(53, F32, "size_x_m", "m", "length"),
    Field(57, F32, "size_y_m", "m", "width"),
    Field(61, F32, "size_z_m", "m", "height"),
    Field(65, F32, "overhang_m", "m", "front axle to front end"),
    Field(69, F32, "wheelbase_m", "m", "front axle to rear axle"),
    Field(73, F32, "rear_overhang_m", "m", "rear axle to rear end"),
    Field(77, F32, "position_x_m", "m", "map frame, east"),
    Field(81, F32, "position_y_m", "m", "map frame, north"),
    Field(85, F32, "position_z_m", "m", "map frame, up"),
    Field(89, F32, "roll_deg", "deg", "not wrapped"),
    Field(93, F32, "pitch_deg", "deg", "not wrapped"),
    Field(97, F32, "yaw_deg", "deg", "0 east, counter-clockwise, not wrapped"),
    Field(101, F32, "velocity_x_kmh", "km/h", "body frame, forward"),
    Field(105, F32, "velocity_y_kmh", "km/h", "body frame, left"),
    Field(109, F32, "velocity_z_kmh", "km/h", "body frame, up"),
)
_ANGULAR_VELOCITY = (
    Field(113, F32, "angular_velocity_x_degps", "deg/s", "body frame"),
    Field(117, F32, "angular_velocity_y_degps", "deg/s", "body frame"),
    Field(121, F32, "angular_velocity_z_degps", "deg/s", "body frame"),
)
_ACCELERATION = (
    Field(125, F32, "acceleration_x_mps2", "m/s^2", "body frame"),
    Field(129, F32, "acceleration_y_mps2", "m/s^2", "body frame"),
    Field(133, F32, "acceleration_z_mps2", "m/s^2", "body frame"),
)
_STEER = (Field(137, F32, "steer_deg", "deg", "front wheel angle, sign not documented"),)
_LINK = (Field(141, Text(38), "link_id", "", "road link, NUL padded"),)
_TYRES = (
    Field(179, Several(F32, 4), "tyre_lateral_force_n", "N", "FL, FR, RL, RR"),
    Field(195, Several(F32, 4), "side_slip_deg", "deg", "FL, FR, RL, RR"),
    Field(211, Several(F32, 4), "cornering_stiffness_n_per_deg", "N/deg", "FL, FR, RL, RR"),
)
_REAR_STEER_E5 = (Field(141, F32, "rear_steer_deg", "deg", "rear wheel angle"),)
_LANE_E5 = (
    Field(231, F32, "distance_left_lane_m", "m", "to the left lane boundary"),
    Field(235, F32, "distance_right_lane_m", "m", "to the right lane boundary"),
    Field(239, F32, "cross_track_error_m", "m", "positive right of the lane centre"),
)
_FIELDS_E0 = (
    # This generation keeps its first values in the twelve bytes between length and payload.
    Field(15, I8, "control_mode", "", "0 built-in, 1 keyboard, 2 external"),
    Field(16, I8, "gear", "", "0 M, 1 P, 2 R, 3 N, 4 D, 5 L"),
    Field(17, F32, "signed_velocity_kmh", "km/h", "positive forward"),
    Field(21, I32, "map_data_id"),
    Field(25, Pad(2), "unused"),
    Field(27, Several(F32, 8), "e0_values", "", "not documented"),
)
_FIELDS_E1 = (
    *moved(_DRIVING, -8),
    *moved(_POSE, -8),
    *moved(_ACCELERATION, -20),
    *moved(_STEER, -20),
)
_FIELDS_E2 = (*_FIELDS_E1, *moved(_LINK, -20))
_FIELDS_E3 = (*_STAMP, *_DRIVING, *_POSE, *_ANGULAR_VELOCITY, *_ACCELERATION, *_STEER, *_LINK)
_FIELDS_E4 = (*_FIELDS_E3, *_TYRES)
_FIELDS_E5 = (
    *(_STAMP + _DRIVING + _POSE + _ANGULAR_VELOCITY + _ACCELERATION + _STEER),
    *_REAR_STEER_E5,
    *moved(_LINK, 4),
    *moved(_TYRES, 4),
    *_LANE_E5,
)


def _layout(
    variant: EgoStatusVariant, size: int, data_length: int, fields: tuple[Field, ...]
) -> Layout[EgoStatus]:
    return Layout(
        EgoStatus,
        NAME,
        size,
        fields,
        data_length=data_length,
        direction=Direction.FROM_SIMULATOR,
        label=variant.name,
        constants={"variant": variant},
    )


LAYOUTS = {
    EgoStatusVariant.E0: _layout(EgoStatusVariant.E0, 61, 32, _FIELDS_E0),
    EgoStatusVariant.E1: _layout(EgoStatusVariant.E1, 123, 94, _FIELDS_E1),
    EgoStatusVariant.E2: _layout(EgoStatusVariant.E2, 161, 132, _FIELDS_E2),
    EgoStatusVariant.E3: _layout(EgoStatusVariant.E3, 181, 152, _FIELDS_E3),
    EgoStatusVariant.E4: _layout(EgoStatusVariant.E4, 229, 200, _FIELDS_E4),
    EgoStatusVariant.E5: _layout(EgoStatusVariant.E5, 245, 216, _FIELDS_E5),
}
"""The byte table of each generation."""
