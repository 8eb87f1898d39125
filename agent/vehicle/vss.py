"""The signals this project speaks: the COVESA VSS 6.0 subset it uses, and its `Morai.*` overlay.

Owns path, type, unit, range and resolution of every signal, as data. VSS signals are taken as the
standard has them (COVESA Vehicle Signal Specification 6.0, catalogue of 15 January 2026). What VSS
lacks stands in a tree of its own, `Morai`, in VSS's manner and with VSS's units: map-local pose,
object lists, collisions, traffic lights, link ids, raw pedals. How a value comes out of the domain
model is the business of `agent.telemetry.streams`; this module knows no samples and no encoding.

`Resolution` is ours, not VSS's: the step to which a published number is rounded, chosen a little
finer than the simulator's own noise so that a sample stays small.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OVERLAY_ROOT", "SIGNALS", "VSS_VERSION", "Signal", "signal"]

VSS_VERSION: Final = "6.0"
OVERLAY_ROOT: Final = "Morai"

DataType: TypeAlias = Literal[
    "boolean",
    "double",
    "float",
    "float[]",
    "int8",
    "int16",
    "int32",
    "int32[]",
    "string",
    "string[]",
    "uint8",
    "uint16",
    "uint32",
]
"""The VSS data types in use; `[]` marks a list inside one sample."""

Kind: TypeAlias = Literal["sensor", "actuator", "attribute"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal as it is published.

    Attributes:
        path: Dotted name from the root of its tree.
        kind: VSS node type.
        datatype: VSS data type.
        unit: VSS unit as `units.yaml` of the standard spells it; `None` for a plain number or text.
        minimum: Smallest allowed value; `None` where VSS states none.
        maximum: Largest allowed value; `None` where VSS states none.
        resolution: Step published numbers are rounded to; `None` for text.
        allowed: The closed list of texts; empty when open.
        meaning: One sentence for the reader of `docs/signals.md`.
    """

    path: str
    kind: Kind
    datatype: DataType
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    resolution: float | None = None
    allowed: tuple[str, ...] = ()
    meaning: str = ""

    @property
    def is_overlay(self) -> bool:
        """Whether the signal is ours rather than the standard's."""
        return self.path.startswith(OVERLAY_ROOT + ".")

    @property
    def is_array(self) -> bool:
        """Whether one sample holds a list."""
        return self.datatype.endswith("[]")

    @property
    def is_number(self) -> bool:
        """Whether the values (or the list's items) are numbers."""
        return self.resolution is not None

    @property
    def decimals(self) -> int:
        """Digits after the decimal point that the resolution needs."""
        if self.resolution is None:
            return 0
        return max(0, -math.floor(math.log10(self.resolution) + 1e-9))


def _number(
    path: str,
    datatype: DataType,
    unit: str | None,
    resolution: float,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    kind: Kind = "sensor",
) -> Signal:
    return Signal(
        path=path,
        kind=kind,
        datatype=datatype,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        resolution=resolution,
        meaning=meaning,
    )


def _text(
    path: str,
    meaning: str,
    *,
    allowed: tuple[str, ...] = (),
    datatype: DataType = "string",
    unit: str | None = None,
) -> Signal:
    return Signal(
        path=path, kind="sensor", datatype=datatype, unit=unit, allowed=allowed, meaning=meaning
    )


_FIX_TYPES: Final = (
    "NONE",
    "TWO_D",
    "TWO_D_SATELLITE_BASED_AUGMENTATION",
    "TWO_D_GROUND_BASED_AUGMENTATION",
    "TWO_D_SATELLITE_AND_GROUND_BASED_AUGMENTATION",
    "THREE_D",
    "THREE_D_SATELLITE_BASED_AUGMENTATION",
    "THREE_D_GROUND_BASED_AUGMENTATION",
    "THREE_D_SATELLITE_AND_GROUND_BASED_AUGMENTATION",
)

