"""Every datagram of the protocol: which bytes are which message, and the way back.

Owns the dispatch. The name at offset 0 comes first and the size second: 181 bytes are an ego
status and also collision data, and one name has had several sizes over the years. Only
`#TrafficLight$` with 48 bytes needs the direction as well.

`decode` is total: any bytes give a message or a `DecodeError`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from agent.morai import (
    camera,
    collision,
    ego_control,
    ego_status,
    envelope,
    ghost,
    imu,
    lidar,
    nmea,
    objects,
    setup,
    traffic,
    trajectory,
)
from agent.morai.camera import BoundingBoxes, CameraChunk
from agent.morai.collision import CollisionData, VehicleCollision
from agent.morai.dialect import DEFAULT_DIALECT, Dialect, ImuLayout
from agent.morai.ego_control import EgoControl
from agent.morai.ego_status import EgoStatus
from agent.morai.enums import Direction
from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason
from agent.morai.ghost import EgoGhost, NpcGhost
from agent.morai.imu import Imu
from agent.morai.layout import Layout
from agent.morai.lidar import Lidar2d, VelodynePacket
from agent.morai.nmea import GpsSentences
from agent.morai.objects import ObjectInfo
from agent.morai.setup import (
    LampControl,
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
from agent.morai.trajectory import TrajectoryTracking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Buffer: TypeAlias = bytes | bytearray | memoryview
"""What a receive call fills; anything but `bytes` is copied once."""

Message: TypeAlias = (
    EgoStatus
    | ObjectInfo
    | CollisionData
    | VehicleCollision
    | TrafficLightStatus
    | IntersectionStatus
    | Imu
    | Lidar2d
    | GpsSentences
    | CameraChunk
    | BoundingBoxes
    | VelodynePacket
    | EgoControl
    | SetTrafficLight
    | SetIntersection
    | MultiEgoSetting
    | ScenarioLoad
    | EgoGhost
    | NpcGhost
    | LampControl
    | SensorPosition
    | SaveSensorData
    | TrajectoryTracking
)
"""Anything that travels as one datagram."""

LAYOUTS: tuple[Layout[Any], ...] = (
    *ego_status.LAYOUTS.values(),
    *objects.LAYOUTS.values(),
    collision.COLLISION_DATA,
    collision.VEHICLE_COLLISION,
    traffic.TRAFFIC_LIGHT_STATUS,
    traffic.TRAFFIC_LIGHT_STATUS_FLAGGED,
    traffic.INTERSECTION_STATUS,
    imu.IMU_TIMED,
    imu.IMU_UNTIMED,
    lidar.LIDAR_2D,
    *ego_control.LAYOUTS.values(),
    traffic.SET_TRAFFIC_LIGHT,
    traffic.SET_TRAFFIC_LIGHT_TYPED,
    traffic.SET_TRAFFIC_LIGHT_FLAGGED,
    traffic.SET_INTERSECTION,
    setup.MULTI_EGO_SETTING,
    setup.SCENARIO_LOAD,
    setup.LAMP_CONTROL,
    setup.SENSOR_POSITION,
    setup.SAVE_SENSOR_DATA,
    ghost.EGO_GHOST,
    ghost.NPC_GHOST,
    trajectory.TRAJECTORY_TRACKING,
)
"""The byte tables of all datagrams with the common frame."""


def _by_name_and_size(layouts: tuple[Layout[Any], ...]) -> dict[tuple[bytes, int], Layout[Any]]:
    table: dict[tuple[bytes, int], Layout[Any]] = {}
    for layout in layouts:
        # Where both directions share name and size, the one from the simulator comes first.
        table.setdefault((layout.name, layout.size), layout)
    return table


_TABLES: Mapping[Direction | None, Mapping[tuple[bytes, int], Layout[Any]]] = {
    None: _by_name_and_size(LAYOUTS),
    **{
        way: _by_name_and_size(tuple(one for one in LAYOUTS if one.direction is way))
        for way in Direction
    },
}
_NAMES = frozenset(layout.name for layout in LAYOUTS)


class EnvelopeWarning(enum.StrEnum):
    """What is odd about a datagram that was read nevertheless."""

    DATA_LENGTH = "data_length"
    """The frame declares another payload length than the datagram has."""
    AUX_NOT_ZERO = "aux_not_zero"
    """The spare bytes hold something."""
    NO_TAIL = "no_tail"
    """The closing CR LF is absent."""


class Decoded(msgspec.Struct, frozen=True):
    """A message with what is worth knowing about its frame.

    Attributes:
        message: The message.
        layout: Its byte table; `None` for the messages without the common frame.
        warnings: What is odd, in no particular order.
    """

    message: Message
    layout: Layout[Any] | None
    warnings: tuple[EnvelopeWarning, ...]


def find_layout(
    data: bytes, dialect: Dialect = DEFAULT_DIALECT, direction: Direction | None = None
) -> Layout[Any] | None:
    """The byte table that a datagram's name and size select, if it has the common frame."""
    name = envelope.name_of(data)
    table = _TABLES[direction]
    layout = table.get((name, len(data)))
    if layout is None and not dialect.tail_required:
        layout = table.get((name, len(data) + len(envelope.TAIL)))
    return layout


