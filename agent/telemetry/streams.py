"""The telemetry streams: which signals each carries, and how a sample becomes a row of them.

Owns the conversion from the domain model (SI, radians) to the units of the signal table (km/h,
degrees, percent) and the choice of columns. It must not know how rows are encoded or batched.

Every stream has a standard set of columns and a full set. The standard set is what an application
needs to show and judge a drive; for `state` it is small enough for one second of 50 Hz samples to
fit into little more than one metered unit. `docs/signals.md` lists both.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeAlias, TypeVar, get_args

from agent.vehicle.frames import OutsideMapError
from agent.vehicle.state import (
    Collision,
    EgoState,
    Gear,
    GnssFix,
    ImuSample,
    ObjectKind,
    TrackedObject,
    TrafficLamp,
    TrafficLight,
)
from agent.vehicle.vss import SIGNALS, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.telemetry.columns import Row, Value
    from agent.vehicle.frames import MapFrame

__all__ = [
    "BATCHED_STREAMS",
    "STREAM_NAMES",
    "ColumnSet",
    "Stream",
    "StreamName",
    "collision_stream",
    "gnss_stream",
    "imu_stream",
    "objects_stream",
    "state_stream",
    "traffic_light_stream",
]

StreamName: TypeAlias = Literal[
    "state", "objects", "gnss", "imu", "collision", "traffic-light", "health"
]
"""The last topic level of each stream."""

STREAM_NAMES: Final[tuple[StreamName, ...]] = get_args(StreamName)
BATCHED_STREAMS: Final[tuple[StreamName, ...]] = tuple(
    name for name in STREAM_NAMES if name != "health"
)
"""The streams made of batches; `health` is one plain document a message."""

ColumnSet: TypeAlias = Literal["standard", "full"]

S = TypeVar("S")

_KMH_PER_MPS: Final = 3.6
_DEG_PER_RAD: Final = 180 / math.pi
_FULL_TURN_DEG: Final = 360.0


@dataclass(frozen=True, slots=True)
class Stream(Generic[S]):
    """One batched stream.

    Attributes:
        name: Stream name.
        measured: Signals that change with nearly every sample, in the order of a row's first part.
        stepped: Signals that change now and then, in the order of a row's second part.
        row: Turns a sample and its Unix time into a row. Total over samples of type `S`.
    """

    name: StreamName
    measured: tuple[Signal, ...]
    stepped: tuple[Signal, ...]
    row: Callable[[S, float], Row]

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Every signal the stream carries."""
        return (*self.measured, *self.stepped)


def _signals(*paths: str) -> tuple[Signal, ...]:
    return tuple(SIGNALS[path] for path in paths)


# -- state -----------------------------------------------------------------------------------

_MOTION: Final = (
    "Vehicle.Speed",
    "Vehicle.Acceleration.Longitudinal",
    "Vehicle.Acceleration.Lateral",
    "Vehicle.AngularVelocity.Yaw",
    "Vehicle.Chassis.Axle.Row1.SteeringAngle",
    "Vehicle.Chassis.Accelerator.PedalPosition",
    "Vehicle.Chassis.Brake.PedalPosition",
    "Morai.StampOffset",
    "Morai.Pose.X",
    "Morai.Pose.Y",
)
_ON_EARTH: Final = (
    "Vehicle.CurrentLocation.Latitude",
    "Vehicle.CurrentLocation.Longitude",
    "Vehicle.CurrentLocation.Altitude",
    "Vehicle.CurrentLocation.Heading",
)
_ON_MAP: Final = ("Morai.Pose.Z", "Morai.Pose.Yaw")
_FULL_MOTION: Final = (
    "Morai.Pose.Roll",
    "Morai.Pose.Pitch",
    "Vehicle.Acceleration.Vertical",
    "Vehicle.AngularVelocity.Roll",
    "Vehicle.AngularVelocity.Pitch",
    "Morai.Velocity.Lateral",
    "Morai.Velocity.Vertical",
    "Morai.Pedal.Accelerator",
    "Morai.Pedal.Brake",
    "Vehicle.Chassis.Axle.Row2.SteeringAngle",
    "Morai.Lane.LeftBoundary",
    "Morai.Lane.RightBoundary",
    "Morai.Lane.CrossTrackError",
)
_MODES: Final = (
    "Vehicle.Powertrain.Transmission.SelectedGear",
    "Morai.Gear",
    "Morai.DriveMode",
    "Morai.LinkId",
)
_FULL_MODES: Final = (
    "Morai.MapDataId",
    "Vehicle.Length",
    "Vehicle.WidthExcludingMirrors",
    "Vehicle.Height",
    "Vehicle.Chassis.Wheelbase",
    "Morai.FrontOverhang",
    "Morai.RearOverhang",
    "Morai.Tyre.LateralForce",
    "Morai.Tyre.SideSlip",
    "Morai.Tyre.CorneringStiffness",
)

