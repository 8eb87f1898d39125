"""A recorded drive as numpy arrays, and the reader that gets it out of an MCAP file.

Owns the value types of a recording and the rules of its file: topics, units, bounds. It must not
know who plays the recording or how it was made. A file comes from outside: sizes are bounded, and
whatever its bytes are, the reader gives a `Recording` or one `PeerError` or `ConfigurationError`.

The file is a plain MCAP file (mcap.dev/spec) with JSON messages, so that Foxglove and the `mcap`
command line open it:

    /ego    morai_edge.Ego          pose and motion of the rear axle, 50 Hz
    /gnss   foxglove.LocationFix    raw receiver fixes
    /imu    morai_edge.Imu          specific force and angular velocity, body axes
    metadata `morai_edge.recording` name, start time, projection and origin of the map frame
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
import numpy as np
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message, Metadata
from mcap.stream_reader import StreamReader, breakup_chunk
from numpy.typing import NDArray

from certs.errors import ConfigurationError, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FloatArray: TypeAlias = NDArray[np.float64]

EGO_TOPIC = "/ego"
GNSS_TOPIC = "/gnss"
IMU_TOPIC = "/imu"
METADATA_NAME = "morai_edge.recording"
FORMAT = "morai-edge/recording/1"

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_UNCOMPRESSED_BYTES = 1024 * 1024 * 1024
MAX_CHUNK_BYTES = 64 * 1024 * 1024
MAX_SAMPLES = 2_000_000
MAX_METADATA_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class MapOrigin:
    """Where the recording's local frame lies: local + origin = coordinates in `crs`.

    Attributes:
        crs: An EPSG code such as `EPSG:32610`, or a PROJ string; units metres.
        origin_east_m: Easting of the local origin.
        origin_north_m: Northing of the local origin.
        origin_up_m: Ellipsoidal height of the local origin.
    """

    crs: str
    origin_east_m: float
    origin_north_m: float
    origin_up_m: float


@dataclass(frozen=True, slots=True, eq=False)
class EgoTrack:
    """Motion of the car, n samples; unknown values are NaN.

    Attributes:
        t_s: Seconds since the start of the recording, strictly increasing, shape (n,).
        position_m: Map-local ENU position, shape (n, 3).
        orientation_rad: Roll, pitch, yaw; yaw from grid east counter-clockwise, continuous (it is
            not wrapped, so that it can be interpolated), shape (n, 3).
        speed_mps: Signed speed along the body x axis, shape (n,).
        velocity_mps: Velocity in the body frame (x forward, y left, z up), shape (n, 3).
        angular_velocity_radps: Angular velocity in the body frame, shape (n, 3).
        acceleration_mps2: Acceleration in the body frame without gravity, shape (n, 3).
        wheel_angle_rad: Front road-wheel angle, positive to the left, shape (n,).
        accel_pedal: Accelerator pedal 0 to 1, shape (n,).
        brake_pedal: Brake pedal 0 to 1, shape (n,).
    """

    t_s: FloatArray
    position_m: FloatArray
    orientation_rad: FloatArray
    speed_mps: FloatArray
    velocity_mps: FloatArray
    angular_velocity_radps: FloatArray
    acceleration_mps2: FloatArray
    wheel_angle_rad: FloatArray
    accel_pedal: FloatArray
    brake_pedal: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class GnssTrack:
    """Raw receiver fixes, n samples.

    Attributes:
        t_s: Seconds since the start at which the fix was received, shape (n,).
        latitude_deg: WGS 84 latitude, shape (n,).
        longitude_deg: WGS 84 longitude, shape (n,).
        altitude_m: Altitude as the receiver states it, shape (n,).
        speed_mps: Ground speed, shape (n,).
        course_rad: Course over ground, clockwise from true north, shape (n,).
        utc_s: Unix time that the receiver states for the fix, shape (n,).
    """

    t_s: FloatArray
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    altitude_m: FloatArray
    speed_mps: FloatArray
    course_rad: FloatArray
    utc_s: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ImuTrack:
    """Inertial samples in body axes (x forward, y left, z up), n samples.

    Attributes:
        t_s: Seconds since the start, shape (n,).
        angular_velocity_radps: Shape (n, 3).
        acceleration_mps2: Specific force, gravity included (+9.8 on z at rest), shape (n, 3).
    """

    t_s: FloatArray
    angular_velocity_radps: FloatArray
    acceleration_mps2: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One recorded drive.

    Attributes:
        name: Short name of the drive.
        start_unix_s: Unix time of `t_s == 0`.
        map_origin: The frame of the positions.
        wheelbase_m: Wheelbase of the recorded car.
        ego: Motion of the car; always at least two samples.
        gnss: Receiver fixes, possibly none.
        imu: Inertial samples, possibly none.
    """

    name: str
    start_unix_s: float
    map_origin: MapOrigin
    wheelbase_m: float
    ego: EgoTrack
    gnss: GnssTrack
    imu: ImuTrack

    @property
    def duration_s(self) -> float:
        """Time from the first to the last ego sample."""
        return float(self.ego.t_s[-1] - self.ego.t_s[0])


