"""Factors between wire units and SI, time stamps, and what to do with a number that is none.

Owns what the conversions of all messages share. It must not know any message.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.vehicle.state import Vector3

MPS_PER_KMH: Final = 1 / 3.6
MPS_PER_KNOT: Final = 1852 / 3600
RAD_PER_DEG: Final = math.pi / 180
DEG_PER_RAD: Final = 180 / math.pi
ZERO3: Final = (0.0, 0.0, 0.0)
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


def stamp_s(sec: int | None, nsec: int | None) -> float | None:
    """A wire time stamp as Unix seconds, or `None` when there is none worth the name."""
    if sec is None or nsec is None or sec <= 0 or not 0 <= nsec < _NS_PER_S:
        return None
    return sec + nsec / _NS_PER_S


def wire_stamp(unix_s: float | None) -> tuple[int, int]:
    """Unix seconds as the wire's seconds and nanoseconds, to the millisecond; zeros if unknown."""
    if unix_s is None:
        return 0, 0
    sec, milliseconds = divmod(round(unix_s * 1000), 1000)
    return sec, milliseconds * _NS_PER_MS


def finite(value: float | None) -> float | None:
    """The value, or `None` when it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def vector(x: float | None, y: float | None, z: float | None, scale: float = 1.0) -> Vector3 | None:
    """Three wire values times a factor, or `None` when one is absent or not finite."""
    if x is None or y is None or z is None or not math.isfinite(x + y + z):
        return None
    return x * scale, y * scale, z * scale
