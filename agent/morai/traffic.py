"""Traffic lights, `#TrafficLight$`, and intersections, `#IntStatus$` and `#SetIntStatus$`.

Owns the two status messages, the two commands and their byte tables. The traffic light's name is
used in both directions with different payloads, so a 48-byte datagram needs the direction to be
read correctly when the simulator is one that takes 48-byte commands.

A 39-byte `#IntStatus$` is mentioned by one third-party receiver; its two extra bytes are not
described anywhere, so it is refused as a wrong size.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/GetTrafficLightStatus.py`,
`lib/define/SetTrafficLightCtrl.py`, `lib/define/GetIntersectionStatus.py`,
`lib/define/SetIntersectionStatus.py`.
"""

from __future__ import annotations

import msgspec

from agent.morai.enums import Direction
from agent.morai.layout import Layout
from agent.morai.table import BOOL, F32, I16, SPACE, Field, Text


class TrafficLightStatus(msgspec.Struct, frozen=True, gc=False):
    """The traffic light that concerns the ego next.

    Attributes:
        light_index: Id of the light in the map.
        type: Which lamps it has, see `TrafficLightType`.
        status: What it shows, see `TrafficLightState`.
        legacy_flag: A flag of unknown meaning in an older 49-byte form, else `None`.
    """

    light_index: str
    type: int
    status: int
    legacy_flag: bool | None = None


class SetTrafficLight(msgspec.Struct, frozen=True, gc=False):
    """Set what a traffic light shows.

    Attributes:
        light_index: Id of the light in the map.
        status: See `TrafficLightState`.
        type: See `TrafficLightType`; only in the 48-byte form of `Dialect.set_traffic_light_size`,
            else `None`.
        legacy_flag: A flag of unknown meaning in an older 47-byte form, else `None`.
    """

    light_index: str
    status: int
    type: int | None = None
    legacy_flag: bool | None = None


class IntersectionStatus(msgspec.Struct, frozen=True, gc=False):
    """The phase of an intersection's signal controller.

    Attributes:
        index: Number of the intersection.
        status: Phase number.
        elapsed_s: Time in this phase.
    """

    index: int
    status: int
    elapsed_s: float


class SetIntersection(msgspec.Struct, frozen=True, gc=False):
    """Set the phase of an intersection's signal controller.

    Attributes:
        index: Number of the intersection.
        status: Phase number.
        elapsed_s: Time in this phase.
    """

    index: int
    status: int
    elapsed_s: float


_TYPE = "0 RYG, 1 RYG+left, 2 RYG+left+G, 100 YYY"
_STATUS = "1 red, 4 yellow, 16 green, 32 left, sums of these, -1 unlit"
_LIGHT_NAME = b"#TrafficLight$"

TRAFFIC_LIGHT_STATUS = Layout(
    TrafficLightStatus,
    _LIGHT_NAME,
    48,
    (
        Field(30, Text(12), "light_index"),
        Field(42, I16, "type", "", _TYPE),
        Field(44, I16, "status", "", _STATUS),
    ),
    data_length=16,
    direction=Direction.FROM_SIMULATOR,
)
TRAFFIC_LIGHT_STATUS_FLAGGED = Layout(
    TrafficLightStatus,
    _LIGHT_NAME,
    49,
    (
        Field(30, BOOL, "legacy_flag", "", "not documented"),
        Field(31, Text(12), "light_index"),
        Field(43, I16, "type", "", _TYPE),
        Field(45, I16, "status", "", _STATUS),
    ),
    data_length=17,
    direction=Direction.FROM_SIMULATOR,
    label="old",
)
SET_TRAFFIC_LIGHT = Layout(
    SetTrafficLight,
    _LIGHT_NAME,
    46,
    (
        Field(30, Text(12, SPACE), "light_index"),
        Field(42, I16, "status", "", _STATUS),
    ),
    data_length=14,
    direction=Direction.TO_SIMULATOR,
)
SET_TRAFFIC_LIGHT_TYPED = Layout(
    SetTrafficLight,
    _LIGHT_NAME,
    48,
    (
        Field(30, Text(12, SPACE), "light_index"),
        Field(42, I16, "type", "", _TYPE),
        Field(44, I16, "status", "", _STATUS),
    ),
    data_length=16,
    direction=Direction.TO_SIMULATOR,
    label="with type",
)
SET_TRAFFIC_LIGHT_FLAGGED = Layout(
    SetTrafficLight,
    _LIGHT_NAME,
    47,
    (
        Field(30, BOOL, "legacy_flag", "", "not documented"),
        Field(31, Text(12, SPACE), "light_index"),
        Field(43, I16, "status", "", _STATUS),
    ),
    data_length=15,
    direction=Direction.TO_SIMULATOR,
    label="old",
)
INTERSECTION_STATUS = Layout(
    IntersectionStatus,
    b"#IntStatus$",
    37,
    (
        Field(27, I16, "index"),
        Field(29, I16, "status", "", "phase number"),
        Field(31, F32, "elapsed_s", "s", "time in this phase"),
    ),
    data_length=8,
    direction=Direction.FROM_SIMULATOR,
)
SET_INTERSECTION = Layout(
    SetIntersection,
    b"#SetIntStatus$",
    40,
    (
        Field(30, I16, "index"),
        Field(32, I16, "status", "", "phase number"),
        Field(34, F32, "elapsed_s", "s", "time in this phase"),
    ),
    data_length=8,
    direction=Direction.TO_SIMULATOR,
)