class Vector(msgspec.Struct, frozen=True, gc=False):
    """Three components on the JSON wire."""

    x: float
    y: float
    z: float


class Attitude(msgspec.Struct, frozen=True, gc=False):
    """Roll, pitch and yaw on the JSON wire, radians."""

    roll: float
    pitch: float
    yaw: float


class EgoMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of `/ego`; the fields are those of `EgoTrack`."""

    t_s: float
    position_m: Vector
    orientation_rad: Attitude
    speed_mps: float
    velocity_mps: Vector
    angular_velocity_radps: Vector
    acceleration_mps2: Vector
    wheel_angle_rad: float | None = None
    accel_pedal: float | None = None
    brake_pedal: float | None = None


class Timestamp(msgspec.Struct, frozen=True, gc=False):
    """A point in time as the Foxglove schemas write it."""

    sec: int
    nsec: int


class GnssMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of `/gnss`: a `foxglove.LocationFix` with the receiver's other values beside."""

    t_s: float
    timestamp: Timestamp
    latitude: float
    longitude: float
    altitude: float
    speed_mps: float
    course_rad: float
    utc_s: float
    frame_id: str = "gnss"
    position_covariance_type: int = 0
    position_covariance: tuple[float, ...] = (0.0,) * 9


class ImuMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of `/imu`; the fields are those of `ImuTrack`."""

    t_s: float
    angular_velocity_radps: Vector
    acceleration_mps2: Vector


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    EGO_TOPIC: msgspec.json.Decoder(EgoMessage),
    GNSS_TOPIC: msgspec.json.Decoder(GnssMessage),
    IMU_TOPIC: msgspec.json.Decoder(ImuMessage),
}


def read(path: Path) -> Recording:
    """Read a recording.

    Topics other than the three documented ones are skipped, so a file that also holds other
    channels is fine. At most `MAX_FILE_BYTES` are read, `MAX_UNCOMPRESSED_BYTES` unpacked and
    `MAX_SAMPLES` samples kept.

    Args:
        path: The MCAP file.

    Raises:
        ConfigurationError: The file does not exist, cannot be read or is too large.
        PeerError: The file is damaged, is not MCAP, or lacks what a recording needs.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ConfigurationError(
                f"{path} has {size} bytes, more than the {MAX_FILE_BYTES} a recording may have",
                "cut it into shorter drives",
            )
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the recording {path} cannot be read: {error.strerror or error}",
            "name an existing .mcap file",
        ) from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Recording:
    """Parse the bytes of a recording; see `read`.

    Args:
        data: The whole file.
        where: Name of the file, for error texts.

    Raises:
        PeerError: As for `read`.
    """
    try:
        return _parse(data, where)
    except msgspec.MsgspecError as error:
        raise PeerError(f"{where} holds a message that does not fit its topic: {error}") from error
    except _DAMAGE as error:
        if isinstance(error, PeerError):
            raise
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PeerError(f"{where} is not a whole MCAP file ({detail})", "copy it again") from error


# What the MCAP reader makes of damaged bytes; a length of 2^63 or more overflows its read.
_DAMAGE = (
    McapError,
    zstandard.ZstdError,
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
)


def _parse(data: bytes, where: str) -> Recording:
    samples: dict[str, list[Any]] = {topic: [] for topic in _DECODERS}
    topic_of: dict[int, str] = {}
    metadata: dict[str, str] | None = None
    count = 0
    for record in _records(data, where):
        if isinstance(record, Message):
            topic = topic_of.get(record.channel_id)
            if topic is None:
                continue
            count += 1
            if count > MAX_SAMPLES:
                raise PeerError(f"{where} holds more than {MAX_SAMPLES} samples")
            samples[topic].append(_DECODERS[topic].decode(record.data))
        elif isinstance(record, Channel):
            if record.topic in _DECODERS and record.message_encoding == "json":
                topic_of[record.id] = record.topic
        elif isinstance(record, Metadata) and record.name == METADATA_NAME:
            metadata = record.metadata
    if metadata is None or metadata.get("format") != FORMAT:
        raise PeerError(
            f"{where} is an MCAP file, but not a recording of this product",
            f"a recording carries the metadata record {METADATA_NAME} with format {FORMAT}",
        )
    return _assemble(metadata, samples, where)


