"""Wire messages to SI and back, and what counts as unknown."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import (
    CollidedVehicle,
    CollisionData,
    CollisionRecord,
    DecodeError,
    Dialect,
    EgoStatus,
    EgoStatusVariant,
    Gga,
    GpsSentences,
    Imu,
    ObjectInfo,
    ObjectInfoVariant,
    ObjectRecord,
    OtherSentence,
    Rmc,
    TrafficLightStatus,
    VehicleCollision,
    VehicleCollisionRecord,
    decode,
    encode,
)
from agent.vehicle import morai_view
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

MOVING = EgoStatus(
    variant=EgoStatusVariant.E3,
    sec=1_700_000_000,
    nsec=250_000_000,
    control_mode=2,
    gear=4,
    signed_velocity_kmh=36.0,
    map_data_id=7,
    accel_pedal=0.25,
    brake_pedal=0.0,
    size_x_m=4.635,
    size_y_m=1.892,
    size_z_m=2.434,
    overhang_m=0.845,
    wheelbase_m=3.0,
    rear_overhang_m=0.7,
    position_x_m=10.0,
    position_y_m=-20.0,
    position_z_m=1.5,
    roll_deg=-359.5,
    pitch_deg=1.0,
    yaw_deg=-359.4,
    velocity_x_kmh=36.0,
    velocity_y_kmh=-3.6,
    velocity_z_kmh=0.0,
    angular_velocity_x_degps=0.0,
    angular_velocity_y_degps=0.0,
    angular_velocity_z_degps=18.0,
    acceleration_x_mps2=0.5,
    acceleration_y_mps2=-0.25,
    acceleration_z_mps2=0.0,
    steer_deg=9.0,
    link_id="A2256W001086",
)


def changed(**fields: Any) -> EgoState:
    """The domain view of the moving car with some wire fields replaced."""
    return morai_view.ego_state(msgspec.structs.replace(MOVING, **fields))


def test_units_become_si() -> None:
    """36 km/h are 10 m/s, 18 deg/s are 0.314 rad/s, 9 degrees of wheel are 0.157 rad."""
    state = morai_view.ego_state(MOVING)
    assert state.speed_mps == pytest.approx(10.0)
    assert state.velocity_mps == pytest.approx((10.0, -1.0, 0.0))
    assert state.angular_velocity_radps == pytest.approx((0.0, 0.0, math.pi / 10))
    assert state.wheel_angle_rad == pytest.approx(math.pi / 20)
    assert state.acceleration_mps2 == (0.5, -0.25, 0.0)
    assert state.position_m == (10.0, -20.0, 1.5)
    assert state.stamp_s == 1_700_000_000.25
    assert (state.drive_mode, state.gear) == (DriveMode.EXTERNAL, Gear.D)
    assert state.map_data_id == 7
    assert state.link_id == "A2256W001086"
    assert state.dimensions == Dimensions(
        length_m=4.635,
        width_m=1.892,
        height_m=2.434,
        wheelbase_m=3.0,
        front_overhang_m=0.845,
        rear_overhang_m=0.7,
    )


def test_angles_are_wrapped() -> None:
    """The wire's -359.4 degrees are 0.6 degrees."""
    state = morai_view.ego_state(MOVING)
    assert state.yaw_rad == pytest.approx(math.radians(0.6))
    assert state.roll_rad == pytest.approx(math.radians(0.5))


def test_status_steer_sign_is_the_dialects() -> None:
    """Where a simulator reports right as positive, left stays positive inside."""
    state = morai_view.ego_state(MOVING, Dialect(status_steer_sign=-1))
    assert state.wheel_angle_rad == pytest.approx(-math.pi / 20)


def test_zero_position_is_unknown() -> None:
    """Exactly (0, 0, 0) is a missing position; the rest of the message still counts."""
    state = changed(position_x_m=0.0, position_y_m=0.0, position_z_m=0.0)
    assert state.position_m is None
    assert state.velocity_mps == pytest.approx((10.0, -1.0, 0.0))
    assert state.acceleration_mps2 == (0.5, -0.25, 0.0)


def test_position_with_one_coordinate_off_zero_is_known() -> None:
    """A car on the map's axis is somewhere."""
    assert changed(position_x_m=0.0, position_y_m=0.0).position_m == (0.0, 0.0, 1.5)


