"""What each stream says about a sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry import streams
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import decode_batch
from agent.vehicle.frames import MapFrame
from agent.vehicle.state import (
    Collision,
    Dimensions,
    DriveMode,
    EgoState,
    Gear,
    GnssFix,
    ImuSample,
    LanePosition,
    ObjectKind,
    TrackedObject,
    TrafficLamp,
    TrafficLight,
    Tyres,
)
from agent.vehicle.vss import SIGNALS

if TYPE_CHECKING:
    from agent.telemetry.streams import Stream

FRAME = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0, 10.0)
AT_S = 1_790_000_000.0
STATE = EgoState(
    speed_mps=10.0,
    stamp_s=AT_S - 0.004,
    drive_mode=DriveMode.EXTERNAL,
    gear=Gear.D,
    position_m=(100.0, -200.0, 1.5),
    roll_rad=math.radians(1.0),
    pitch_rad=math.radians(-2.0),
    yaw_rad=math.pi / 2,
    velocity_mps=(10.0, -0.5, 0.0),
    angular_velocity_radps=(0.0, 0.0, math.radians(12.5)),
    acceleration_mps2=(1.25, -0.5, 0.0),
    wheel_angle_rad=math.radians(-3.5),
    rear_wheel_angle_rad=math.radians(0.5),
    accel_pedal=0.333,
    brake_pedal=0.0,
    link_id="A2256W001086",
    map_data_id=7,
    dimensions=Dimensions(
        length_m=4.635,
        width_m=1.892,
        height_m=1.5,
        wheelbase_m=3.0,
        front_overhang_m=0.845,
        rear_overhang_m=0.79,
    ),
    lane=LanePosition(left_boundary_m=1.75, right_boundary_m=1.25, cross_track_error_m=0.25),
    tyres=Tyres(
        lateral_force_n=(1.0, 2.0, 3.0, 4.0),
        side_slip_rad=(math.radians(1.0), 0.0, 0.0, 0.0),
        cornering_stiffness_n_per_rad=(math.degrees(1000.0), 0.0, 0.0, 0.0),
    ),
)
UNKNOWN = EgoState(speed_mps=0.0)


def published(stream: Stream[Any], *samples: Any) -> list[dict[str, Any]]:
    """The rows an application reads after these samples went through a batch."""
    batcher = Batcher(stream, "b", BatchLimits(max_bytes=100_000))
    for sample in samples:
        batcher.add(sample, AT_S)
    return decode_batch(batcher.flush()[0]).rows()


def test_state_is_in_vss_units() -> None:
    """10 m/s are 36 km/h, pedals are percent, angles degrees, gear D is 127."""
    (row,) = published(streams.state_stream(FRAME), STATE)
    assert row["Vehicle.Speed"] == 36.0
    assert row["Vehicle.Acceleration.Longitudinal"] == 1.25
    assert row["Vehicle.Acceleration.Lateral"] == -0.5
    assert row["Vehicle.AngularVelocity.Yaw"] == 12.5
    assert row["Vehicle.Chassis.Axle.Row1.SteeringAngle"] == -3.5
    assert row["Vehicle.Chassis.Accelerator.PedalPosition"] == 33
    assert row["Vehicle.Chassis.Brake.PedalPosition"] == 0
    assert row["Vehicle.Powertrain.Transmission.SelectedGear"] == 127
    assert row["Morai.Gear"] == "D"
    assert row["Morai.DriveMode"] == "EXTERNAL"
    assert row["Morai.LinkId"] == "A2256W001086"
    assert row["Morai.StampOffset"] == -4
    assert (row["Morai.Pose.X"], row["Morai.Pose.Y"]) == (100.0, -200.0)


def test_state_stands_on_earth_with_a_true_heading() -> None:
    """The place is the projection's, and grid north is not true north: convergence is in."""
    (row,) = published(streams.state_stream(FRAME), STATE)
    latitude_deg, longitude_deg, _ = FRAME.to_wgs84(100.0, -200.0)
    assert row["Vehicle.CurrentLocation.Latitude"] == pytest.approx(latitude_deg, abs=6e-8)
    assert row["Vehicle.CurrentLocation.Longitude"] == pytest.approx(longitude_deg, abs=6e-8)
    assert row["Vehicle.CurrentLocation.Altitude"] == 11.5
    convergence_deg = math.degrees(
        math.radians(longitude_deg - 129) * math.sin(math.radians(latitude_deg))
    )
    assert row["Vehicle.CurrentLocation.Heading"] == pytest.approx(360 + convergence_deg, abs=0.01)


