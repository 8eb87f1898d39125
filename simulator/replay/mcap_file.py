"""Writes a recording as an MCAP file that Foxglove opens.

Owns the schemas and the order of the messages. The reader and the meaning of the fields are in
`recording`. The same recording always gives the same bytes.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from mcap.writer import CompressionType, Writer

from simulator.replay.recording import (
    EGO_TOPIC,
    FORMAT,
    GNSS_TOPIC,
    IMU_TOPIC,
    METADATA_NAME,
    Attitude,
    EgoMessage,
    GnssMessage,
    ImuMessage,
    Timestamp,
    Vector,
)

if TYPE_CHECKING:
    from simulator.replay.recording import FloatArray, Recording

_NANOSECONDS = 1_000_000_000
# Small enough to seek in, large enough to pack well.
_CHUNK_BYTES = 256 * 1024

_NUMBER = {"type": "number"}
_OPTIONAL = {"type": ["number", "null"]}
_VECTOR = {"type": "object", "properties": {"x": _NUMBER, "y": _NUMBER, "z": _NUMBER}}

_SCHEMAS: dict[str, tuple[str, dict[str, object]]] = {
    EGO_TOPIC: (
        "morai_edge.Ego",
        {
            "t_s": _NUMBER,
            "position_m": _VECTOR,
            "orientation_rad": {
                "type": "object",
                "properties": {"roll": _NUMBER, "pitch": _NUMBER, "yaw": _NUMBER},
            },
            "speed_mps": _NUMBER,
            "velocity_mps": _VECTOR,
            "angular_velocity_radps": _VECTOR,
            "acceleration_mps2": _VECTOR,
            "wheel_angle_rad": _OPTIONAL,
            "accel_pedal": _OPTIONAL,
            "brake_pedal": _OPTIONAL,
        },
    ),
    GNSS_TOPIC: (
        "foxglove.LocationFix",
        {
            "t_s": _NUMBER,
            "timestamp": {
                "type": "object",
                "title": "time",
                "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
            },
            "frame_id": {"type": "string"},
            "latitude": _NUMBER,
            "longitude": _NUMBER,
            "altitude": _NUMBER,
            "position_covariance": {"type": "array", "items": _NUMBER},
            "position_covariance_type": {"type": "integer"},
            "speed_mps": _NUMBER,
            "course_rad": _NUMBER,
            "utc_s": _NUMBER,
        },
    ),
    IMU_TOPIC: (
        "morai_edge.Imu",
        {"t_s": _NUMBER, "angular_velocity_radps": _VECTOR, "acceleration_mps2": _VECTOR},
    ),
}


def to_bytes(recording: Recording) -> bytes:
    """Write a recording.

    Values are rounded to a tenth of a millimetre, a microradian and a microsecond, which is finer
    than what any of MORAI's messages can carry.

    Returns:
        The bytes of a complete, indexed MCAP file with zstd chunks.
    """
    out = io.BytesIO()
    writer = Writer(out, chunk_size=_CHUNK_BYTES, compression=CompressionType.ZSTD)
    writer.start(profile="", library="morai-edge")
    channels = {}
    for topic, (name, properties) in _SCHEMAS.items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            "type": "object",
            "properties": properties,
        }
        schema_id = writer.register_schema(
            name=name, encoding="jsonschema", data=msgspec.json.encode(schema)
        )
        channels[topic] = writer.register_channel(
            topic=topic, message_encoding="json", schema_id=schema_id
        )
    origin = recording.map_origin
    writer.add_metadata(
        METADATA_NAME,
        {
            "format": FORMAT,
            "name": recording.name,
            "start_unix_s": repr(recording.start_unix_s),
            "crs": origin.crs,
            "origin_east_m": repr(origin.origin_east_m),
            "origin_north_m": repr(origin.origin_north_m),
            "origin_up_m": repr(origin.origin_up_m),
            "wheelbase_m": repr(recording.wheelbase_m),
        },
    )
    start_ns = round(recording.start_unix_s * _NANOSECONDS)
    messages = [
        *((m.t_s, EGO_TOPIC, m) for m in _ego_messages(recording)),
        *((m.t_s, GNSS_TOPIC, m) for m in _gnss_messages(recording)),
        *((m.t_s, IMU_TOPIC, m) for m in _imu_messages(recording)),
    ]
    encode = msgspec.json.Encoder().encode
    for sequence, (t_s, topic, message) in enumerate(sorted(messages, key=lambda m: m[:2])):
        log_time = start_ns + round(t_s * _NANOSECONDS)
        writer.add_message(
            channel_id=channels[topic],
            log_time=log_time,
            publish_time=log_time,
            sequence=sequence,
            data=encode(message),
        )
    writer.finish()  # type: ignore[no-untyped-call] # mcap leaves it unannotated
    return out.getvalue()


def _vectors(rows: FloatArray, digits: int) -> list[Vector]:
    return [Vector(*row) for row in np.round(rows, digits).tolist()]


def _optional(values: FloatArray, digits: int) -> list[float | None]:
    return [None if math.isnan(v) else v for v in np.round(values, digits).tolist()]


def _ego_messages(recording: Recording) -> list[EgoMessage]:
    ego = recording.ego
    columns = zip(
        np.round(ego.t_s, 6).tolist(),
        _vectors(ego.position_m, 4),
        [Attitude(*row) for row in np.round(ego.orientation_rad, 6).tolist()],
        np.round(ego.speed_mps, 5).tolist(),
        _vectors(ego.velocity_mps, 5),
        _vectors(ego.angular_velocity_radps, 6),
        _vectors(ego.acceleration_mps2, 5),
        _optional(ego.wheel_angle_rad, 6),
        _optional(ego.accel_pedal, 4),
        _optional(ego.brake_pedal, 4),
        strict=True,
    )
    return [EgoMessage(*row) for row in columns]


def _gnss_messages(recording: Recording) -> list[GnssMessage]:
    gnss = recording.gnss
    start_ns = round(recording.start_unix_s * _NANOSECONDS)
    columns = zip(
        np.round(gnss.t_s, 6).tolist(),
        np.round(gnss.latitude_deg, 9).tolist(),
        np.round(gnss.longitude_deg, 9).tolist(),
        np.round(gnss.altitude_m, 4).tolist(),
        np.round(gnss.speed_mps, 5).tolist(),
        np.round(gnss.course_rad, 6).tolist(),
        np.round(gnss.utc_s, 3).tolist(),
        strict=True,
    )
    return [
        GnssMessage(
            t_s,
            Timestamp(*divmod(start_ns + round(t_s * _NANOSECONDS), _NANOSECONDS)),
            *values,
        )
        for t_s, *values in columns
    ]


def _imu_messages(recording: Recording) -> list[ImuMessage]:
    imu = recording.imu
    columns = zip(
        np.round(imu.t_s, 6).tolist(),
        _vectors(imu.angular_velocity_radps, 6),
        _vectors(imu.acceleration_mps2, 5),
        strict=True,
    )
    return [ImuMessage(*row) for row in columns]