def test_competition_blanking_hides_velocity_and_acceleration_too() -> None:
    """Position, lateral and vertical velocity and acceleration all zero: blanked, not at rest."""
    state = changed(
        position_x_m=0.0,
        position_y_m=0.0,
        position_z_m=0.0,
        velocity_y_kmh=0.0,
        acceleration_x_mps2=0.0,
        acceleration_y_mps2=0.0,
    )
    assert state.position_m is None
    assert state.velocity_mps is None
    assert state.acceleration_mps2 is None
    assert state.speed_mps == pytest.approx(10.0)


def test_standing_car_with_a_position_is_known_to_stand() -> None:
    """Zero velocity and acceleration at a real place are zeros, not unknowns."""
    state = changed(
        signed_velocity_kmh=0.0,
        velocity_x_kmh=0.0,
        velocity_y_kmh=0.0,
        acceleration_x_mps2=0.0,
        acceleration_y_mps2=0.0,
    )
    assert state.velocity_mps == (0.0, 0.0, 0.0)
    assert state.acceleration_mps2 == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("sec", "nsec"), [(0, 0), (-5, 0), (1_700_000_000, -1), (1_700_000_000, 1_220_651_072)]
)
def test_garbage_stamp_is_no_stamp(sec: int, nsec: int) -> None:
    """Nanoseconds of a second or more, or no seconds, make the stamp unknown."""
    assert changed(sec=sec, nsec=nsec).stamp_s is None


def test_unnamed_modes_are_unknown() -> None:
    """A mode or gear number without a name is not guessed at."""
    state = changed(control_mode=77, gear=-3)
    assert (state.drive_mode, state.gear) == (None, None)


def test_empty_link_and_zero_size_are_unknown() -> None:
    """An empty link id and an all-zero size say nothing."""
    zero = dict.fromkeys(
        ("size_x_m", "size_y_m", "size_z_m", "overhang_m", "wheelbase_m", "rear_overhang_m"), 0.0
    )
    state = changed(link_id="", **zero)
    assert (state.link_id, state.dimensions) == (None, None)


def test_oldest_generation_gives_speed_and_modes_only() -> None:
    """E0's unexplained floats are not read; what it names is."""
    state = morai_view.ego_state(
        EgoStatus(
            variant=EgoStatusVariant.E0,
            control_mode=1,
            gear=2,
            signed_velocity_kmh=-7.2,
            e0_values=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
        )
    )
    assert state.speed_mps == pytest.approx(-2.0)
    assert state == EgoState(speed_mps=state.speed_mps, drive_mode=DriveMode.KEYBOARD, gear=Gear.R)


def test_non_finite_numbers_are_unknown() -> None:
    """A NaN that got past the codec hides its own field only."""
    state = changed(yaw_deg=math.nan, position_x_m=math.inf, accel_pedal=math.nan)
    assert (state.yaw_rad, state.position_m, state.accel_pedal) == (None, None, None)
    assert state.velocity_mps is not None


def test_non_finite_speed_is_refused() -> None:
    """A car of unknown speed must not pass for a standing one."""
    with pytest.raises(DecodeError):
        changed(signed_velocity_kmh=math.nan)


COORDINATES = st.floats(-5_000, 5_000).map(lambda value: round(value, 3))
RATES = st.floats(-50, 50).map(lambda value: round(value, 3))
ANGLES = st.floats(-3.1, 3.1).map(lambda value: round(value, 4))
SHARES = st.floats(0, 1)


def vectors(parts: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float, float]]:
    """Three independent components."""
    return st.tuples(parts, parts, parts)


WHEELS = st.tuples(RATES, RATES, RATES, RATES)
STATES = st.builds(
    EgoState,
    speed_mps=RATES,
    stamp_s=st.integers(1_000, 2_000_000_000_000).map(lambda ms: ms / 1000),
    drive_mode=st.sampled_from(DriveMode),
    gear=st.sampled_from(Gear),
    position_m=vectors(COORDINATES).filter(any),
    roll_rad=ANGLES,
    pitch_rad=ANGLES,
    yaw_rad=ANGLES,
    velocity_mps=vectors(RATES),
    angular_velocity_radps=vectors(RATES),
    acceleration_mps2=vectors(RATES),
    wheel_angle_rad=ANGLES,
    rear_wheel_angle_rad=ANGLES,
    accel_pedal=SHARES,
    brake_pedal=SHARES,
    link_id=st.sampled_from(["A2256W001086", "L1"]),
    map_data_id=st.integers(0, 19_999),
    dimensions=st.builds(
        Dimensions,
        length_m=st.floats(1, 20),
        width_m=st.floats(1, 3),
        height_m=st.floats(1, 4),
        wheelbase_m=st.floats(1, 5),
        front_overhang_m=st.floats(0, 2),
        rear_overhang_m=st.floats(0, 2),
    ),
    lane=st.builds(
        LanePosition, left_boundary_m=RATES, right_boundary_m=RATES, cross_track_error_m=RATES
    ),
    tyres=st.builds(
        Tyres, lateral_force_n=WHEELS, side_slip_rad=WHEELS, cornering_stiffness_n_per_rad=WHEELS
    ),
)