def _records(data: bytes, where: str) -> Iterator[object]:
    """Yield every record, unpacking chunks within bounds that the mcap library does not set."""
    unpacked = 0
    reader = StreamReader(io.BytesIO(data), emit_chunks=True, record_size_limit=MAX_FILE_BYTES)
    for record in reader.records:
        if not isinstance(record, Chunk):
            yield record
            continue
        size = len(record.data)
        if record.compression == "zstd":
            # zstd allocates what the frame header claims, so the claim is checked first.
            size = zstandard.frame_content_size(record.data)
            size = record.uncompressed_size if size < 0 else size
        elif record.compression:
            raise PeerError(f"{where} is packed with {record.compression!r}, only zstd is read")
        unpacked += size
        if not 0 <= size <= MAX_CHUNK_BYTES or unpacked > MAX_UNCOMPRESSED_BYTES:
            raise PeerError(f"{where} unpacks to more than a recording may hold")
        yield from breakup_chunk(record, validate_crc=True)


def _assemble(metadata: dict[str, str], samples: dict[str, list[Any]], where: str) -> Recording:
    ego = cast("list[EgoMessage]", samples[EGO_TOPIC])
    gnss = cast("list[GnssMessage]", samples[GNSS_TOPIC])
    imu = cast("list[ImuMessage]", samples[IMU_TOPIC])
    if len(ego) < 2:  # noqa: PLR2004 - a track needs a start and an end
        raise PeerError(f"{where} holds fewer than two samples on {EGO_TOPIC}")
    recording = Recording(
        name=_text(metadata, "name", where),
        start_unix_s=_number(metadata, "start_unix_s", where),
        map_origin=MapOrigin(
            crs=_text(metadata, "crs", where),
            origin_east_m=_number(metadata, "origin_east_m", where),
            origin_north_m=_number(metadata, "origin_north_m", where),
            origin_up_m=_number(metadata, "origin_up_m", where),
        ),
        wheelbase_m=_number(metadata, "wheelbase_m", where),
        ego=EgoTrack(
            t_s=_column([m.t_s for m in ego]),
            position_m=_vectors([m.position_m for m in ego]),
            orientation_rad=_column(
                [(a.roll, a.pitch, a.yaw) for a in (m.orientation_rad for m in ego)]
            ),
            speed_mps=_column([m.speed_mps for m in ego]),
            velocity_mps=_vectors([m.velocity_mps for m in ego]),
            angular_velocity_radps=_vectors([m.angular_velocity_radps for m in ego]),
            acceleration_mps2=_vectors([m.acceleration_mps2 for m in ego]),
            wheel_angle_rad=_column([_or_nan(m.wheel_angle_rad) for m in ego]),
            accel_pedal=_column([_or_nan(m.accel_pedal) for m in ego]),
            brake_pedal=_column([_or_nan(m.brake_pedal) for m in ego]),
        ),
        gnss=GnssTrack(
            t_s=_column([m.t_s for m in gnss]),
            latitude_deg=_column([m.latitude for m in gnss]),
            longitude_deg=_column([m.longitude for m in gnss]),
            altitude_m=_column([m.altitude for m in gnss]),
            speed_mps=_column([m.speed_mps for m in gnss]),
            course_rad=_column([m.course_rad for m in gnss]),
            utc_s=_column([m.utc_s for m in gnss]),
        ),
        imu=ImuTrack(
            t_s=_column([m.t_s for m in imu]),
            angular_velocity_radps=_vectors([m.angular_velocity_radps for m in imu]),
            acceleration_mps2=_vectors([m.acceleration_mps2 for m in imu]),
        ),
    )
    for topic, times in (
        (EGO_TOPIC, recording.ego.t_s),
        (GNSS_TOPIC, recording.gnss.t_s),
        (IMU_TOPIC, recording.imu.t_s),
    ):
        if np.any(np.diff(times) <= 0.0):
            raise PeerError(f"{where}: the times on {topic} do not increase")
    return recording


def _column(values: list[Any]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _vectors(values: list[Vector]) -> FloatArray:
    return np.array([(v.x, v.y, v.z) for v in values], dtype=np.float64).reshape(-1, 3)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _text(metadata: dict[str, str], key: str, where: str) -> str:
    value = metadata.get(key, "")
    if not value or len(value) > MAX_METADATA_CHARACTERS:
        raise PeerError(f"{where}: the metadata value {key} is missing or too long")
    return value


def _number(metadata: dict[str, str], key: str, where: str) -> float:
    try:
        value = float(metadata.get(key, ""))
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise PeerError(f"{where}: the metadata value {key} is not a number")
    return value