def test_state_without_a_map_has_the_map_pose_instead() -> None:
    """Without a place on Earth, height and yaw in the map are in the standard set."""
    (row,) = published(streams.state_stream(), STATE)
    assert (row["Morai.Pose.Z"], row["Morai.Pose.Yaw"]) == (1.5, 90.0)
    assert "Vehicle.CurrentLocation.Latitude" not in row


def test_full_state_adds_what_else_is_known() -> None:
    """The full set has attitude, raw pedals, sizes in millimetres, lane and tyres."""
    (row,) = published(streams.state_stream(FRAME, "full"), STATE)
    expected = {
        "Morai.Pose.Roll": 1.0,
        "Morai.Pose.Pitch": -2.0,
        "Morai.Pose.Yaw": 90.0,
        "Morai.Velocity.Lateral": -1.8,
        "Morai.Pedal.Accelerator": 0.333,
        "Vehicle.Chassis.Axle.Row2.SteeringAngle": 0.5,
        "Vehicle.Length": 4635,
        "Vehicle.WidthExcludingMirrors": 1892,
        "Vehicle.Chassis.Wheelbase": 3000,
        "Morai.RearOverhang": 790,
        "Morai.MapDataId": 7,
        "Morai.Lane.CrossTrackError": 0.25,
        "Morai.Tyre.LateralForce": [1, 2, 3, 4],
        "Morai.Tyre.SideSlip": [1.0, 0.0, 0.0, 0.0],
        "Morai.Tyre.CorneringStiffness": [1000, 0, 0, 0],
    }
    assert {path: row[path] for path in expected} == expected


@pytest.mark.parametrize("frame", [FRAME, None])
@pytest.mark.parametrize("columns", ["standard", "full"])
def test_unknown_is_null(frame: MapFrame | None, columns: Any) -> None:
    """A car of which only the speed is known has nulls everywhere else, not zeros."""
    (row,) = published(streams.state_stream(frame, columns), UNKNOWN)
    assert row.pop("Vehicle.Speed") == 0
    assert set(row.values()) == {None}


def test_position_off_the_map_is_unknown_on_earth() -> None:
    """A position no projection can express leaves latitude and longitude null."""
    far = msgspec.structs.replace(STATE, position_m=(1e12, 0.0, 0.0))
    (row,) = published(streams.state_stream(FRAME), far)
    assert row["Vehicle.CurrentLocation.Latitude"] is None
    assert row["Morai.Pose.X"] == 1e12


def test_known_place_with_unknown_yaw_has_no_heading() -> None:
    """Latitude does not need the yaw."""
    (row,) = published(streams.state_stream(FRAME), msgspec.structs.replace(STATE, yaw_rad=None))
    assert row["Vehicle.CurrentLocation.Latitude"] is not None
    assert row["Vehicle.CurrentLocation.Heading"] is None


@pytest.mark.parametrize(
    ("gear", "selected"), [("P", 126), ("R", -1), ("N", 0), ("D", 127), ("L", 1), ("M", None)]
)
def test_gear_numbers_are_those_of_vss(gear: str, selected: int | None) -> None:
    """VSS 6.0 has 126 for park and 127 for drive; manual has no number there."""
    (row,) = published(streams.state_stream(), msgspec.structs.replace(STATE, gear=Gear[gear]))
    assert row["Vehicle.Powertrain.Transmission.SelectedGear"] == selected
    assert row["Morai.Gear"] == gear


@pytest.mark.parametrize(("pedal", "percent"), [(-0.1, 0), (0.004, 0), (0.999, 100), (1.5, 100)])
def test_pedals_stay_within_the_range_of_vss(pedal: float, percent: int) -> None:
    """Percent are whole and from 0 to 100."""
    (row,) = published(streams.state_stream(), msgspec.structs.replace(STATE, accel_pedal=pedal))
    assert row["Vehicle.Chassis.Accelerator.PedalPosition"] == percent