# VSS 6.0, Vehicle.Powertrain.Transmission.SelectedGear: 126 park, 127 drive. M has no number.
_SELECTED_GEAR: Final = {Gear.P: 126, Gear.R: -1, Gear.N: 0, Gear.D: 127, Gear.L: 1}


def state_stream(
    frame: MapFrame | None = None, columns: ColumnSet = "standard"
) -> Stream[EgoState]:
    """The ego car.

    Args:
        frame: The map's place on Earth. With it the standard set has latitude, longitude,
            altitude and true heading; without it, height and yaw in the map instead.
        columns: The full set has those two in either case, and everything else that is known.
    """
    full = columns == "full"
    with_map = full or frame is None
    measured: tuple[str, ...] = _MOTION
    measured += () if frame is None else _ON_EARTH
    measured += _ON_MAP if with_map else ()
    measured += _FULL_MOTION if full else ()
    stepped = (*_MODES, *_FULL_MODES) if full else _MODES

    def row(state: EgoState, at_s: float) -> Row:
        values = _motion(state, at_s)
        if frame is not None:
            values += _on_earth(state, frame)
        if with_map:
            values += _on_map(state)
        modes = _modes(state)
        if full:
            values += _full_motion(state)
            modes += _full_modes(state)
        return values, modes

    return Stream("state", _signals(*measured), _signals(*stepped), row)


def _motion(state: EgoState, at_s: float) -> list[float | None]:
    acceleration = state.acceleration_mps2
    rotation = state.angular_velocity_radps
    position = state.position_m
    return [
        state.speed_mps * _KMH_PER_MPS,
        None if acceleration is None else acceleration[0],
        None if acceleration is None else acceleration[1],
        None if rotation is None else rotation[2] * _DEG_PER_RAD,
        _deg(state.wheel_angle_rad),
        _percent(state.accel_pedal),
        _percent(state.brake_pedal),
        None if state.stamp_s is None else (state.stamp_s - at_s) * 1000,
        None if position is None else position[0],
        None if position is None else position[1],
    ]


def _on_earth(state: EgoState, frame: MapFrame) -> list[float | None]:
    position, yaw_rad = state.position_m, state.yaw_rad
    if position is None:
        return [None, None, None, None]
    try:
        if yaw_rad is None:
            return [*frame.to_wgs84(*position), None]
        latitude, longitude, height, heading_rad = frame.pose_to_wgs84(*position, yaw_rad)
    except OutsideMapError:
        return [None, None, None, None]
    return [latitude, longitude, height, _rounded_heading_deg(heading_rad)]


def _on_map(state: EgoState) -> list[float | None]:
    return [
        None if state.position_m is None else state.position_m[2],
        _deg(state.yaw_rad),
    ]


def _full_motion(state: EgoState) -> list[float | None]:
    rotation = state.angular_velocity_radps
    velocity = state.velocity_mps
    lane = state.lane
    return [
        _deg(state.roll_rad),
        _deg(state.pitch_rad),
        None if state.acceleration_mps2 is None else state.acceleration_mps2[2],
        None if rotation is None else rotation[0] * _DEG_PER_RAD,
        None if rotation is None else rotation[1] * _DEG_PER_RAD,
        None if velocity is None else velocity[1] * _KMH_PER_MPS,
        None if velocity is None else velocity[2] * _KMH_PER_MPS,
        state.accel_pedal,
        state.brake_pedal,
        _deg(state.rear_wheel_angle_rad),
        None if lane is None else lane.left_boundary_m,
        None if lane is None else lane.right_boundary_m,
        None if lane is None else lane.cross_track_error_m,
    ]


def _modes(state: EgoState) -> list[Value]:
    gear = state.gear
    return [
        None if gear is None else _SELECTED_GEAR.get(gear),
        None if gear is None else gear.name,
        None if state.drive_mode is None else state.drive_mode.name,
        state.link_id,
    ]


