"""Object Info, `#MoraiObjInfo$`: the cars, pedestrians and obstacles around the ego.

Owns the message, its record and the byte tables of four generations. Which of the twenty slots
count as used is a question for the dialect. At 2,160 bytes the current form is larger than an
Ethernet frame, so it arrives as IP fragments and is lost as a whole when one of them is.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/ObjectInfo.py` (O3);
MORAI-DriveExample_UDP history since 2021-12 (older forms).
"""

from __future__ import annotations

import msgspec

from agent.morai.dialect import Dialect, EmptySlotRule
from agent.morai.enums import Direction, ObjectInfoVariant, ObjectType
from agent.morai.layout import Layout, Slotted
from agent.morai.table import F32, I16, I32, Binding, Field, Text

NAME = b"#MoraiObjInfo$"
SLOTS = 20


class ObjectRecord(msgspec.Struct, frozen=True, gc=False):
    """One object near the ego, in wire units.

    Attributes:
        id: Number of the object in the scenario.
        type: See `ObjectType`.
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        heading_deg: 0 is east, counter-clockwise positive, not wrapped.
        size_x_m: Length.
        size_y_m: Width.
        size_z_m: Height.
        overhang_m: Front axle to front end, for vehicles.
        wheelbase_m: Front axle to rear axle, for vehicles.
        rear_overhang_m: Rear axle to rear end, for vehicles.
        velocity_x_kmh: The frame (map or body) is not documented.
        velocity_y_kmh: As above.
        velocity_z_kmh: As above.
        acceleration_x_mps2: The frame is not documented.
        acceleration_y_mps2: As above.
        acceleration_z_mps2: As above.
        link_id: Id of the road link; `None` in the generations without it.
    """

    id: int
    type: int
    position_x_m: float
    position_y_m: float
    position_z_m: float
    heading_deg: float = 0.0
    size_x_m: float = 0.0
    size_y_m: float = 0.0
    size_z_m: float = 0.0
    overhang_m: float = 0.0
    wheelbase_m: float = 0.0
    rear_overhang_m: float = 0.0
    velocity_x_kmh: float = 0.0
    velocity_y_kmh: float = 0.0
    velocity_z_kmh: float = 0.0
    acceleration_x_mps2: float = 0.0
    acceleration_y_mps2: float = 0.0
    acceleration_z_mps2: float = 0.0
    link_id: str | None = ""


class ObjectInfo(msgspec.Struct, frozen=True, gc=False):
    """The objects near the ego, nearest first, unused slots left out.

    Attributes:
        sec: Unix seconds of the simulator host; `None` in O0 and O2.
        nsec: Nanoseconds; `None` in O0 and O2.
        objects: At most 20.
        variant: Generation of the datagram.
    """

    sec: int | None
    nsec: int | None
    objects: tuple[ObjectRecord, ...]
    variant: ObjectInfoVariant = ObjectInfoVariant.O3


_STAMP = (
    Field(30, I32, "sec", "s", "Unix seconds, wall clock of the simulator host"),
    Field(34, I32, "nsec", "ns"),
)
_RECORD_68 = (
    Field(0, I16, "id"),
    Field(2, I16, "type", "", "-1 ego, 0 pedestrian, 1 vehicle, 2 obstacle"),
    Field(4, F32, "position_x_m", "m", "map frame, east"),
    Field(8, F32, "position_y_m", "m", "map frame, north"),
    Field(12, F32, "position_z_m", "m", "map frame, up"),
    Field(16, F32, "heading_deg", "deg", "0 east, counter-clockwise"),
    Field(20, F32, "size_x_m", "m", "length"),
    Field(24, F32, "size_y_m", "m", "width"),
    Field(28, F32, "size_z_m", "m", "height"),
    Field(32, F32, "overhang_m", "m", "front axle to front end"),
    Field(36, F32, "wheelbase_m", "m", "front axle to rear axle"),
    Field(40, F32, "rear_overhang_m", "m", "rear axle to rear end"),
    Field(44, F32, "velocity_x_kmh", "km/h"),
    Field(48, F32, "velocity_y_kmh", "km/h"),
    Field(52, F32, "velocity_z_kmh", "km/h"),
    Field(56, F32, "acceleration_x_mps2", "m/s^2"),
    Field(60, F32, "acceleration_y_mps2", "m/s^2"),
    Field(64, F32, "acceleration_z_mps2", "m/s^2"),
)
_RECORD_106 = (*_RECORD_68, Field(68, Text(38), "link_id", "", "road link, NUL padded"))

_UNUSED_ID = b"\0\0"
_TYPE_EGO = ObjectType.EGO.to_bytes(2, "little", signed=True)


def is_unused(slot: bytes, dialect: Dialect) -> bool:
    """Whether a slot of the object list holds no object, by the dialect's rule."""
    if not slot.startswith(_UNUSED_ID):
        return False
    match dialect.empty_slot:
        case EmptySlotRule.ID_ZERO:
            return True
        case EmptySlotRule.ID_ZERO_TYPE_EGO:
            return slot.startswith(_TYPE_EGO, 2)
        case EmptySlotRule.CONSERVATIVE:
            return slot.startswith(_TYPE_EGO, 2) or not any(slot[4:])


def unused_slot(size: int, dialect: Dialect) -> bytes:
    """The bytes of a slot that `is_unused` accepts under the same dialect."""
    if dialect.empty_slot is EmptySlotRule.ID_ZERO_TYPE_EGO:
        return (_UNUSED_ID + _TYPE_EGO).ljust(size, b"\0")
    return bytes(size)


def _layout(
    variant: ObjectInfoVariant,
    size: int,
    data_length: int,
    stamp: tuple[Field, ...],
    record: tuple[Field, ...],
    record_size: int,
) -> Layout[ObjectInfo]:
    return Layout(
        ObjectInfo,
        NAME,
        size,
        stamp,
        data_length=data_length,
        direction=Direction.FROM_SIMULATOR,
        label=variant.name,
        constants={"variant": variant},
        records=Slotted(
            "objects", Binding(ObjectRecord, record, record_size), SLOTS, is_unused, unused_slot
        ),
    )


LAYOUTS = {
    ObjectInfoVariant.O0: _layout(ObjectInfoVariant.O0, 1392, 1360, (), _RECORD_68, 68),
    ObjectInfoVariant.O1: _layout(ObjectInfoVariant.O1, 1400, 1368, _STAMP, _RECORD_68, 68),
    ObjectInfoVariant.O2: _layout(ObjectInfoVariant.O2, 2152, 2120, (), _RECORD_106, 106),
    ObjectInfoVariant.O3: _layout(ObjectInfoVariant.O3, 2160, 2128, _STAMP, _RECORD_106, 106),
}
"""The byte table of each generation."""
