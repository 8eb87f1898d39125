"""The domain model of one car: ego, tracked objects, fixes, inertial samples, events.

This module owns the value types and their units, nothing else. Everything is SI with angles in
radians, in the frames below, and `None` always means "not known": the wire variant does not carry
the field, the simulator blanked it, or it was nonsense. A known zero is `0.0`. The module must not
know bytes, VSS names, map projections or MQTT.

Frames:
    map-local   ENU: x east, y north, z up, metres from the map's own origin. Yaw 0 is east and
                grows counter-clockwise.
    body        x forward, y left, z up (ISO 8855), origin at the centre of the rear axle.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from agent.morai import Gear

__all__ = [
    "Collision",
    "Dimensions",
    "DriveMode",
    "EgoState",
    "Gear",
    "GnssFix",
    "ImuSample",
    "LanePosition",
    "NpcCollision",
    "ObjectKind",
    "TrackedObject",
    "TrafficLamp",
    "TrafficLight",
    "Tyres",
    "Vector3",
    "Wheels4",
]

Vector3: TypeAlias = tuple[float, float, float]
"""Three components in the order x, y, z; the field that holds it names frame and unit."""

Wheels4: TypeAlias = tuple[float, float, float, float]
"""One value a wheel: front left, front right, rear left, rear right."""


class DriveMode(enum.IntEnum):
    """Who drives the car, by the number the simulator reports."""

    BUILT_IN = 0
    KEYBOARD = 1
    EXTERNAL = 2


class ObjectKind(enum.IntEnum):
    """What a tracked object is, by the number the simulator reports."""

    EGO = -1
    PEDESTRIAN = 0
    VEHICLE = 1
    OBSTACLE = 2


class TrafficLamp(enum.IntFlag):
    """Lamps of a traffic light that are lit; no bit set is a dark light.

    Bits without a name here are kept, so that a new simulator release loses nothing.
    """

    DARK = 0
    RED = 1
    YELLOW = 4
    GREEN = 16
    LEFT_ARROW = 32


class Dimensions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Size of a car and where its axles sit."""

    length_m: float
    width_m: float
    height_m: float
    wheelbase_m: float
    front_overhang_m: float
    rear_overhang_m: float


class LanePosition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the car is within its lane.

    `cross_track_error_m` is positive when the car is to the right of the lane's centre.
    """

    left_boundary_m: float
    right_boundary_m: float
    cross_track_error_m: float


class Tyres(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tyre values, each as front left, front right, rear left, rear right."""

    lateral_force_n: Wheels4
    side_slip_rad: Wheels4
    cornering_stiffness_n_per_rad: Wheels4


