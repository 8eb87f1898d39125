from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.motion import Longitudinal, Motion, Pedals, TargetAcceleration, TargetSpeed
from agent.commands.safety import Limits
from certs.errors import ConfigurationError

LIMITS = Limits(
    max_speed_mps=10.0,
    max_steer_rad=0.5,
    max_steer_rate_radps=1.0,
    max_acceleration_mps2=3.0,
    max_accel_pedal=0.6,
)

units = st.floats(0, 1)
longitudinals: st.SearchStrategy[Longitudinal] = st.one_of(
    st.builds(TargetSpeed, st.floats(0, 150)),
    st.builds(TargetAcceleration, st.floats(-15, 15)),
    st.builds(Pedals, units, units),
)
motions = st.builds(Motion, longitudinals, st.floats(-1.57, 1.57))


@pytest.mark.parametrize(
    "motion",
    [
        Motion(TargetSpeed(10.0), 0.5),
        Motion(TargetSpeed(0.0), -0.5),
        Motion(TargetAcceleration(3.0)),
        Motion(TargetAcceleration(-15.0)),
        Motion(Pedals(0.6, 1.0)),
    ],
)
def test_motion_at_the_limits_passes(motion: Motion) -> None:
    """The limits themselves are allowed, and braking has none."""
    assert LIMITS.refusal(motion) is None
    assert LIMITS.clamp(motion) == (motion, False)


@pytest.mark.parametrize(
    ("motion", "named", "clamped"),
    [
        (Motion(TargetSpeed(10.1)), "target_speed_mps", Motion(TargetSpeed(10.0))),
        (Motion(TargetSpeed(5), 0.6), "steer_rad", Motion(TargetSpeed(5), 0.5)),
        (Motion(TargetSpeed(5), -0.6), "steer_rad", Motion(TargetSpeed(5), -0.5)),
        (Motion(TargetAcceleration(4)), "acceleration_mps2", Motion(TargetAcceleration(3.0))),
        (Motion(Pedals(0.9, 0.1), 0.9), "accel_pedal", Motion(Pedals(0.6, 0.1), 0.5)),
    ],
)
def test_motion_beyond_the_limits(motion: Motion, named: str, clamped: Motion) -> None:
    """A command is refused by the name of the excess; a set point is brought to the limit."""
    refusal = LIMITS.refusal(motion)

    assert refusal is not None
    assert refusal.startswith(named)
    assert LIMITS.clamp(motion) == (clamped, True)


@given(motions)
def test_clamping_ends_inside(motion: Motion) -> None:
    """Whatever comes in, what comes out is allowed and clamping it again changes nothing."""
    clamped, _ = LIMITS.clamp(motion)

    assert LIMITS.refusal(clamped) is None
    assert LIMITS.clamp(clamped) == (clamped, False)


@pytest.mark.parametrize(
    ("wanted", "speed_mps", "allowed"),
    [
        (Pedals(0.5, 0.0), 9.9, Pedals(0.5, 0.0)),
        (Pedals(0.5, 0.2), 10.0, Pedals(0.0, 0.2)),
        (Pedals(0.0, 1.0), 12.0, Pedals(0.0, 1.0)),
        (TargetAcceleration(1.0), 10.0, TargetAcceleration(0.0)),
        (TargetAcceleration(-1.0), 12.0, TargetAcceleration(-1.0)),
        (TargetSpeed(10.0), 12.0, TargetSpeed(10.0)),
    ],
)
def test_nothing_pushes_a_car_at_its_speed_limit(
    wanted: Longitudinal, speed_mps: float, allowed: Longitudinal
) -> None:
    """Pedals and accelerations lose their push at the limit and keep their brake."""
    assert LIMITS.restrain(wanted, speed_mps) == allowed


@pytest.mark.parametrize(
    ("from_rad", "to_rad", "elapsed_s", "expected_rad"),
    [
        (0.0, 0.5, 0.05, 0.05),
        (0.0, -0.5, 0.05, -0.05),
        (0.4, 0.42, 0.05, 0.42),
        (0.4, 0.0, 0.0, 0.4),
        (0.4, 0.0, -1.0, 0.4),
    ],
)
def test_the_wheels_turn_no_faster_than_the_rate(
    from_rad: float, to_rad: float, elapsed_s: float, expected_rad: float
) -> None:
    """In 50 ms at 1 rad/s the commanded angle moves by 0.05 rad at most."""
    assert LIMITS.slew(from_rad, to_rad, elapsed_s) == pytest.approx(expected_rad)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_limits_are_positive_numbers(value: float) -> None:
    """A limit that limits nothing or everything is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match="max_speed_mps"):
        Limits(max_speed_mps=value)