@given(st.floats(-math.pi, math.pi))
def test_heading_is_below_a_full_turn_after_rounding(yaw_rad: float) -> None:
    """359.999 degrees are published as 0, not as 360."""
    (row,) = published(streams.state_stream(FRAME), msgspec.structs.replace(STATE, yaw_rad=yaw_rad))
    assert 0 <= row["Vehicle.CurrentLocation.Heading"] < 360


NUMBERS = st.floats(-1e5, 1e5)
VECTORS = st.tuples(NUMBERS, NUMBERS, NUMBERS)
STATES = st.builds(
    EgoState,
    speed_mps=NUMBERS,
    stamp_s=st.none() | st.floats(1.78e9, 1.80e9),
    position_m=st.none() | VECTORS,
    yaw_rad=st.none() | st.floats(-math.pi, math.pi),
    velocity_mps=st.none() | VECTORS,
    angular_velocity_radps=st.none() | VECTORS,
    acceleration_mps2=st.none() | VECTORS,
    wheel_angle_rad=st.none() | NUMBERS,
    accel_pedal=st.none() | st.floats(0, 1),
)


@given(st.lists(STATES, min_size=1, max_size=20))
def test_values_come_back_within_half_a_resolution_step(states: list[EgoState]) -> None:
    """What an application reads differs from the value by rounding alone."""
    stream = streams.state_stream(FRAME, "full")
    rows = published(stream, *states)
    for state, row in zip(states, rows, strict=True):
        measured, stepped = stream.row(state, AT_S)
        for signal, value in zip(stream.signals, (*measured, *stepped), strict=True):
            got = row[signal.path]
            if isinstance(value, int | float) and signal.resolution is not None:
                assert abs(got - value) <= signal.resolution / 2 + abs(value) * 1e-12
            else:
                assert got == value


def car(number: int, x_m: float = 1.0, **fields: Any) -> TrackedObject:
    """A car near the ego."""
    return TrackedObject(
        id=number,
        kind=fields.pop("kind", ObjectKind.VEHICLE),
        position_m=(x_m, 2.0, 3.0),
        yaw_rad=-math.pi / 2,
        size_m=(4.5, 1.9, 1.5),
        velocity_mps=(10.0, 0.0, 0.0),
        **fields,
    )


def test_objects_stand_in_order_of_their_numbers() -> None:
    """Nearest first on the wire, by number in the batch, so that columns hold still."""
    first, second = published(
        streams.objects_stream(),
        (car(9), car(2, kind=ObjectKind.PEDESTRIAN), car(5, kind=12)),
        (car(2, kind=ObjectKind.PEDESTRIAN), car(9), car(5, kind=12)),
    )
    assert first["Morai.Objects.Id"] == second["Morai.Objects.Id"] == [2, 5, 9]
    assert first["Morai.Objects.Kind"] == ["PEDESTRIAN", "KIND_12", "VEHICLE"]
    assert first["Morai.Objects.VelocityX"] == [36.0, 36.0, 36.0]
    assert first["Morai.Objects.Yaw"] == [-90.0, -90.0, -90.0]


def test_no_objects_are_an_empty_list() -> None:
    """An empty road is known to be empty."""
    (row,) = published(streams.objects_stream("full"), ())
    assert set(map(tuple, row.values())) == {()}


def test_full_objects_have_size_and_link() -> None:
    """Sizes are metres; an object off the road network has a null link."""
    (row,) = published(streams.objects_stream("full"), (car(1, link_id="A1"), car(2)))
    assert row["Morai.Objects.Length"] == [4.5, 4.5]
    assert row["Morai.Objects.LinkId"] == ["A1", None]


FIX = GnssFix(
    latitude_deg=37.2412345,
    longitude_deg=126.7712345,
    altitude_m=31.2,
    speed_mps=10.0,
    course_rad=math.pi,
    quality=1,
    satellites=9,
    hdop=1.0,
    utc_s=1_795_169_730,
)