def _full_modes(state: EgoState) -> list[Value]:
    size, tyres = state.dimensions, state.tyres
    values: list[Value] = [state.map_data_id]
    if size is None:
        values += [None] * 6
    else:
        values += [
            _millimetres(size.length_m),
            _millimetres(size.width_m),
            _millimetres(size.height_m),
            _millimetres(size.wheelbase_m),
            _millimetres(size.front_overhang_m),
            _millimetres(size.rear_overhang_m),
        ]
    if tyres is None:
        values += [None] * 3
    else:
        values += [
            tyres.lateral_force_n,
            tuple(angle * _DEG_PER_RAD for angle in tyres.side_slip_rad),
            tuple(value / _DEG_PER_RAD for value in tyres.cornering_stiffness_n_per_rad),
        ]
    return values


# -- objects ---------------------------------------------------------------------------------

_OBJECTS: Final = (
    "Morai.Objects.Id",
    "Morai.Objects.Kind",
    "Morai.Objects.X",
    "Morai.Objects.Y",
    "Morai.Objects.Yaw",
    "Morai.Objects.VelocityX",
    "Morai.Objects.VelocityY",
)
_FULL_OBJECTS: Final = (
    "Morai.Objects.Z",
    "Morai.Objects.VelocityZ",
    "Morai.Objects.AccelerationX",
    "Morai.Objects.AccelerationY",
    "Morai.Objects.AccelerationZ",
    "Morai.Objects.Length",
    "Morai.Objects.Width",
    "Morai.Objects.Height",
    "Morai.Objects.LinkId",
)


def objects_stream(columns: ColumnSet = "standard") -> Stream[Sequence[TrackedObject]]:
    """The objects around the ego car: one sample is all of them, each column a list by object.

    The simulator lists the nearest first, so the order would change all the time. Here objects
    stand in ascending order of their number, which lets the numbers and kinds of a whole batch
    be written once.
    """
    full = columns == "full"

    def row(objects: Sequence[TrackedObject], _at_s: float) -> Row:
        ordered = sorted(objects, key=_object_order)
        values: list[Value] = [
            tuple(item.id for item in ordered),
            tuple(_kind_text(item.kind) for item in ordered),
            tuple(item.position_m[0] for item in ordered),
            tuple(item.position_m[1] for item in ordered),
            tuple(item.yaw_rad * _DEG_PER_RAD for item in ordered),
            tuple(item.velocity_mps[0] * _KMH_PER_MPS for item in ordered),
            tuple(item.velocity_mps[1] * _KMH_PER_MPS for item in ordered),
        ]
        if full:
            values += [
                tuple(item.position_m[2] for item in ordered),
                tuple(item.velocity_mps[2] * _KMH_PER_MPS for item in ordered),
                *(tuple(item.acceleration_mps2[axis] for item in ordered) for axis in range(3)),
                *(tuple(item.size_m[axis] for item in ordered) for axis in range(3)),
                tuple(item.link_id for item in ordered),
            ]
        return (), values

    return Stream("objects", (), _signals(*_OBJECTS, *(_FULL_OBJECTS if full else ())), row)


def _object_order(item: TrackedObject) -> int:
    return item.id


def _kind_text(kind: ObjectKind | int) -> str:
    return kind.name if isinstance(kind, ObjectKind) else f"KIND_{kind}"


# -- sensors ---------------------------------------------------------------------------------


def gnss_stream() -> Stream[GnssFix | None]:
    """The simulated receiver. A sample of `None` says that it has no fix."""
    measured = _signals(
        "Vehicle.CurrentLocation.Latitude",
        "Vehicle.CurrentLocation.Longitude",
        "Vehicle.CurrentLocation.Altitude",
        "Morai.Gnss.Speed",
        "Morai.Gnss.Course",
    )
    stepped = _signals(
        "Vehicle.CurrentLocation.GNSSReceiver.FixType",
        "Vehicle.CurrentLocation.Timestamp",
        "Morai.Gnss.Quality",
        "Morai.Gnss.Satellites",
        "Morai.Gnss.Hdop",
    )
    return Stream("gnss", measured, stepped, _gnss_row)


def _gnss_row(fix: GnssFix | None, _at_s: float) -> Row:
    if fix is None:
        return (None,) * 5, ("NONE", None, None, None, None)
    return (
        fix.latitude_deg,
        fix.longitude_deg,
        fix.altitude_m,
        None if fix.speed_mps is None else fix.speed_mps * _KMH_PER_MPS,
        None if fix.course_rad is None else _rounded_heading_deg(fix.course_rad),
    ), (
        _fix_type(fix),
        _iso8601(fix.utc_s),
        fix.quality,
        fix.satellites,
        fix.hdop,
    )


