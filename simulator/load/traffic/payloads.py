"""What a simulated car publishes: telemetry payloads with fresh positions, and the stamp in each.

Owns the three encodings of a stream (`flat`, `batch`, `bytes`), their padding, the shadow report,
and reading a stamp (sequence number and intended send time) back from any bytes. Messages are
encoded a slice at a time: what numpy costs per call is paid once for all cars that are due. Batch
documents are the agent's own (`agent.telemetry.payload.Batch`) with the key `due_us` added. Pure;
it must not know connections, clocks or how cars move.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from agent.cloud.topics import TopicSpace
from agent.telemetry.payload import SCHEMA_NAME, Batch, Clock
from agent.vehicle.vss import VSS_VERSION
from simulator.load.traffic.samples import (
    DEG_PER_RAD,
    HISTORY_STEPS,
    LOCATION,
    QUANTITIES,
    TURN_DEG,
    CarArrays,
    Content,
    History,
    Table,
)
from simulator.scenario.schema import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.scenario.schema import Stream

__all__ = [
    "BYTES_MAGIC",
    "CarArrays",
    "Content",
    "Encoding",
    "Stamp",
    "StreamEncoder",
    "content_of",
    "read_stamp",
    "shadow_report",
    "typical_bytes",
]

Encoding: TypeAlias = Literal["batch", "flat", "bytes"]
Stamp: TypeAlias = tuple[int, int]
"""Sequence number of a message in its stream, and its intended send time in Unix microseconds."""

BYTES_MAGIC: Final = b"MORAIraw"
"""First bytes of an opaque payload; the sequence number and `due_us` follow as big-endian u64."""

_HEADER: Final = struct.Struct(">8sQQ")
_CLOCK: Final = Clock("receive", "synchronised")
_MAX_NUMBER: Final = 2**53 - 1  # what every JSON reader keeps exactly (RFC 8259, section 6)
_US_PER_S: Final = 1_000_000
_US_PER_MS: Final = 1000
_TYPICAL_BOOT: Final = "01JD0Q8Z5W"
"""A boot identity of the length that is recommended."""

_BY_NAME: Final[dict[str, Content]] = {content: content for content in QUANTITIES}

_PAD: Final = b',"pad":"'
_PAD_END: Final = b'"}'
_PAD_OVERHEAD: Final = len(_PAD) + len(_PAD_END) - len(b"}")


_CONSTANT_COLUMNS: Final[dict[Content, dict[str, Any]]] = {
    "state": {},
    "gnss": {LOCATION + "GNSSReceiver.FixType": "THREE_D", "Morai.Gnss.Quality": 1},
    "imu": {},
}


def _flat_type(content: Content) -> type[Any]:
    fields: list[tuple[str, type]] = [
        ("thing", str),
        ("stream", str),
        ("seq", int),
        ("due_us", int),
        ("time", float),
    ]
    fields += [(quantity.name, float) for quantity in QUANTITIES[content]]
    return msgspec.defstruct(f"_Flat{content.title()}", fields, gc=False)


_FLAT_TYPES: Final[dict[Content, type[Any]]] = {
    content: _flat_type(content) for content in QUANTITIES
}


class _Document(Batch, frozen=True, kw_only=True):
    """The agent's telemetry document with the intended send time; readers ignore the new key."""

    due_us: int


# msgspec writes a number that is not finite as null, so the JSON is valid whatever the motion says.
_encode: Final = msgspec.json.Encoder().encode


def content_of(name: str, stream: Stream) -> Content:
    """What a stream carries: as the scenario says, else what its name says, else `state`."""
    if stream.content is not None:
        return stream.content
    return _BY_NAME.get(name, "state")


