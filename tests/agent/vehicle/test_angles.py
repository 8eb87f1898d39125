"""Wrapping and the two ways of saying a direction."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.vehicle.angles import (
    heading_from_yaw_rad,
    wrap_heading_rad,
    wrap_rad,
    yaw_from_heading_rad,
)

ANGLES = st.floats(min_value=-1e4, max_value=1e4)


@pytest.mark.parametrize(
    ("given_deg", "wrapped_deg"),
    [(0, 0), (180, 180), (-180, 180), (181, -179), (-359.4, 0.6), (720, 0), (540, 180)],
)
def test_wrap_brings_angles_above_minus_half_a_turn(given_deg: float, wrapped_deg: float) -> None:
    """Angles end in (-180, 180] degrees, half a turn on the positive side."""
    assert math.degrees(wrap_rad(math.radians(given_deg))) == pytest.approx(wrapped_deg, abs=1e-9)


@pytest.mark.parametrize(
    ("yaw_deg", "heading_deg"), [(0, 90), (90, 0), (180, 270), (-90, 180), (45, 45), (135, 315)]
)
def test_yaw_from_east_is_heading_from_north(yaw_deg: float, heading_deg: float) -> None:
    """East is yaw 0 and heading 90, north is yaw 90 and heading 0; the senses are opposite."""
    heading = heading_from_yaw_rad(math.radians(yaw_deg))
    assert math.degrees(heading) == pytest.approx(heading_deg, abs=1e-9)
    yaw = yaw_from_heading_rad(math.radians(heading_deg))
    assert math.degrees(yaw) == pytest.approx(yaw_deg, abs=1e-9)


@given(ANGLES)
def test_wrapping_keeps_the_direction(angle: float) -> None:
    """A wrapped angle is in range and points where the given one did."""
    for wrapped, low, high in (
        (wrap_rad(angle), -math.pi, math.pi),
        (wrap_heading_rad(angle), 0.0, 2 * math.pi),
    ):
        assert low <= wrapped <= high
        assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-8)
        assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-8)
    assert wrap_rad(angle) > -math.pi
    assert wrap_heading_rad(angle) < 2 * math.pi


def test_tiny_negative_heading_is_not_a_full_turn() -> None:
    """The modulus of -1e-20 would round to 2 pi, which is outside the range."""
    assert wrap_heading_rad(-1e-20) == 0.0
