"""Angles: wrapping, and the two ways of saying which way a car points.

Owns the arithmetic between yaw (from east, counter-clockwise, mathematics and ENU frames) and
heading (from north, clockwise, maps and compasses). It must not know map projections: whether the
north meant is grid north or true north is the caller's business, see `agent.vehicle.frames`.
"""

from __future__ import annotations

import math

_TURN_RAD = 2 * math.pi
_QUARTER_TURN_RAD = math.pi / 2

__all__ = ["heading_from_yaw_rad", "wrap_heading_rad", "wrap_rad", "yaw_from_heading_rad"]


def wrap_rad(angle_rad: float) -> float:
    """Bring a finite angle into (-pi, pi].

    Args:
        angle_rad: Any finite angle; simulators are known to send -359 degrees.
    """
    wrapped = math.remainder(angle_rad, _TURN_RAD)
    # The IEEE remainder rounds halves to even, so half a turn comes out with either sign.
    return math.pi if wrapped <= -math.pi else wrapped


def wrap_heading_rad(angle_rad: float) -> float:
    """Bring a finite angle into [0, 2 pi)."""
    wrapped = angle_rad % _TURN_RAD
    # The modulus of a tiny negative number rounds up to the full turn.
    return wrapped if wrapped < _TURN_RAD else 0.0


def heading_from_yaw_rad(yaw_rad: float) -> float:
    """Heading in [0, 2 pi), clockwise from the frame's north, of a yaw from the frame's east."""
    return wrap_heading_rad(_QUARTER_TURN_RAD - yaw_rad)


def yaw_from_heading_rad(heading_rad: float) -> float:
    """Yaw in (-pi, pi] from the frame's east of a heading clockwise from the frame's north."""
    return wrap_rad(_QUARTER_TURN_RAD - heading_rad)
