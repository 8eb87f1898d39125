"""The three longitudinal types and the gears, against the manual and hand arithmetic."""

import pytest

from agent.morai import Gear, LongitudinalType
from simulator.morai_host.bicycle import advance_speed
from simulator.morai_host.longitudinal import RELEASED, Demand, effort
from simulator.morai_host.parameters import VehicleParameters

CAR = VehicleParameters()
DT = 0.02


def drive(demand: Demand, gear: Gear, speed: float, seconds: float) -> float:
    """Speed after some seconds of the same demand."""
    for _ in range(round(seconds / DT)):
        speed, _ = advance_speed(speed, effort(demand, gear, speed, CAR, DT), DT)
    return speed


def velocity(target_mps: float) -> Demand:
    """A demand of type 2."""
    return Demand(kind=LongitudinalType.VELOCITY, velocity_mps=target_mps)


def acceleration(value: float) -> Demand:
    """A demand of type 3."""
    return Demand(kind=LongitudinalType.ACCELERATION, acceleration_mps2=value)


def pedals(accel: float = 0.0, brake: float = 0.0) -> Demand:
    """A demand of type 1."""
    return Demand(kind=LongitudinalType.THROTTLE, accel_pedal=accel, brake_pedal=brake)


def test_target_velocity_rises_by_one() -> None:
    """Towards a higher target the speed grows by 1 m/s2 (manual, since 23.R1)."""
    assert drive(velocity(10.0), Gear.D, 0.0, 4.0) == pytest.approx(4.0)
    assert drive(velocity(10.0), Gear.D, 0.0, 12.0) == pytest.approx(10.0)


def test_target_velocity_falls_by_two() -> None:
    """Towards a lower target the speed falls by 2 m/s2 (manual, since 23.R1)."""
    assert drive(velocity(4.0), Gear.D, 10.0, 2.0) == pytest.approx(6.0)
    assert drive(velocity(4.0), Gear.D, 10.0, 5.0) == pytest.approx(4.0)


def test_target_velocity_in_reverse() -> None:
    """In R the target is a speed backwards."""
    assert drive(velocity(3.0), Gear.R, 0.0, 5.0) == pytest.approx(-3.0)


def test_negative_target_velocity_does_not_reverse() -> None:
    """A negative target in D stops the car and no more."""
    assert drive(velocity(-5.0), Gear.D, 4.0, 5.0) == 0.0


def test_target_acceleration_is_met() -> None:
    """Type 3 changes the speed by just that acceleration."""
    assert drive(acceleration(1.5), Gear.D, 2.0, 2.0) == pytest.approx(5.0)
    assert drive(acceleration(-1.5), Gear.D, 5.0, 2.0) == pytest.approx(2.0)
    assert drive(acceleration(0.0), Gear.D, 5.0, 2.0) == pytest.approx(5.0)


def test_negative_acceleration_stops_at_zero() -> None:
    """Slowing down never turns into reversing."""
    assert drive(acceleration(-3.0), Gear.D, 5.0, 10.0) == 0.0


@pytest.mark.parametrize("gear", [Gear.P, Gear.N])
@pytest.mark.parametrize(
    "demand", [pedals(accel=1.0), velocity(10.0), acceleration(2.0)], ids=["1", "2", "3"]
)
def test_no_drive_in_park_and_neutral(gear: Gear, demand: Demand) -> None:
    """In P and N no demand moves a standing car."""
    assert drive(demand, gear, 0.0, 3.0) == 0.0


@pytest.mark.parametrize("gear", [Gear.D, Gear.M, Gear.L])
def test_forward_gears_drive_forward(gear: Gear) -> None:
    """D, M and L push forward."""
    assert drive(pedals(accel=0.5), gear, 0.0, 1.0) > 1.0


def test_reverse_drives_backward() -> None:
    """R pushes backward, up to its own top speed."""
    assert drive(pedals(accel=0.5), Gear.R, 0.0, 1.0) < -1.0
    assert drive(pedals(accel=1.0), Gear.R, 0.0, 60.0) >= -CAR.max_reverse_mps - 0.1


def test_floored_brake_stops_in_time() -> None:
    """Type 1 with brake 1 takes at least 8 m/s2 off: 20 m/s are gone within 2.5 s."""
    assert drive(pedals(brake=1.0), Gear.D, 20.0, 2.5) == 0.0


def test_brakes_win_over_the_accelerator() -> None:
    """Both pedals floored hold the car."""
    assert drive(pedals(accel=1.0, brake=1.0), Gear.D, 0.0, 2.0) == 0.0


def test_released_pedals_in_gear_slow_more_than_neutral() -> None:
    """In gear the engine brakes, more so in L; in N only rolling and air do."""
    neutral, gear_d, gear_l = (drive(RELEASED, g, 15.0, 2.0) for g in (Gear.N, Gear.D, Gear.L))
    assert 15.0 > neutral > gear_d > gear_l > 12.0


def test_coasting_in_neutral_by_hand() -> None:
    """At 20 m/s in N resistance is 0.1 + 0.00022 * 400 = 0.188 m/s2."""
    result = effort(RELEASED, Gear.N, 20.0, CAR, DT)
    assert (result.drive_mps2, result.resist_mps2) == pytest.approx((0.0, 0.188))


def test_parking_lock_stops_a_rolling_car() -> None:
    """P brings a rolling car to a stop."""
    assert drive(RELEASED, Gear.P, 5.0, 2.0) == 0.0


def test_power_limits_at_speed() -> None:
    """At 40 m/s 100 kW on 1,500 kg give 1.667 m/s2, less than the pedal asks for."""
    result = effort(pedals(accel=1.0), Gear.D, 40.0, CAR, DT)
    assert result.drive_mps2 == pytest.approx(100_000 / 1500 / 40)


def test_pedals_beyond_one_count_as_one() -> None:
    """A pedal of 7 is a floored pedal and -3 a released one."""
    assert effort(pedals(accel=7.0), Gear.D, 0.0, CAR, DT).drive_mps2 == CAR.max_drive_mps2
    assert effort(pedals(brake=-3.0), Gear.N, 0.0, CAR, DT).resist_mps2 == CAR.rolling_mps2