@given(STATES, st.sampled_from([-1, 1]))
def test_newest_generation_carries_everything(state: EgoState, sign: Any) -> None:
    """State to E5 bytes and back loses no more than single precision does."""
    dialect = Dialect(status_steer_sign=sign)
    wire = encode(morai_view.ego_status(state, EgoStatusVariant.E5, dialect), dialect=dialect)
    message = decode(wire, dialect=dialect)
    assert isinstance(message, EgoStatus)
    back = morai_view.ego_state(message, dialect)
    assert flat(back) == pytest.approx(flat(state), rel=1e-6, abs=1e-6)
    assert (back.drive_mode, back.gear, back.link_id, back.map_data_id) == (
        state.drive_mode,
        state.gear,
        state.link_id,
        state.map_data_id,
    )


def flat(state: EgoState) -> list[float]:
    """Every number of a fully known state."""
    numbers: list[float] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict | list | tuple):
            for item in value.values() if isinstance(value, dict) else value:
                collect(item)
        elif isinstance(value, float):
            numbers.append(value)

    collect(msgspec.to_builtins(state))
    return numbers


@pytest.mark.parametrize("variant", EgoStatusVariant)
def test_every_generation_can_be_written(variant: EgoStatusVariant) -> None:
    """A state that knows only its speed becomes a message the codec accepts, zeros elsewhere."""
    message = decode(encode(morai_view.ego_status(EgoState(speed_mps=5.0), variant)))
    assert isinstance(message, EgoStatus)
    assert message.variant is variant
    back = morai_view.ego_state(message)
    assert back.speed_mps == pytest.approx(5.0)
    assert (back.position_m, back.velocity_mps, back.stamp_s) == (None, None, None)


def test_stamps_are_written_in_whole_milliseconds() -> None:
    """A stamp just below a second carries into the next one."""
    message = morai_view.ego_status(EgoState(speed_mps=0.0, stamp_s=1_699_999_999.9996))
    assert (message.sec, message.nsec) == (1_700_000_000, 0)


PEDESTRIAN = TrackedObject(
    id=31,
    kind=ObjectKind.PEDESTRIAN,
    position_m=(1.0, 2.0, 0.5),
    yaw_rad=-math.pi / 2,
    size_m=(0.5, 0.5, 1.75),
    velocity_mps=(0.0, 1.0, 0.0),
    link_id=None,
)


def test_objects_become_si() -> None:
    """Object velocity is km/h on the wire too; a number without a name stays a number."""
    message = ObjectInfo(
        1_700_000_000,
        0,
        (
            ObjectRecord(31, 0, 1.0, 2.0, 0.5, 270.0, 0.5, 0.5, 1.75, velocity_y_kmh=3.6),
            ObjectRecord(32, 9, 1.0, 2.0, 0.5),
            ObjectRecord(33, 1, math.nan, 2.0, 0.5),
        ),
    )
    first, second = morai_view.tracked_objects(message)
    assert first.yaw_rad == pytest.approx(-math.pi / 2)
    assert first.velocity_mps == pytest.approx((0.0, 1.0, 0.0))
    exact = msgspec.structs.replace(
        first, yaw_rad=PEDESTRIAN.yaw_rad, velocity_mps=PEDESTRIAN.velocity_mps
    )
    assert exact == PEDESTRIAN
    assert second.kind == 9


