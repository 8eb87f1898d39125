"""The wire protocol of MORAI SIM: Drive, classic line (21.R* to 26.R1), without any I/O.

Bytes to typed messages and back, for both directions and every known generation. Values stay in
wire units, with the unit in the name; conversion to SI is another room's business. Everything the
public material leaves open is a choice in `Dialect`.
"""

from agent.morai.camera import (
    BoundingBox,
    BoundingBoxes,
    CameraAssembler,
    CameraChunk,
    CameraFrame,
    CameraLimits,
)
from agent.morai.catalogue import (
    Decoded,
    EnvelopeWarning,
    Message,
    decode,
    decode_with_warnings,
    encode,
)
from agent.morai.collision import (
    CollidedVehicle,
    CollisionData,
    CollisionRecord,
    VehicleCollision,
    VehicleCollisionRecord,
)
from agent.morai.dialect import DEFAULT_DIALECT, CameraLayout, Dialect, EmptySlotRule, ImuLayout
from agent.morai.ego_control import EgoControl
from agent.morai.ego_status import EgoStatus
from agent.morai.enums import (
    CommandMode,
    Direction,
    EgoControlVariant,
    EgoStatusVariant,
    Gear,
    LongitudinalType,
    ObjectInfoVariant,
    ObjectType,
    StatusMode,
    TrafficLightState,
    TrafficLightType,
    TurnSignal,
)
from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason
from agent.morai.ghost import EgoGhost, NpcGhost, NpcGhostRecord
from agent.morai.imu import Imu
from agent.morai.lidar import Lidar2d, VelodyneBlock, VelodynePacket
from agent.morai.nmea import Gga, GpsSentences, OtherSentence, Rmc, Sentence
from agent.morai.objects import ObjectInfo, ObjectRecord
from agent.morai.setup import (
    LampControl,
    MultiEgoRecord,
    MultiEgoSetting,
    SaveSensorData,
    ScenarioLoad,
    SensorPosition,
)
from agent.morai.traffic import (
    IntersectionStatus,
    SetIntersection,
    SetTrafficLight,
    TrafficLightStatus,
)
from agent.morai.trajectory import TrajectoryPoint, TrajectoryTracking

__all__ = [
    "DEFAULT_DIALECT",
    "BoundingBox",
    "BoundingBoxes",
    "CameraAssembler",
    "CameraChunk",
    "CameraFrame",
    "CameraLayout",
    "CameraLimits",
    "CollidedVehicle",
    "CollisionData",
    "CollisionRecord",
    "CommandMode",
    "DecodeError",
    "DecodeReason",
    "Decoded",
    "Dialect",
    "Direction",
    "EgoControl",
    "EgoControlVariant",
    "EgoGhost",
    "EgoStatus",
    "EgoStatusVariant",
    "EmptySlotRule",
    "EncodeError",
    "EncodeReason",
    "EnvelopeWarning",
    "Gear",
    "Gga",
    "GpsSentences",
    "Imu",
    "ImuLayout",
    "IntersectionStatus",
    "LampControl",
    "Lidar2d",
    "LongitudinalType",
    "Message",
    "MultiEgoRecord",
    "MultiEgoSetting",
    "NpcGhost",
    "NpcGhostRecord",
    "ObjectInfo",
    "ObjectInfoVariant",
    "ObjectRecord",
    "ObjectType",
    "OtherSentence",
    "Rmc",
    "SaveSensorData",
    "ScenarioLoad",
    "SensorPosition",
    "Sentence",
    "SetIntersection",
    "SetTrafficLight",
    "StatusMode",
    "TrafficLightState",
    "TrafficLightStatus",
    "TrafficLightType",
    "TrajectoryPoint",
    "TrajectoryTracking",
    "TurnSignal",
    "VehicleCollision",
    "VehicleCollisionRecord",
    "VelodyneBlock",
    "VelodynePacket",
    "decode",
    "decode_with_warnings",
    "encode",
]