class EgoState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ego car at one instant. Only the speed is always known.

    Attributes:
        speed_mps: Signed speed along the body x axis, positive forward.
        stamp_s: Unix time of the simulator host's wall clock. It is not simulation time, it may
            repeat, and it is not the clock of the machine the agent runs on.
        drive_mode: Who drives.
        gear: Selected gear.
        position_m: Map-local ENU position of the centre of the rear axle.
        roll_rad: Roll, in (-pi, pi].
        pitch_rad: Pitch, in (-pi, pi].
        yaw_rad: Yaw from grid east, counter-clockwise, in (-pi, pi].
        velocity_mps: Velocity in the body frame.
        angular_velocity_radps: Angular velocity in the body frame.
        acceleration_mps2: Acceleration in the body frame.
        wheel_angle_rad: Front road-wheel angle, positive to the left.
        rear_wheel_angle_rad: Rear road-wheel angle, positive to the left.
        accel_pedal: Accelerator pedal, 0 released to 1 floored.
        brake_pedal: Brake pedal, 0 released to 1 floored.
        link_id: Identifier of the map link (lane) the car is on.
        map_data_id: Number of the map; 0 to 9999 are maps of real places, from 10000 invented ones.
        dimensions: Size of the car.
        lane: Position within the lane.
        tyres: Tyre forces and slip.
    """

    speed_mps: float
    stamp_s: float | None = None
    drive_mode: DriveMode | None = None
    gear: Gear | None = None
    position_m: Vector3 | None = None
    roll_rad: float | None = None
    pitch_rad: float | None = None
    yaw_rad: float | None = None
    velocity_mps: Vector3 | None = None
    angular_velocity_radps: Vector3 | None = None
    acceleration_mps2: Vector3 | None = None
    wheel_angle_rad: float | None = None
    rear_wheel_angle_rad: float | None = None
    accel_pedal: float | None = None
    brake_pedal: float | None = None
    link_id: str | None = None
    map_data_id: int | None = None
    dimensions: Dimensions | None = None
    lane: LanePosition | None = None
    tyres: Tyres | None = None


class TrackedObject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A road user or obstacle the simulator reports around the ego car.

    Attributes:
        id: The simulator's number for the object.
        kind: What it is; a number this release does not know stays a plain integer.
        position_m: Map-local ENU position.
        yaw_rad: Yaw from grid east, counter-clockwise, in (-pi, pi].
        size_m: Length, width, height.
        velocity_mps: Velocity. The simulator's manual does not state the frame of this vector.
        acceleration_mps2: Acceleration, in the same frame as the velocity.
        link_id: Identifier of the map link the object is on.
        wheelbase_m: Distance between the axles, 0 for what has none.
        front_overhang_m: From the front axle to the front end, 0 for what has none.
        rear_overhang_m: From the rear axle to the rear end, 0 for what has none.
    """

    id: int
    kind: ObjectKind | int
    position_m: Vector3
    yaw_rad: float
    size_m: Vector3
    velocity_mps: Vector3
    acceleration_mps2: Vector3 = (0.0, 0.0, 0.0)
    link_id: str | None = None
    wheelbase_m: float = 0.0
    front_overhang_m: float = 0.0
    rear_overhang_m: float = 0.0


class GnssFix(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One position of the simulated GNSS receiver on the WGS 84 ellipsoid.

    A fix always has a place: a receiver without one gives no `GnssFix` at all.

    Attributes:
        latitude_deg: Latitude, north positive.
        longitude_deg: Longitude, east positive.
        altitude_m: Height above the ellipsoid.
        speed_mps: Speed as the receiver states it; the simulator is known to scale it wrongly.
        course_rad: Course as the receiver states it, clockwise from north, in [0, 2 pi).
        quality: NMEA 0183 quality indicator: 0 invalid, 1 autonomous, 2 differential, 4 fixed RTK.
        satellites: Satellites in use.
        hdop: Horizontal dilution of precision.
        utc_s: Unix time the receiver states. The simulator writes its fraction ambiguously, so it
            orders nothing.
    """

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None
    speed_mps: float | None = None
    course_rad: float | None = None
    quality: int | None = None
    satellites: int | None = None
    hdop: float | None = None
    utc_s: float | None = None


class ImuSample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One sample of the simulated inertial unit, in the body frame.

    Attributes:
        orientation: Unit quaternion in the order w, x, y, z; `None` while the sensor starts.
        angular_velocity_radps: Angular velocity.
        acceleration_mps2: Specific force, gravity included: +9.81 on z at rest.
        stamp_s: Unix time of the simulator host's wall clock.
    """

    orientation: tuple[float, float, float, float] | None
    angular_velocity_radps: Vector3
    acceleration_mps2: Vector3
    stamp_s: float | None = None


class Collision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ego car touched something.

    Attributes:
        object_id: The simulator's number for what was hit.
        kind: What was hit.
        position_m: Map-local ENU position of it.
        map_offset_m: Offset of the map's origin as the simulator states it beside the record.
        stamp_s: Unix time of the simulator host's wall clock.
    """

    object_id: int
    kind: ObjectKind | int
    position_m: Vector3
    map_offset_m: Vector3 = (0.0, 0.0, 0.0)
    stamp_s: float | None = None


class NpcCollision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Two other road users touched each other."""

    first: TrackedObject
    second: TrackedObject


class TrafficLight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The traffic light that matters to the ego car.

    Attributes:
        light_id: The map's name for the light.
        layout: Which lamps the head has, by the simulator's number: 0 red, yellow, green; 1 the
            same and a left arrow; 2 the same, a left arrow and a second green; 100 three yellows.
        lamps: Which lamps are lit.
    """

    light_id: str
    layout: int
    lamps: TrafficLamp