@pytest.mark.parametrize("variant", ObjectInfoVariant)
def test_objects_survive_every_generation(variant: ObjectInfoVariant) -> None:
    """An object list can be written in each generation and read back."""
    car = msgspec.structs.replace(
        PEDESTRIAN, id=5, kind=ObjectKind.VEHICLE, wheelbase_m=2.75, front_overhang_m=0.75
    )
    message = morai_view.object_info((PEDESTRIAN, car), 1_700_000_000.5, variant)
    back = decode(encode(message))
    assert isinstance(back, ObjectInfo)
    objects = morai_view.tracked_objects(back)
    assert [(item.id, item.kind, item.wheelbase_m) for item in objects] == [
        (31, ObjectKind.PEDESTRIAN, 0.0),
        (5, ObjectKind.VEHICLE, 2.75),
    ]
    assert objects[0].yaw_rad == pytest.approx(-math.pi / 2)
    assert objects[0].velocity_mps == pytest.approx((0.0, 1.0, 0.0))


def test_only_twenty_objects_have_a_place() -> None:
    """The nearest twenty are kept; the datagram has no more slots."""
    crowd = [msgspec.structs.replace(PEDESTRIAN, id=number) for number in range(1, 30)]
    message = morai_view.object_info(crowd, 1.0)
    assert [record.id for record in message.objects] == list(range(1, 21))


def test_zero_quaternion_is_no_orientation() -> None:
    """The IMU sends all zeros while it starts; rates and forces count already."""
    sample = morai_view.imu_sample(Imu(None, None, 0, 0, 0, 0, 0.1, 0.2, 0.3, 0.0, 0.0, 9.81))
    assert sample == ImuSample(
        orientation=None,
        angular_velocity_radps=(0.1, 0.2, 0.3),
        acceleration_mps2=(0.0, 0.0, 9.81),
    )


@pytest.mark.parametrize("with_stamp", [True, False])
def test_imu_round_trip(with_stamp: bool) -> None:
    """Orientation is normalised, w comes first, and the stamp is kept in the form that has one."""
    sample = ImuSample(
        orientation=(0.5, 0.5, -0.5, 0.5),
        angular_velocity_radps=(0.01, -0.02, 0.03),
        acceleration_mps2=(0.1, 0.2, 9.8),
        stamp_s=1_700_000_000.125,
    )
    message = decode(encode(morai_view.imu(sample, with_stamp=with_stamp)))
    assert isinstance(message, Imu)
    assert (message.orientation_w, message.orientation_y) == (0.5, -0.5)
    back = morai_view.imu_sample(message)
    assert back == (sample if with_stamp else msgspec.structs.replace(sample, stamp_s=None))


def test_imu_of_non_finite_rates_is_refused() -> None:
    """A NaN rate that got past the codec ends as the codec's own error."""
    with pytest.raises(DecodeError):
        morai_view.imu_sample(Imu(None, None, 1, 0, 0, 0, math.nan, 0, 0, 0, 0, 9.81))


RMC = Rmc("101530.7", True, 37.25, 126.75, 10.0, 450.0, "201126")
GGA = Gga("101530.7", 37.25, 126.75, 1, 9, 1.0, 30.0, 2.5)


def test_both_sentences_make_one_fix() -> None:
    """10 kn are 5.144 m/s, course 450 is 90 degrees, height is altitude plus geoid separation."""
    fix = morai_view.gnss_fix(GpsSentences((RMC, GGA, OtherSentence("GPZDA,1"))))
    assert fix is not None
    assert fix.speed_mps == pytest.approx(5.14444, abs=1e-5)
    assert fix.course_rad == pytest.approx(math.pi / 2)
    assert msgspec.structs.replace(fix, speed_mps=None, course_rad=None) == GnssFix(
        latitude_deg=37.25,
        longitude_deg=126.75,
        altitude_m=32.5,
        quality=1,
        satellites=9,
        hdop=1.0,
        utc_s=1_795_169_730,  # 2026-11-20T10:15:30Z, the ambiguous fraction left out
    )


@pytest.mark.parametrize(
    "sentences",
    [
        (msgspec.structs.replace(RMC, latitude_deg=0.0, longitude_deg=0.0),),
        (msgspec.structs.replace(GGA, latitude_deg=0.0, longitude_deg=0.0),),
        (msgspec.structs.replace(RMC, latitude_deg=None),),
        (msgspec.structs.replace(RMC, valid=False), GGA),
        (RMC, msgspec.structs.replace(GGA, quality=0)),
        (OtherSentence("GPZDA,1"),),
    ],
)
def test_no_position_is_no_fix(sentences: tuple[Any, ...]) -> None:
    """Zero or missing coordinates, status V or quality 0 are no fix."""
    assert morai_view.gnss_fix(GpsSentences(sentences)) is None


