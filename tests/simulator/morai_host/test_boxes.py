"""Overlap of oriented rectangles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.morai_host.boxes import overlapping

Pair = tuple[float, float]
DEG = math.pi / 180


def one(
    centre: Pair, yaw: float, size: Pair, other_centre: Pair, other_yaw: float, other_size: Pair
) -> bool:
    """Overlap of just two boxes."""
    return bool(
        overlapping(
            centre,
            yaw,
            size,
            np.array([other_centre]),
            np.array([other_yaw]),
            np.array([other_size]),
        )[0]
    )


@pytest.mark.parametrize(
    ("other_centre", "other_yaw", "expected"),
    [
        ((3.9, 0.0), 0.0, True),  # half lengths 2 + 2 = 4
        ((4.1, 0.0), 0.0, False),
        ((0.0, 1.9), 0.0, True),  # half widths 1 + 1 = 2
        ((0.0, 2.1), 0.0, False),
        ((2.9, 0.0), 90 * DEG, True),  # half length 2 + half width 1
        ((3.1, 0.0), 90 * DEG, False),
        # A corner of the other box, turned by 45 degrees, reaches sqrt(2)/2 * (2 + 1) = 2.121.
        ((4.1, 0.0), 45 * DEG, True),
        ((4.2, 0.0), 45 * DEG, False),
        # Axis-aligned bounds overlap here, the boxes do not.
        ((3.3, 2.3), 45 * DEG, True),
        ((3.6, -2.7), 45 * DEG, False),
    ],
)
def test_two_boxes_of_four_by_two(other_centre: Pair, other_yaw: float, expected: bool) -> None:
    """Boxes of 4 by 2 metres, by hand."""
    assert one((0.0, 0.0), 0.0, (4.0, 2.0), other_centre, other_yaw, (4.0, 2.0)) is expected


coordinate = st.floats(-10, 10)
place = st.tuples(coordinate, coordinate)
angle = st.floats(-4, 4)
inside = st.floats(-0.49, 0.49)
size = st.tuples(st.floats(0.1, 6), st.floats(0.1, 6))


@given(place, angle, size, place, angle, size)
def test_symmetric(
    a_centre: Pair, a_yaw: float, a_size: Pair, b_centre: Pair, b_yaw: float, b_size: Pair
) -> None:
    """What overlaps overlaps both ways, up to rounding at the touching point."""
    grown = (a_size[0] + 1e-6, a_size[1] + 1e-6)
    if one(a_centre, a_yaw, a_size, b_centre, b_yaw, b_size):
        assert one(b_centre, b_yaw, b_size, a_centre, a_yaw, grown)


@given(place, angle, size, inside, inside)
def test_point_inside_overlaps(
    centre: Pair, yaw: float, dimensions: Pair, along: float, across: float
) -> None:
    """A tiny box whose centre lies inside another one overlaps it."""
    x = centre[0] + along * dimensions[0] * math.cos(yaw) - across * dimensions[1] * math.sin(yaw)
    y = centre[1] + along * dimensions[0] * math.sin(yaw) + across * dimensions[1] * math.cos(yaw)
    assert one(centre, yaw, dimensions, (x, y), 0.3, (0.01, 0.01))