def decode(
    data: Buffer, *, dialect: Dialect = DEFAULT_DIALECT, direction: Direction | None = None
) -> Message:
    """Read one datagram.

    Args:
        data: The bytes of the datagram.
        dialect: How to read what the protocol leaves open.
        direction: Which way it travelled, if known. Without it, the message from the simulator
            is preferred where name and size fit both ways.

    Returns:
        The message. Numbers of enumerations may be unknown ones.

    Raises:
        DecodeError: The bytes are no message; no other exception is raised for any bytes.
    """
    if type(data) is not bytes:
        data = bytes(data)
    layout = _TABLES[direction].get(
        (data[: data.find(b"$", 1, envelope.LONGEST_NAME) + 1], len(data))
    )
    if layout is None:
        return _decode_other(data, dialect, direction)
    if layout.message is Imu:
        _check_imu(layout, dialect)
    message: Message = layout.decode(data, dialect)
    return message


def decode_with_warnings(
    data: Buffer, *, dialect: Dialect = DEFAULT_DIALECT, direction: Direction | None = None
) -> Decoded:
    """Read one datagram and look at its frame as well.

    Args:
        data: The bytes of the datagram.
        dialect: How to read what the protocol leaves open.
        direction: Which way it travelled, if known.

    Raises:
        DecodeError: The bytes are no message.
    """
    data = bytes(data)
    message = decode(data, dialect=dialect, direction=direction)
    layout = find_layout(data, dialect, direction)
    if layout is None:
        return Decoded(message, None, ())
    warnings: list[EnvelopeWarning] = []
    # Real IMU packets declare 80 bytes for a payload of 88.
    expected = (80, 88) if layout.message is Imu else (layout.data_length,)
    if envelope.declared_length(data, layout.name) not in expected:
        warnings.append(EnvelopeWarning.DATA_LENGTH)
    uses_aux = layout.start < envelope.payload_offset(layout.name)
    if not uses_aux and any(envelope.aux_of(data, layout.name)):
        warnings.append(EnvelopeWarning.AUX_NOT_ZERO)
    if len(data) != layout.size:
        warnings.append(EnvelopeWarning.NO_TAIL)
    return Decoded(message, layout, tuple(warnings))


def _check_imu(layout: Layout[Any], dialect: Dialect) -> None:
    accepted = {ImuLayout.TIMED: imu.IMU_TIMED, ImuLayout.UNTIMED: imu.IMU_UNTIMED}
    if accepted.get(dialect.imu_layout, layout) is not layout:
        raise DecodeError(
            DecodeReason.WRONG_SIZE,
            f"{layout.size} bytes of IMU data, but the dialect says {dialect.imu_layout.value}",
        )


def _decode_other(data: bytes, dialect: Dialect, direction: Direction | None) -> Message:
    """Messages without the common frame, and the reasons why there is no message."""
    if not data:
        raise DecodeError(DecodeReason.EMPTY, "a datagram without bytes")
    reader = _bare_reader(data)
    if reader is not None:
        if direction is Direction.TO_SIMULATOR:
            raise DecodeError(DecodeReason.WRONG_DIRECTION, "sensor data only comes from there")
        return reader(data, dialect)
    layout = find_layout(data, dialect, direction)
    if layout is not None:
        if layout.message is Imu:
            _check_imu(layout, dialect)
        message: Message = layout.decode(data, dialect)
        return message
    name = envelope.name_of(data)
    if name not in _NAMES:
        raise DecodeError(DecodeReason.UNKNOWN_NAME, f"begins with {data[:16]!r}")
    if find_layout(data, dialect) is not None:
        raise DecodeError(
            DecodeReason.WRONG_DIRECTION, f"{name.decode()} of {len(data)} bytes goes the other way"
        )
    sizes = sorted({layout.size for layout in LAYOUTS if layout.name == name})
    raise DecodeError(
        DecodeReason.WRONG_SIZE,
        f"{name.decode()} of {len(data)} bytes; known are {', '.join(map(str, sizes))}",
    )