# NMEA 0183 quality: 1 autonomous, 2 differential, 3 precise, 4 and 5 real-time kinematic. RTK
# corrections come from ground stations; for 2 the sentence does not say, so no augmentation is
# claimed. 6 (estimated), 7 (manual) and 8 (simulator) are no kind of fix VSS has a word for.
_QUALITY_INVALID: Final = 0
_QUALITY_PLAIN: Final = (1, 2, 3)
_QUALITY_RTK: Final = (4, 5)


def _fix_type(fix: GnssFix) -> str | None:
    dimensions = "TWO_D" if fix.altitude_m is None else "THREE_D"
    if fix.quality == _QUALITY_INVALID:
        return "NONE"
    if fix.quality in _QUALITY_RTK:
        return f"{dimensions}_GROUND_BASED_AUGMENTATION"
    return dimensions if fix.quality in _QUALITY_PLAIN else None


def _iso8601(unix_s: float | None) -> str | None:
    if unix_s is None:
        return None
    try:
        moment = dt.datetime.fromtimestamp(unix_s, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def imu_stream() -> Stream[ImuSample]:
    """The simulated inertial unit."""
    measured = _signals(
        "Morai.Imu.Orientation.W",
        "Morai.Imu.Orientation.X",
        "Morai.Imu.Orientation.Y",
        "Morai.Imu.Orientation.Z",
        "Vehicle.AngularVelocity.Roll",
        "Vehicle.AngularVelocity.Pitch",
        "Vehicle.AngularVelocity.Yaw",
        "Morai.Imu.SpecificForce.X",
        "Morai.Imu.SpecificForce.Y",
        "Morai.Imu.SpecificForce.Z",
        "Morai.StampOffset",
    )
    return Stream("imu", measured, (), _imu_row)


def _imu_row(sample: ImuSample, at_s: float) -> Row:
    orientation = sample.orientation
    return (
        *((None,) * 4 if orientation is None else orientation),
        *(rate * _DEG_PER_RAD for rate in sample.angular_velocity_radps),
        *sample.acceleration_mps2,
        None if sample.stamp_s is None else (sample.stamp_s - at_s) * 1000,
    ), ()


# -- events ----------------------------------------------------------------------------------


def collision_stream() -> Stream[Collision]:
    """Contacts of the ego car: one sample a contact."""
    measured = _signals("Morai.Collision.X", "Morai.Collision.Y", "Morai.Collision.Z")
    stepped = _signals("Morai.Collision.ObjectId", "Morai.Collision.Kind", "Morai.StampOffset")
    return Stream("collision", measured, stepped, _collision_row)


def _collision_row(collision: Collision, at_s: float) -> Row:
    stamp_s = collision.stamp_s
    return collision.position_m, (
        collision.object_id,
        _kind_text(collision.kind),
        None if stamp_s is None else (stamp_s - at_s) * 1000,
    )


def traffic_light_stream() -> Stream[TrafficLight]:
    """The traffic light that matters to the ego car."""
    stepped = _signals(
        "Morai.TrafficLight.Id", "Morai.TrafficLight.Layout", "Morai.TrafficLight.Lamps"
    )
    return Stream("traffic-light", (), stepped, _traffic_light_row)


def _traffic_light_row(light: TrafficLight, _at_s: float) -> Row:
    return (), (light.light_id, light.layout, _lamp_names(light.lamps))


_NAMED_LAMPS: Final = tuple(lamp for lamp in TrafficLamp if lamp)


def _lamp_names(lamps: TrafficLamp) -> tuple[str, ...]:
    names = [lamp.name or "" for lamp in _NAMED_LAMPS if lamp in lamps]
    rest = int(lamps)
    for lamp in _NAMED_LAMPS:
        rest &= ~int(lamp)
    names += [f"BIT_{bit}" for bit in range(rest.bit_length()) if rest >> bit & 1]
    return tuple(names)


# -- units -----------------------------------------------------------------------------------


def _deg(angle_rad: float | None) -> float | None:
    return None if angle_rad is None else angle_rad * _DEG_PER_RAD


def _rounded_heading_deg(heading_rad: float) -> float:
    """Degrees in [0, 360), also after rounding to the resolution of headings."""
    heading_deg = round(heading_rad * _DEG_PER_RAD, 2)
    return heading_deg - _FULL_TURN_DEG if heading_deg >= _FULL_TURN_DEG else heading_deg


def _percent(share: float | None) -> float | None:
    return None if share is None else min(max(share, 0.0), 1.0) * 100


def _millimetres(length_m: float) -> float | None:
    # VSS has these as uint16.
    return length_m * 1000 if 0 <= length_m * 1000 <= 0xFFFF else None  # noqa: PLR2004 - uint16
