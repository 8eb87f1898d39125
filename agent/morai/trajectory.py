"""Trajectory tracking, `#TrajectoryTrackingCmd$`: a path the simulator's own controller follows.

Owns the message, its points and the byte table. It exists since 26.R1.

Source: MORAI-NetworkModule 26.R1.
"""

from __future__ import annotations

import msgspec

from agent.morai.enums import Direction
from agent.morai.layout import Counted, Layout
from agent.morai.table import F32, I8, I32, U8, Binding, Field


class TrajectoryPoint(msgspec.Struct, frozen=True, gc=False):
    """One point of the path.

    Attributes:
        x_m: East in the map frame.
        y_m: North in the map frame.
        z_m: Up in the map frame.
        fourth: A value whose meaning is not documented; MORAI's example sends 2.0.
    """

    x_m: float
    y_m: float
    z_m: float
    fourth: float


class TrajectoryTracking(msgspec.Struct, frozen=True, gc=False):
    """A path to follow.

    Attributes:
        sec: Unix seconds.
        nsec: Nanoseconds.
        sequence: Number of the command.
        points: At most 30.
    """

    sec: int
    nsec: int
    sequence: int
    points: tuple[TrajectoryPoint, ...]


_POINT = (
    Field(0, F32, "x_m", "m", "map frame, east"),
    Field(4, F32, "y_m", "m", "map frame, north"),
    Field(8, F32, "z_m", "m", "map frame, up"),
    Field(12, F32, "fourth", "", "not documented"),
)

TRAJECTORY_TRACKING = Layout(
    TrajectoryTracking,
    b"#TrajectoryTrackingCmd$",
    531,
    (
        Field(39, I32, "sec", "s", "Unix seconds"),
        Field(43, I32, "nsec", "ns"),
        Field(47, I8, "sequence"),
        Field(48, U8, "point_count", "", "0 to 30"),
    ),
    data_length=490,
    direction=Direction.TO_SIMULATOR,
    records=Counted("points", Binding(TrajectoryPoint, _POINT, 16), 30, counted_by="point_count"),
)