def _bare_reader(data: bytes) -> Callable[[bytes, Dialect], Message] | None:
    if data.startswith(b"$"):
        return lambda text, _dialect: nmea.decode_gps(text)
    if data.startswith(camera.CHUNK_MARK):
        return camera.decode_chunk
    if data.startswith(camera.BOX_MARK):
        return camera.decode_boxes
    if data.startswith(lidar.VELODYNE_MARK):
        return lambda packet, _dialect: lidar.decode_velodyne(packet)
    return None


def encode(message: Message, *, dialect: Dialect = DEFAULT_DIALECT) -> bytes:
    """Write one datagram.

    Args:
        message: Any message of the catalogue.
        dialect: How to write what the protocol leaves open.

    Returns:
        The bytes of the datagram; `decode` turns them into an equal message, except that NMEA text
        rounds to its resolution.

    Raises:
        EncodeError: The wire cannot carry the message without loss.
    """
    writer = _WRITERS.get(type(message))
    if writer is None:
        raise EncodeError(EncodeReason.BAD_VALUE, f"{type(message).__name__} is no message")
    return writer(message, dialect)


def _by_variant(layouts: Mapping[Any, Layout[Any]]) -> Callable[[Any, Dialect], bytes]:
    def write(message: Any, dialect: Dialect) -> bytes:
        layout = layouts.get(message.variant)
        if layout is None:
            raise EncodeError(
                EncodeReason.BAD_VALUE, f"there is no variant {message.variant!r:.40}"
            )
        return layout.encode(message, dialect)

    return write


def _write_traffic_light(message: TrafficLightStatus, dialect: Dialect) -> bytes:
    if message.legacy_flag is None:
        return traffic.TRAFFIC_LIGHT_STATUS.encode(message, dialect)
    return traffic.TRAFFIC_LIGHT_STATUS_FLAGGED.encode(message, dialect)


def _write_set_traffic_light(message: SetTrafficLight, dialect: Dialect) -> bytes:
    if message.legacy_flag is not None:
        return traffic.SET_TRAFFIC_LIGHT_FLAGGED.encode(message, dialect)
    if dialect.set_traffic_light_size == traffic.SET_TRAFFIC_LIGHT_TYPED.size:
        return traffic.SET_TRAFFIC_LIGHT_TYPED.encode(message, dialect)
    return traffic.SET_TRAFFIC_LIGHT.encode(message, dialect)


def _write_imu(message: Imu, dialect: Dialect) -> bytes:
    if message.sec is None:
        return imu.IMU_UNTIMED.encode(message, dialect)
    data = imu.IMU_TIMED.encode(message, dialect)
    if dialect.imu_declared_bytes == imu.IMU_TIMED.data_length:
        return data
    return envelope.declaring(data, imu.NAME, dialect.imu_declared_bytes)


_WRITERS: Mapping[type[Any], Callable[[Any, Dialect], bytes]] = {
    EgoStatus: _by_variant(ego_status.LAYOUTS),
    EgoControl: _by_variant(ego_control.LAYOUTS),
    ObjectInfo: _by_variant(objects.LAYOUTS),
    TrafficLightStatus: _write_traffic_light,
    SetTrafficLight: _write_set_traffic_light,
    Imu: _write_imu,
    GpsSentences: lambda message, _dialect: nmea.encode_gps(message),
    CameraChunk: camera.encode_chunk,
    BoundingBoxes: camera.encode_boxes,
    VelodynePacket: lambda message, _dialect: lidar.encode_velodyne(message),
    **{
        layout.message: layout.encode
        for layout in (
            collision.COLLISION_DATA,
            collision.VEHICLE_COLLISION,
            traffic.INTERSECTION_STATUS,
            traffic.SET_INTERSECTION,
            lidar.LIDAR_2D,
            setup.MULTI_EGO_SETTING,
            setup.SCENARIO_LOAD,
            setup.LAMP_CONTROL,
            setup.SENSOR_POSITION,
            setup.SAVE_SENSOR_DATA,
            ghost.EGO_GHOST,
            ghost.NPC_GHOST,
            trajectory.TRAJECTORY_TRACKING,
        )
    },
}
