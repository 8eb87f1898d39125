"""The kinematic bicycle against hand arithmetic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from simulator.morai_host.bicycle import Effort, Motion, advance_speed, steer, step
from simulator.morai_host.parameters import VehicleParameters

CAR = VehicleParameters(wheelbase_m=2.7, friction=0.9)


def test_circle_has_the_radius_of_the_wheel_angle() -> None:
    """Driving with a fixed wheel angle goes round a circle of radius L / tan(angle)."""
    wheel = math.radians(20.0)
    radius = 2.7 / 0.363970  # tan 20 degrees, from tables
    motion = Motion(x_m=0.0, y_m=0.0, speed_mps=4.0, wheel_angle_rad=wheel)
    points = []
    for _ in range(1000):
        motion = step(motion, Effort(), wheel, CAR, 0.02)
        points.append((motion.x_m, motion.y_m))
    distances = [math.hypot(x, y - radius) for x, y in points]
    assert min(distances) == pytest.approx(radius, rel=1e-5)
    assert max(distances) == pytest.approx(radius, rel=1e-5)


def test_left_is_positive() -> None:
    """A positive wheel angle turns the car to the left, counter-clockwise."""
    motion = step(
        Motion(x_m=0, y_m=0, speed_mps=5.0, wheel_angle_rad=0.1), Effort(), 0.1, CAR, 0.02
    )
    assert motion.yaw_rad > 0
    assert motion.yaw_rate_radps == pytest.approx(5.0 * math.tan(0.1) / 2.7)
    assert motion.lateral_mps2 == pytest.approx(25.0 * math.tan(0.1) / 2.7)


def test_lateral_acceleration_stops_at_the_tyres() -> None:
    """At 30 m/s and 20 degrees the geometry asks for 121 m/s2; the tyres give 0.9 g."""
    wheel = math.radians(20.0)
    motion = step(
        Motion(x_m=0, y_m=0, speed_mps=30.0, wheel_angle_rad=wheel), Effort(), wheel, CAR, 0.02
    )
    assert motion.lateral_mps2 == pytest.approx(0.9 * 9.80665)
    assert motion.yaw_rate_radps == pytest.approx(0.9 * 9.80665 / 30.0)


def test_braking_takes_grip_from_the_corner() -> None:
    """Longitudinal and lateral acceleration together stay inside the friction circle."""
    wheel = math.radians(20.0)
    motion = step(
        Motion(x_m=0, y_m=0, speed_mps=30.0, wheel_angle_rad=wheel),
        Effort(0.0, 8.0),
        wheel,
        CAR,
        0.02,
    )
    assert motion.acceleration_mps2 == pytest.approx(-8.0)
    assert motion.lateral_mps2 == pytest.approx(math.sqrt((0.9 * 9.80665) ** 2 - 64.0))


def test_brakes_cannot_exceed_the_tyres() -> None:
    """A brake of 20 m/s2 slows the car with friction times gravity only."""
    motion = step(Motion(x_m=0, y_m=0, speed_mps=30.0), Effort(0.0, 20.0), 0.0, CAR, 0.02)
    assert motion.acceleration_mps2 == pytest.approx(-0.9 * 9.80665)


def test_stopping_distance() -> None:
    """From 20 m/s with 8 m/s2 the car stops after v^2 / 2a = 25 m and stands still."""
    motion = Motion(x_m=0.0, y_m=0.0, speed_mps=20.0)
    for _ in range(200):
        motion = step(motion, Effort(0.0, 8.0), 0.0, CAR, 0.02)
    assert motion.speed_mps == 0.0
    assert motion.x_m == pytest.approx(25.0, abs=1e-6)


def test_wheels_turn_no_faster_than_their_rate() -> None:
    """The road wheels need angle over rate seconds to get to their target."""
    assert steer(0.0, 0.5, CAR, 0.1) == pytest.approx(0.08)  # 0.8 rad/s for 0.1 s
    assert steer(0.49, 0.5, CAR, 0.1) == 0.5
    assert steer(0.5, -0.5, CAR, 0.1) == pytest.approx(0.42)


def test_wheels_stop_at_the_lock() -> None:
    """A target beyond the lock leaves the wheels at the lock."""
    assert steer(CAR.max_wheel_angle_rad, 2.0, CAR, 1.0) == CAR.max_wheel_angle_rad


def test_drive_overcomes_resistance_only_when_stronger() -> None:
    """A standing car stays when the drive is weaker than what holds it."""
    assert advance_speed(0.0, Effort(0.5, 0.6), 0.1) == (0.0, 0.0)
    speed, distance = advance_speed(0.0, Effort(1.0, 0.6), 0.1)
    assert speed == pytest.approx(0.04)
    assert distance == pytest.approx(0.002)


@given(
    speed=st.floats(-40, 40),
    resist=st.floats(0, 20),
    dt=st.floats(0.001, 0.1),
)
def test_resistance_never_reverses(speed: float, resist: float, dt: float) -> None:
    """Brakes alone never change the direction of travel, nor add speed."""
    end, distance = advance_speed(speed, Effort(0.0, resist), dt)
    assert end * speed >= 0.0
    assert abs(end) <= abs(speed)
    assert distance * speed >= 0.0
    assert abs(distance) <= abs(speed) * dt * (1 + 1e-12)


@given(
    speed=st.floats(-40, 40),
    wheel=st.floats(-0.6, 0.6),
    drive=st.floats(-10, 10),
    resist=st.floats(0, 20),
)
def test_friction_circle_holds(speed: float, wheel: float, drive: float, resist: float) -> None:
    """No step accelerates the car by more than the tyres can."""
    motion = Motion(x_m=0, y_m=0, speed_mps=speed, wheel_angle_rad=wheel)
    after = step(motion, Effort(drive, resist), wheel, CAR, 0.02)
    assert abs(after.lateral_mps2) <= 0.9 * 9.80665 + 1e-9
    assert math.isfinite(after.x_m + after.y_m + after.yaw_rad)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_nonsense_parameters_are_refused(value: float) -> None:
    """A car without mass, length or a finite number is a configuration error."""
    with pytest.raises(ConfigurationError, match="wheelbase_m"):
        VehicleParameters(wheelbase_m=value)