def test_fix_and_its_loss() -> None:
    """A fix has VSS's fix type and time; a lost one has nulls and `NONE`."""
    known, lost = published(streams.gnss_stream(), FIX, None)
    assert known["Vehicle.CurrentLocation.Latitude"] == 37.2412345
    assert known["Vehicle.CurrentLocation.Timestamp"] == "2026-11-20T10:15:30.000Z"
    assert known["Vehicle.CurrentLocation.GNSSReceiver.FixType"] == "THREE_D"
    assert (known["Morai.Gnss.Speed"], known["Morai.Gnss.Course"]) == (36.0, 180.0)
    assert lost["Vehicle.CurrentLocation.GNSSReceiver.FixType"] == "NONE"
    assert lost["Vehicle.CurrentLocation.Latitude"] is None


@pytest.mark.parametrize(
    ("quality", "altitude_m", "fix_type"),
    [
        (0, 1.0, "NONE"),
        (1, None, "TWO_D"),
        (2, 1.0, "THREE_D"),
        (4, 1.0, "THREE_D_GROUND_BASED_AUGMENTATION"),
        (5, None, "TWO_D_GROUND_BASED_AUGMENTATION"),
        (8, 1.0, None),
        (None, None, None),
    ],
)
def test_fix_types_are_vss_words(
    quality: int | None, altitude_m: float | None, fix_type: str | None
) -> None:
    """NMEA quality becomes one of VSS's fix types, or null where it has none."""
    fix = msgspec.structs.replace(FIX, quality=quality, altitude_m=altitude_m)
    (row,) = published(streams.gnss_stream(), fix)
    path = "Vehicle.CurrentLocation.GNSSReceiver.FixType"
    assert row[path] == fix_type
    assert fix_type is None or fix_type in SIGNALS[path].allowed


@pytest.mark.parametrize("utc_s", [1e300, -1e300, math.nan, math.inf])
def test_impossible_receiver_time_is_unknown(utc_s: float) -> None:
    """A time no calendar has is null."""
    (row,) = published(streams.gnss_stream(), msgspec.structs.replace(FIX, utc_s=utc_s))
    assert row["Vehicle.CurrentLocation.Timestamp"] is None


def test_imu_rates_are_degrees_and_gravity_is_in_the_force() -> None:
    """Rates go under VSS's names; what holds gravity is no VSS acceleration."""
    sample = ImuSample(
        orientation=(1.0, 0.0, 0.0, 0.0),
        angular_velocity_radps=(0.0, 0.0, math.pi / 18),
        acceleration_mps2=(0.0, 0.0, 9.81),
    )
    row, starting = published(
        streams.imu_stream(), sample, msgspec.structs.replace(sample, orientation=None)
    )
    assert row["Vehicle.AngularVelocity.Yaw"] == 10.0
    assert row["Morai.Imu.SpecificForce.Z"] == 9.81
    assert row["Morai.Imu.Orientation.W"] == 1.0
    assert starting["Morai.Imu.Orientation.W"] is None


def test_collision_names_what_was_hit() -> None:
    """A contact has number, kind and place."""
    contact = Collision(object_id=4, kind=ObjectKind.OBSTACLE, position_m=(1.0, 2.0, 3.0))
    (row,) = published(streams.collision_stream(), contact)
    assert row["Morai.Collision.ObjectId"] == 4
    assert row["Morai.Collision.Kind"] == "OBSTACLE"
    assert row["Morai.Collision.X"] == 1.0


@pytest.mark.parametrize(
    ("lamps", "names"),
    [
        (TrafficLamp.GREEN | TrafficLamp.LEFT_ARROW, ["GREEN", "LEFT_ARROW"]),
        (TrafficLamp.DARK, []),
        (TrafficLamp(0x102 | 1), ["RED", "BIT_1", "BIT_8"]),
    ],
)
def test_traffic_light_lists_its_lit_lamps(lamps: TrafficLamp, names: list[str]) -> None:
    """Lamps are names; a bit without one is still shown."""
    light = TrafficLight(light_id="C119BS010001", layout=1, lamps=lamps)
    (row,) = published(streams.traffic_light_stream(), light)
    assert row["Morai.TrafficLight.Lamps"] == names
    assert row["Morai.TrafficLight.Id"] == "C119BS010001"


def test_stream_names_are_those_of_the_contract() -> None:
    """The last topic level of each stream is fixed."""
    assert streams.STREAM_NAMES == (
        "state",
        "objects",
        "gnss",
        "imu",
        "collision",
        "traffic-light",
        "health",
    )
    assert "health" not in streams.BATCHED_STREAMS