class StreamEncoder:
    """Encodes the messages of one stream of a group of cars.

    Args:
        name: Stream name, the last topic level. A batch document carries it as it is, so only the
            agent's own stream names give documents that its schema accepts.
        stream: The stream.
        fleet: Fleet level of the topics.
        things: Thing names of the cars, in the order of their indices.
        boot: Identity of the run, in batch documents.
        cars: Arrays of the cars, asked for anew with every slice.
        unix_s_at_zero: Unix time at 0 of the run's clock.
        offset: Car `i` of `things` is element `offset + i` of the arrays.
    """

    def __init__(
        self,
        name: str,
        stream: Stream,
        *,
        fleet: str,
        things: Sequence[str],
        boot: str,
        cars: CarArrays,
        unix_s_at_zero: float,
        offset: int = 0,
    ) -> None:
        self.name = name
        self.stream = stream
        self.content = content_of(name, stream)
        self._fleet = fleet
        self._things = things
        self._boot = boot
        self._cars = cars
        self._offset = offset
        self._zero_us = round(unix_s_at_zero * _US_PER_S)
        self._size = stream.payload_bytes or 0
        self._samples = stream.samples
        self._period_s = 1.0 / stream.rate_hz
        self._flat = _FLAT_TYPES[self.content]
        self._table = Table(self.content, in_signal_units=stream.encoding == "batch")
        self._history = (
            History(self._table, slice(offset, offset + len(things)), self._period_s)
            if self._samples > 1
            else None
        )
        self._filler = b"\x5a" * max(0, self._size - _HEADER.size)

    def topic(self, index: int) -> str:
        """The topic that a car publishes this stream on.

        Raises:
            ConfigurationError: The names do not make a topic.
        """
        return TopicSpace(self._fleet, self._things[index]).telemetry(self.name)

    def remember(self, now_s: float) -> None:
        """Note where all cars are; call it after each motion step, or never.

        Only streams with several samples a message keep a history: one publish period in at most
        32 steps, some 2 kB a car. Steps that come faster are thinned out.

        Args:
            now_s: Time of the run the arrays are valid for; not before the last one.
        """
        self._table.hold()
        if self._history is not None:
            self._history.add(now_s, self._cars)

    def encode(
        self,
        indices: list[int],
        sequences: list[int],
        due_s: list[float],
        skew_s: Mapping[int, float] | None = None,
        *,
        period_s: float | None = None,
    ) -> list[bytes]:
        """The payloads of messages that are due, in the order given.

        Args:
            indices: Cars.
            sequences: Number of each message in its car's stream, from 0.
            due_s: Intended send time of each, in seconds of the run.
            skew_s: Car to error of its clock; shifts the times in JSON payloads, not `due_us`.
            period_s: Time between two messages, over which the samples of one are spread; that of
                the stream's nominal rate when left out. Samples before the oldest step remembered
                repeat that step.
        """
        zero_us = self._zero_us
        due_us = [zero_us + round(due * 1e6) for due in due_s]
        if self.stream.encoding == "bytes":
            pack, filler = _HEADER.pack, self._filler
            return [
                pack(BYTES_MAGIC, sequence, due) + filler
                for sequence, due in zip(sequences, due_us, strict=True)
            ]
        stamps_us = due_us
        if skew_s:
            shift = skew_s.get
            stamps_us = [
                due + round(shift(index, 0.0) * 1e6)
                for index, due in zip(indices, due_us, strict=True)
            ]
        if self.stream.encoding == "flat":
            payloads = self._flat_objects(indices, sequences, due_us, stamps_us)
        elif self._history is None:
            payloads = self._single_documents(indices, sequences, due_us, stamps_us)
        else:
            payloads = self._documents(
                indices, sequences, due_s, due_us, stamps_us, period_s or self._period_s
            )
        return [_padded(payload, self._size) for payload in payloads] if self._size else payloads

    def _flat_objects(
        self,
        indices: list[int],
        sequences: list[int],
        due_us: list[int],
        stamps_us: list[int],
    ) -> list[bytes]:
        things = self._things
        return list(
            map(
                _encode,
                map(
                    self._flat,
                    [things[index] for index in indices],
                    [self.name] * len(indices),
                    sequences,
                    due_us,
                    [(stamp + 500) // _US_PER_MS / 1000 for stamp in stamps_us],
                    *self._table.values(self._cars, indices, self._offset),
                ),
            )
        )

    def _single_documents(
        self,
        indices: list[int],
        sequences: list[int],
        due_us: list[int],
        stamps_us: list[int],
    ) -> list[bytes]:
        things, paths = self._things, self._table.paths
        constant = _CONSTANT_COLUMNS[self.content]
        rows = zip(*self._table.values(self._cars, indices, self._offset), strict=True)
        return [
            self._document(
                things[index],
                sequence,
                due,
                (stamp + 500) // _US_PER_MS / 1000,
                [0],
                dict(zip(paths, row, strict=True)) | constant,
            )
            for index, sequence, due, stamp, row in zip(
                indices, sequences, due_us, stamps_us, rows, strict=True
            )
        ]

    def _documents(
        self,
        indices: list[int],
        sequences: list[int],
        due_s: list[float],
        due_us: list[int],
        stamps_us: list[int],
        period_s: float,
    ) -> list[bytes]:
        history = self._history
        assert history is not None  # noqa: S101 - encode() decides
        samples, things, paths = self._samples, self._things, self._table.paths
        if history.is_empty:
            history.add(due_s[0] if due_s else 0.0, self._cars)
        back_s = np.arange(samples - 1, -1, -1) * (period_s / samples)
        times_s = np.array(due_s)[:, None] - back_s
        values = history.at(times_s, np.array(indices, dtype=np.intp))
        is_constant = (values == values[:, :, :1]).all(axis=2).tolist()
        offsets_ms = np.rint((back_s[0] - back_s) * 1000).astype(np.int64).tolist()
        first_us = round(back_s[0] * 1e6)
        constant = _CONSTANT_COLUMNS[self.content]
        return [
            self._document(
                things[index],
                sequence,
                due,
                (stamp - first_us + 500) // _US_PER_MS / 1000,
                offsets_ms,
                {
                    path: column[0] if same else column
                    for path, column, same in zip(paths, columns, bare, strict=True)
                }
                | constant,
            )
            for index, sequence, due, stamp, columns, bare in zip(
                indices,
                sequences,
                due_us,
                stamps_us,
                values.tolist(),
                is_constant,
                strict=True,
            )
        ]

    def _document(
        self,
        thing: str,
        sequence: int,
        due_us: int,
        t0_s: float,
        dt_ms: list[int],
        columns: dict[str, Any],
    ) -> bytes:
        return _encode(
            _Document(
                schema=SCHEMA_NAME,
                vss=VSS_VERSION,
                replayed=False,
                thing=thing,
                stream=self.name,
                boot=self._boot,
                seq=sequence,
                first=sequence * self._samples,
                count=self._samples,
                t0=t0_s,
                dt=dt_ms,
                clock=_CLOCK,
                columns=columns,
                due_us=due_us,
            )
        )


def _padded(payload: bytes, size: int) -> bytes:
    """A JSON object made exactly `size` bytes long, or left alone when it is that long already."""
    missing = size - len(payload)
    if missing <= 0:
        return payload
    if missing < _PAD_OVERHEAD:
        # Too little for another key; blanks are as insignificant (RFC 8259, section 2).
        return payload + b" " * missing
    return payload[:-1] + _PAD + b"x" * (missing - _PAD_OVERHEAD) + _PAD_END


# Reading back


class _Stamped(msgspec.Struct, frozen=True, gc=False):
    seq: Annotated[int, msgspec.Meta(ge=0, le=_MAX_NUMBER)]
    due_us: Annotated[int, msgspec.Meta(ge=0, le=_MAX_NUMBER)]


_decode_stamped: Final = msgspec.json.Decoder(_Stamped).decode


def read_stamp(encoding: Encoding, payload: bytes) -> Stamp | None:
    """Sequence number and intended send time of a payload. Total: any bytes give one or None.

    Args:
        encoding: That of the stream.
        payload: What arrived; more than `MAX_PAYLOAD_BYTES` is not read.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    if encoding == "bytes":
        if len(payload) < _HEADER.size or not payload.startswith(BYTES_MAGIC):
            return None
        _, sequence, due_us = _HEADER.unpack_from(payload)
        return None if sequence > _MAX_NUMBER or due_us > _MAX_NUMBER else (sequence, due_us)
    try:
        stamped = _decode_stamped(payload)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    return stamped.seq, stamped.due_us


# Sizes for a forecast


class _TypicalCars:
    """One car on its way, with as many digits in every number as most have."""

    def __init__(self) -> None:
        self.move(0)

    def move(self, step: int) -> None:
        """Put it where it is after some motion steps."""
        self.latitude_deg = self.gnss_latitude_deg = np.array([37.5665123 + 1.3e-6 * step])
        self.longitude_deg = self.gnss_longitude_deg = np.array([126.9780123 + 1.3e-6 * step])
        self.altitude_m = self.gnss_altitude_m = np.array([38.11 + 0.01 * step])
        self.heading_rad = np.array([2.1512 + 3e-4 * step])
        self.speed_mps = np.array([11.837 + 0.003 * step])
        self.acceleration_mps2 = np.array([0.413 + 0.01 * step])
        self.yaw_rate_radps = np.array([0.0213 + 3e-4 * step])
        self.imu_acceleration_mps2 = np.array([[0.413, -0.251, 9.811]]) + 0.001 * step
        self.imu_rate_radps = np.array([[0.00213, -0.00213, 0.02131]]) + 3e-4 * step


def typical_bytes(name: str, stream: Stream, thing: str) -> int:
    """Payload size that most messages of a stream have, within a few bytes.

    Args:
        name: Stream name.
        stream: The stream.
        thing: A thing name of usual length.
    """
    cars = _TypicalCars()
    encoder = StreamEncoder(
        name,
        stream,
        fleet="load",
        things=[thing],
        boot=_TYPICAL_BOOT,
        cars=cars,
        unix_s_at_zero=1_790_000_000.0,
    )
    due_s = 1234.567
    for step in range(HISTORY_STEPS + 1):
        cars.move(step)
        encoder.remember(due_s + (step / HISTORY_STEPS - 1.0) / stream.rate_hz)
    return len(encoder.encode([0], [12_345], [due_s])[0])


# Shadow reports


def shadow_report(
    thing: str, shadow: str, *, cars: CarArrays, element: int, number: int, boot: str
) -> tuple[str, bytes]:
    """Topic and payload of a report to a named shadow.

    Source: AWS IoT Core developer guide, "Device Shadow MQTT topics" and "Device Shadow service
    documents"; a client token has at most 64 bytes there.

    Args:
        thing: Thing name.
        shadow: Name of the shadow.
        cars: Arrays of the cars.
        element: Which element of the arrays is the car.
        number: Number of the report, from 0.
        boot: Identity of the run, at most 40 characters of ASCII; with the number it makes the
            client token.
    """
    position = (cars.latitude_deg, cars.longitude_deg)
    report = {
        "state": {
            "reported": {
                "latitude_deg": round(position[0].item(element), 7),
                "longitude_deg": round(position[1].item(element), 7),
                "heading_deg": round(cars.heading_rad.item(element) * DEG_PER_RAD, 2) % TURN_DEG,
                "speed_mps": round(cars.speed_mps.item(element), 2),
                "reports": number + 1,
            }
        },
        "clientToken": f"{boot}-{number}",
    }
    return f"$aws/things/{thing}/shadow/name/{shadow}/update", _encode(report)