def test_fix_survives_its_sentences() -> None:
    """A fix written as sentences and read back moves less than the text's 19 cm."""
    fix = GnssFix(
        latitude_deg=37.2412345,
        longitude_deg=-126.7712345,
        altitude_m=31.2,
        speed_mps=11.5,
        course_rad=1.25,
        quality=1,
        satellites=9,
        hdop=1.0,
    )
    sentences = morai_view.gps_sentences(fix, 1_795_169_730.007)
    assert sentences[0].utc == "101530.7"
    message = decode(encode(GpsSentences(sentences)))
    assert isinstance(message, GpsSentences)
    back = morai_view.gnss_fix(message)
    assert back is not None
    assert back.latitude_deg == pytest.approx(fix.latitude_deg, abs=0.00005 / 60)
    assert back.longitude_deg == pytest.approx(fix.longitude_deg, abs=0.00005 / 60)
    assert back.speed_mps == pytest.approx(11.5, abs=0.001)
    assert back.course_rad == pytest.approx(1.25, abs=1e-5)
    assert (back.altitude_m, back.utc_s) == (31.2, 1_795_169_730)


def test_blackout_is_written_as_a_valid_zero() -> None:
    """In a blackout zone the simulator claims a fix at 0, 0, which is read as none."""
    rmc, gga = morai_view.gps_sentences(None, 1_700_000_000.0)
    assert (rmc.valid, rmc.latitude_deg, gga.quality) == (True, 0.0, 1)
    assert morai_view.gnss_fix(GpsSentences((rmc, gga))) is None


def test_collisions_both_ways() -> None:
    """Contacts keep number, kind and place; an unnamed kind stays a number."""
    contacts = (
        Collision(
            object_id=4,
            kind=ObjectKind.VEHICLE,
            position_m=(1.0, 2.0, 3.0),
            map_offset_m=(302_595.0, 4_124_145.0, 0.0),
            stamp_s=1_700_000_000.5,
        ),
        Collision(object_id=9, kind=7, position_m=(4.0, 5.0, 6.0), stamp_s=1_700_000_000.5),
    )
    message = decode(encode(morai_view.collision_data(contacts, 1_700_000_000.5)))
    assert isinstance(message, CollisionData)
    assert morai_view.collisions(message) == contacts
    broken = CollisionData(1, 0, (CollisionRecord(1, 4, math.nan, 0.0, 0.0),))
    assert morai_view.collisions(broken) == ()


def test_collisions_among_others() -> None:
    """Both cars of a pair come out in SI; a pair with a NaN is left out."""
    car = CollidedVehicle(1, 12, 1.0, 2.0, 3.0, 90.0, velocity_x_kmh=36.0)
    broken = msgspec.structs.replace(car, position_x_m=math.nan)
    (pair,) = morai_view.npc_collisions(
        VehicleCollision((VehicleCollisionRecord(car, car), VehicleCollisionRecord(car, broken)))
    )
    assert (pair.first.id, pair.first.kind) == (12, ObjectKind.VEHICLE)
    assert pair.second.velocity_mps == pytest.approx((10.0, 0.0, 0.0))
    assert pair.second.yaw_rad == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("status", "lamps"),
    [
        (1, TrafficLamp.RED),
        (5, TrafficLamp.RED | TrafficLamp.YELLOW),
        (48, TrafficLamp.GREEN | TrafficLamp.LEFT_ARROW),
        (-1, TrafficLamp.DARK),
        (0x101, TrafficLamp(0x101)),
    ],
)
def test_traffic_light_lamps(status: int, lamps: TrafficLamp) -> None:
    """The status is a sum of lamps, -1 is dark, unknown bits are kept."""
    light = morai_view.traffic_light(TrafficLightStatus("C119BS010001", 1, status))
    assert light == TrafficLight(light_id="C119BS010001", layout=1, lamps=lamps)
    assert morai_view.traffic_light_status(light).status == status


@given(st.integers(-(2**15), 2**15 - 1))
def test_any_traffic_light_status_has_a_view(status: int) -> None:
    """No number in the field is an error."""
    light = morai_view.traffic_light(TrafficLightStatus("X", 0, status))
    assert int(light.lamps) >= 0
