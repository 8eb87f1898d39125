"""Collision Data, `#CollisionData$`, and NPC-NPC collisions, `#VehicleCollision$`.

Owns both messages, their records and byte tables. Collision data is 181 bytes long, exactly like
one generation of the ego status: only the name tells them apart.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/CollisionData.py`,
`lib/define/NpcVehicleCollisionData.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.morai.enums import Direction, ObjectType
from agent.morai.layout import Layout, Slotted
from agent.morai.table import F32, I16, I32, Binding, Field, Nested

if TYPE_CHECKING:
    from agent.morai.dialect import Dialect


class CollisionRecord(msgspec.Struct, frozen=True, gc=False):
    """Something the ego touches, in wire units.

    Attributes:
        type: See `ObjectType`. Never -1: that means "no collision" and the slot is left out.
        id: Number of the object in the scenario.
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        global_offset_x_m: Offset of the map frame, east.
        global_offset_y_m: Offset of the map frame, north.
        global_offset_z_m: Offset of the map frame, up.
    """

    type: int
    id: int
    position_x_m: float
    position_y_m: float
    position_z_m: float
    global_offset_x_m: float = 0.0
    global_offset_y_m: float = 0.0
    global_offset_z_m: float = 0.0


class CollisionData(msgspec.Struct, frozen=True, gc=False):
    """What the ego touches now; an empty tuple when it touches nothing.

    Attributes:
        sec: Unix seconds of the simulator host.
        nsec: Nanoseconds.
        collisions: At most 5.
    """

    sec: int
    nsec: int
    collisions: tuple[CollisionRecord, ...]


class CollidedVehicle(msgspec.Struct, frozen=True, gc=False):
    """One of two vehicles that touch each other, in wire units.

    Attributes:
        type: See `ObjectType`.
        id: Number of the object in the scenario.
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        heading_deg: 0 is east, counter-clockwise positive.
        size_x_m: Length.
        size_y_m: Width.
        size_z_m: Height.
        velocity_x_kmh: The frame is not documented.
        velocity_y_kmh: As above.
        velocity_z_kmh: As above.
        acceleration_x_mps2: The frame is not documented.
        acceleration_y_mps2: As above.
        acceleration_z_mps2: As above.
    """

    type: int
    id: int
    position_x_m: float
    position_y_m: float
    position_z_m: float
    heading_deg: float = 0.0
    size_x_m: float = 0.0
    size_y_m: float = 0.0
    size_z_m: float = 0.0
    velocity_x_kmh: float = 0.0
    velocity_y_kmh: float = 0.0
    velocity_z_kmh: float = 0.0
    acceleration_x_mps2: float = 0.0
    acceleration_y_mps2: float = 0.0
    acceleration_z_mps2: float = 0.0


class VehicleCollisionRecord(msgspec.Struct, frozen=True, gc=False):
    """Two vehicles, neither of them the ego, that touch each other."""

    first: CollidedVehicle
    second: CollidedVehicle


class VehicleCollision(msgspec.Struct, frozen=True, gc=False):
    """Collisions among NPC vehicles. The datagram has no time stamp.

    Attributes:
        collisions: At most 10, unused slots left out.
    """

    collisions: tuple[VehicleCollisionRecord, ...]


_STAMP = (
    Field(31, I32, "sec", "s", "Unix seconds, wall clock of the simulator host"),
    Field(35, I32, "nsec", "ns"),
)
_RECORD = (
    Field(0, I16, "type", "", "-1 no collision, 0 pedestrian, 1 vehicle, 2 obstacle"),
    Field(2, I16, "id"),
    Field(4, F32, "position_x_m", "m", "map frame, east"),
    Field(8, F32, "position_y_m", "m", "map frame, north"),
    Field(12, F32, "position_z_m", "m", "map frame, up"),
    Field(16, F32, "global_offset_x_m", "m", "offset of the map frame, east"),
    Field(20, F32, "global_offset_y_m", "m", "offset of the map frame, north"),
    Field(24, F32, "global_offset_z_m", "m", "offset of the map frame, up"),
)
_VEHICLE = (
    Field(0, I16, "type", "", "-1 ego, 0 pedestrian, 1 vehicle, 2 obstacle"),
    Field(2, I16, "id"),
    Field(4, F32, "position_x_m", "m", "map frame, east"),
    Field(8, F32, "position_y_m", "m", "map frame, north"),
    Field(12, F32, "position_z_m", "m", "map frame, up"),
    Field(16, F32, "heading_deg", "deg", "0 east, counter-clockwise"),
    Field(20, F32, "size_x_m", "m", "length"),
    Field(24, F32, "size_y_m", "m", "width"),
    Field(28, F32, "size_z_m", "m", "height"),
    Field(32, F32, "velocity_x_kmh", "km/h"),
    Field(36, F32, "velocity_y_kmh", "km/h"),
    Field(40, F32, "velocity_z_kmh", "km/h"),
    Field(44, F32, "acceleration_x_mps2", "m/s^2"),
    Field(48, F32, "acceleration_y_mps2", "m/s^2"),
    Field(52, F32, "acceleration_z_mps2", "m/s^2"),
)
_VEHICLE_BINDING = Binding(CollidedVehicle, _VEHICLE, 56)
_PAIR = (
    Field(0, Nested(_VEHICLE_BINDING), "first"),
    Field(56, Nested(_VEHICLE_BINDING), "second"),
)

_NO_COLLISION = ObjectType.EGO.to_bytes(2, "little", signed=True)
_SECOND_VEHICLE = 56


def is_unused(slot: bytes, _dialect: Dialect) -> bool:
    """Whether a slot of the collision data reports no collision.

    Type -1 means no collision, and such a slot may still carry the ego's own pose. A slot of zero
    bytes is a slot nobody filled in.
    """
    return slot.startswith(_NO_COLLISION) or not any(slot)


def _is_unused_pair(slot: bytes, _dialect: Dialect) -> bool:
    both = slot.startswith(_NO_COLLISION) and slot.startswith(_NO_COLLISION, _SECOND_VEHICLE)
    return both or not any(slot)


def _no_collision(size: int, _dialect: Dialect) -> bytes:
    return _NO_COLLISION.ljust(size, b"\0")


def _no_pair(size: int, _dialect: Dialect) -> bytes:
    return bytes(size)


COLLISION_DATA = Layout(
    CollisionData,
    b"#CollisionData$",
    181,
    _STAMP,
    data_length=148,
    direction=Direction.FROM_SIMULATOR,
    records=Slotted(
        "collisions", Binding(CollisionRecord, _RECORD, 28), 5, is_unused, _no_collision
    ),
)
VEHICLE_COLLISION = Layout(
    VehicleCollision,
    b"#VehicleCollision$",
    1156,
    (),
    data_length=1120,
    direction=Direction.FROM_SIMULATOR,
    records=Slotted(
        "collisions", Binding(VehicleCollisionRecord, _PAIR, 112), 10, _is_unused_pair, _no_pair
    ),
)
