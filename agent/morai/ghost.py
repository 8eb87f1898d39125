"""Ghost commands, `#EgoGhostCmd$` and `#NpcGhostCmd$`: put cars somewhere without physics.

Owns both messages, the record and the byte tables.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/EgoGhostMode.py`,
`lib/define/NpcGhostMode.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.morai.enums import Direction
from agent.morai.layout import Layout, Slotted
from agent.morai.table import F32, I8, SPACE, Binding, Field, Text

if TYPE_CHECKING:
    from agent.morai.dialect import Dialect


class EgoGhost(msgspec.Struct, frozen=True, gc=False):
    """Pose and motion to show the ego with.

    Attributes:
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        roll_deg: Roll.
        pitch_deg: Pitch.
        yaw_deg: 0 is east, counter-clockwise positive.
        velocity_kmh: Speed shown.
        steer_deg: Wheel angle shown.
    """

    position_x_m: float
    position_y_m: float
    position_z_m: float
    roll_deg: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    velocity_kmh: float = 0.0
    steer_deg: float = 0.0


class NpcGhostRecord(msgspec.Struct, frozen=True, gc=False):
    """One NPC car to show.

    Attributes:
        id: Number of the ghost.
        model_name: Name of the vehicle model, at most 25 characters, not blank.
        position_x_m: East in the map frame.
        position_y_m: North in the map frame.
        position_z_m: Up in the map frame.
        roll_deg: Roll.
        pitch_deg: Pitch.
        yaw_deg: 0 is east, counter-clockwise positive.
    """

    id: int
    model_name: str
    position_x_m: float
    position_y_m: float
    position_z_m: float
    roll_deg: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0


class NpcGhost(msgspec.Struct, frozen=True, gc=False):
    """NPC cars to show.

    Attributes:
        vehicles: At most 20, unused slots left out.
    """

    vehicles: tuple[NpcGhostRecord, ...]


_RECORD = (
    Field(0, I8, "id"),
    Field(1, Text(25, SPACE), "model_name"),
    Field(26, F32, "position_x_m", "m", "map frame, east"),
    Field(30, F32, "position_y_m", "m", "map frame, north"),
    Field(34, F32, "position_z_m", "m", "map frame, up"),
    Field(38, F32, "roll_deg", "deg"),
    Field(42, F32, "pitch_deg", "deg"),
    Field(46, F32, "yaw_deg", "deg", "0 east, counter-clockwise"),
)
_MODEL_NAME = slice(1, 26)


def _is_unused(slot: bytes, _dialect: Dialect) -> bool:
    """A slot without a model name shows nothing."""
    name, _, _ = slot[_MODEL_NAME].partition(b"\0")
    return not name.strip(b" ")


def _unused_slot(size: int, _dialect: Dialect) -> bytes:
    return bytes(size)


EGO_GHOST = Layout(
    EgoGhost,
    b"#EgoGhostCmd$",
    63,
    (
        Field(29, F32, "position_x_m", "m", "map frame, east"),
        Field(33, F32, "position_y_m", "m", "map frame, north"),
        Field(37, F32, "position_z_m", "m", "map frame, up"),
        Field(41, F32, "roll_deg", "deg"),
        Field(45, F32, "pitch_deg", "deg"),
        Field(49, F32, "yaw_deg", "deg", "0 east, counter-clockwise"),
        Field(53, F32, "velocity_kmh", "km/h"),
        Field(57, F32, "steer_deg", "deg", "wheel angle"),
    ),
    data_length=32,
    direction=Direction.TO_SIMULATOR,
)
NPC_GHOST = Layout(
    NpcGhost,
    b"#NpcGhostCmd$",
    1031,
    (),
    data_length=1000,
    direction=Direction.TO_SIMULATOR,
    records=Slotted("vehicles", Binding(NpcGhostRecord, _RECORD, 50), 20, _is_unused, _unused_slot),
)