_STANDARD: Final = (
    _number("Vehicle.Speed", "float", "km/h", 0.01, "Speed along the car, negative in reverse."),
    _number(
        "Vehicle.CurrentLocation.Latitude",
        "double",
        "degrees",
        1e-7,
        "Latitude on WGS 84; in `state` of the rear axle's centre, in `gnss` of the antenna.",
        minimum=-90,
        maximum=90,
    ),
    _number(
        "Vehicle.CurrentLocation.Longitude",
        "double",
        "degrees",
        1e-7,
        "Longitude on WGS 84, of the same point.",
        minimum=-180,
        maximum=180,
    ),
    _number(
        "Vehicle.CurrentLocation.Altitude",
        "double",
        "m",
        0.01,
        "Height above the WGS 84 ellipsoid, as far as the map's own heights are ellipsoidal.",
    ),
    _number(
        "Vehicle.CurrentLocation.Heading",
        "double",
        "degrees",
        0.01,
        "Heading clockwise from true north; the map's meridian convergence is taken out.",
        minimum=0,
        maximum=360,
    ),
    _text(
        "Vehicle.CurrentLocation.Timestamp",
        "Time the receiver states, ISO 8601 in UTC.",
        unit="iso8601",
    ),
    _text(
        "Vehicle.CurrentLocation.GNSSReceiver.FixType",
        "Kind of fix; `NONE` without one.",
        allowed=_FIX_TYPES,
    ),
    _number("Vehicle.Acceleration.Longitudinal", "float", "m/s^2", 0.01, "Acceleration forward."),
    _number("Vehicle.Acceleration.Lateral", "float", "m/s^2", 0.01, "Acceleration to the left."),
    _number("Vehicle.Acceleration.Vertical", "float", "m/s^2", 0.01, "Acceleration upwards."),
    _number("Vehicle.AngularVelocity.Roll", "float", "degrees/s", 0.01, "Rotation about x."),
    _number("Vehicle.AngularVelocity.Pitch", "float", "degrees/s", 0.01, "Rotation about y."),
    _number(
        "Vehicle.AngularVelocity.Yaw",
        "float",
        "degrees/s",
        0.01,
        "Rotation about z, left positive.",
    ),
    _number(
        "Vehicle.Chassis.Axle.Row1.SteeringAngle",
        "float",
        "degrees",
        0.01,
        "Angle of the front wheels, left positive.",
    ),
    _number(
        "Vehicle.Chassis.Axle.Row2.SteeringAngle",
        "float",
        "degrees",
        0.01,
        "Angle of the rear wheels, left positive.",
    ),
    _number(
        "Vehicle.Chassis.Accelerator.PedalPosition",
        "uint8",
        "percent",
        1,
        "Accelerator pedal in whole percent.",
        minimum=0,
        maximum=100,
    ),
    _number(
        "Vehicle.Chassis.Brake.PedalPosition",
        "uint8",
        "percent",
        1,
        "Brake pedal in whole percent.",
        minimum=0,
        maximum=100,
    ),
    _number(
        "Vehicle.Powertrain.Transmission.SelectedGear",
        "int8",
        None,
        1,
        "Selector: 126 park, -1 reverse, 0 neutral, 127 drive, 1 low; null in manual.",
        kind="actuator",
    ),
    _number("Vehicle.Length", "uint16", "mm", 1, "Overall length.", kind="attribute"),
    _number("Vehicle.WidthExcludingMirrors", "uint16", "mm", 1, "Overall width.", kind="attribute"),
    _number("Vehicle.Height", "uint16", "mm", 1, "Overall height.", kind="attribute"),
    _number("Vehicle.Chassis.Wheelbase", "uint16", "mm", 1, "Between the axles.", kind="attribute"),
)

_OVERLAY: Final = (
    _number("Morai.Pose.X", "double", "m", 0.01, "Map-local east of the rear axle's centre."),
    _number("Morai.Pose.Y", "double", "m", 0.01, "Map-local north."),
    _number("Morai.Pose.Z", "double", "m", 0.01, "Map-local up."),
    _number("Morai.Pose.Roll", "float", "degrees", 0.01, "Roll.", minimum=-180, maximum=180),
    _number("Morai.Pose.Pitch", "float", "degrees", 0.01, "Pitch.", minimum=-180, maximum=180),
    _number(
        "Morai.Pose.Yaw",
        "float",
        "degrees",
        0.01,
        "Yaw from grid east, counter-clockwise.",
        minimum=-180,
        maximum=180,
    ),
    _number("Morai.Velocity.Lateral", "float", "km/h", 0.01, "Velocity to the left."),
    _number("Morai.Velocity.Vertical", "float", "km/h", 0.01, "Velocity upwards."),
    _number(
        "Morai.Pedal.Accelerator",
        "float",
        None,
        0.001,
        "Accelerator pedal, 0 released to 1 floored.",
        minimum=0,
        maximum=1,
    ),
    _number(
        "Morai.Pedal.Brake",
        "float",
        None,
        0.001,
        "Brake pedal, 0 released to 1 floored.",
        minimum=0,
        maximum=1,
    ),
    _number(
        "Morai.StampOffset",
        "int32",
        "ms",
        1,
        "The simulator's own time stamp minus the time of the sample.",
    ),
    _text("Morai.Gear", "Selector.", allowed=("M", "P", "R", "N", "D", "L")),
    _text(
        "Morai.DriveMode",
        "Who drives.",
        allowed=("BUILT_IN", "KEYBOARD", "EXTERNAL"),
    ),
    _text("Morai.LinkId", "Map link the car is on."),
    _number("Morai.MapDataId", "int32", None, 1, "Number of the map; invented maps from 10000."),
    _number("Morai.FrontOverhang", "uint16", "mm", 1, "Front axle to front end.", kind="attribute"),
    _number("Morai.RearOverhang", "uint16", "mm", 1, "Rear axle to rear end.", kind="attribute"),
    _number("Morai.Lane.LeftBoundary", "float", "m", 0.01, "Distance to the left lane boundary."),
    _number("Morai.Lane.RightBoundary", "float", "m", 0.01, "Distance to the right one."),
    _number(
        "Morai.Lane.CrossTrackError",
        "float",
        "m",
        0.01,
        "Distance from the lane's centre, right positive.",
    ),
    _number(
        "Morai.Tyre.LateralForce", "float[]", "N", 1, "A wheel: front left, front right, rear."
    ),
    _number("Morai.Tyre.SideSlip", "float[]", "degrees", 0.01, "Side slip angle a wheel."),
    _number(
        "Morai.Tyre.CorneringStiffness",
        "float[]",
        None,
        1,
        "Cornering stiffness a wheel, N/degree.",
    ),
    _number("Morai.Objects.Id", "int32[]", None, 1, "Simulator's numbers, ascending."),
    _text(
        "Morai.Objects.Kind",
        "Kind of each object; `KIND_<n>` for a number without a name.",
        datatype="string[]",
    ),
    _number("Morai.Objects.X", "float[]", "m", 0.01, "Map-local east."),
    _number("Morai.Objects.Y", "float[]", "m", 0.01, "Map-local north."),
    _number("Morai.Objects.Z", "float[]", "m", 0.01, "Map-local up."),
    _number(
        "Morai.Objects.Yaw",
        "float[]",
        "degrees",
        0.1,
        "Yaw from grid east, counter-clockwise.",
        minimum=-180,
        maximum=180,
    ),
    _number(
        "Morai.Objects.VelocityX", "float[]", "km/h", 0.1, "First component; frame not documented."
    ),
    _number("Morai.Objects.VelocityY", "float[]", "km/h", 0.1, "Second component."),
    _number("Morai.Objects.VelocityZ", "float[]", "km/h", 0.1, "Third component."),
    _number("Morai.Objects.AccelerationX", "float[]", "m/s^2", 0.01, "In the velocity's frame."),
    _number("Morai.Objects.AccelerationY", "float[]", "m/s^2", 0.01, "In the velocity's frame."),
    _number("Morai.Objects.AccelerationZ", "float[]", "m/s^2", 0.01, "In the velocity's frame."),
    _number("Morai.Objects.Length", "float[]", "m", 0.01, "Overall length."),
    _number("Morai.Objects.Width", "float[]", "m", 0.01, "Overall width."),
    _number("Morai.Objects.Height", "float[]", "m", 0.01, "Overall height."),
    _text("Morai.Objects.LinkId", "Map link of each, null if none.", datatype="string[]"),
    _number(
        "Morai.Gnss.Quality", "uint8", None, 1, "NMEA 0183 quality: 0 invalid, 1 autonomous, ..."
    ),
    _number("Morai.Gnss.Satellites", "uint8", None, 1, "Satellites in use."),
    _number("Morai.Gnss.Hdop", "float", None, 0.1, "Horizontal dilution of precision."),
    _number(
        "Morai.Gnss.Speed", "float", "km/h", 0.01, "Speed as the receiver states it; unreliable."
    ),
    _number(
        "Morai.Gnss.Course",
        "float",
        "degrees",
        0.01,
        "Course as the receiver states it, clockwise from north.",
        minimum=0,
        maximum=360,
    ),
    _number("Morai.Imu.Orientation.W", "float", None, 1e-5, "Orientation quaternion, real part."),
    _number("Morai.Imu.Orientation.X", "float", None, 1e-5, "Its x component."),
    _number("Morai.Imu.Orientation.Y", "float", None, 1e-5, "Its y component."),
    _number("Morai.Imu.Orientation.Z", "float", None, 1e-5, "Its z component."),
    _number("Morai.Imu.SpecificForce.X", "float", "m/s^2", 0.001, "Specific force forward."),
    _number("Morai.Imu.SpecificForce.Y", "float", "m/s^2", 0.001, "Specific force to the left."),
    _number(
        "Morai.Imu.SpecificForce.Z",
        "float",
        "m/s^2",
        0.001,
        "Upwards, gravity included: 9.81 at rest.",
    ),
    _number("Morai.Collision.ObjectId", "int32", None, 1, "Simulator's number of what was hit."),
    _text("Morai.Collision.Kind", "What was hit; `KIND_<n>` for a number without a name."),
    _number("Morai.Collision.X", "double", "m", 0.01, "Map-local east of what was hit."),
    _number("Morai.Collision.Y", "double", "m", 0.01, "Map-local north."),
    _number("Morai.Collision.Z", "double", "m", 0.01, "Map-local up."),
    _text("Morai.TrafficLight.Id", "The map's name of the light ahead."),
    _number(
        "Morai.TrafficLight.Layout",
        "int16",
        None,
        1,
        "Lamps of the head: 0 RYG, 1 RYG and left, 2 RYG, left and green, 100 YYY.",
    ),
    _text(
        "Morai.TrafficLight.Lamps",
        "Lit lamps: `RED`, `YELLOW`, `GREEN`, `LEFT_ARROW`, or `BIT_<n>`; none when dark.",
        datatype="string[]",
    ),
)

SIGNALS: Final[Mapping[str, Signal]] = {item.path: item for item in (*_STANDARD, *_OVERLAY)}
"""Every signal by its path, the standard's first."""


def signal(path: str) -> Signal:
    """Look a signal up.

    Raises:
        KeyError: No stream of this project carries it.
    """
    return SIGNALS[path]
