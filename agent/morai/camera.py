"""Camera: JPEG images in chunks, `MOR`, and their annotations, `BOX`, without the common frame.

Owns the two datagrams and the bounded reassembly of a JPEG from its chunks. It must not know the
JPEG format.

    `MOR` | i32 sec, i32 nsec (23.R1 and later) | i32 chunk index | i32 valid bytes | JPEG | tail

The tail is `AI` when more chunks follow and `EI` on the last one. The simulator pads every datagram
to 65,000 bytes; some senders put the tail directly behind the valid bytes. One 65,000-byte datagram
travels as about 45 IP fragments, and losing one of them loses the whole image.

Bounding boxes follow MORAI's structure of 115 bytes a box. No capture of them is public, so treat
them as unverified; the older 179-byte boxes and the traffic-light boxes are refused.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/Camera.py`; MORAI SIM: Drive user manual
24.R2, sensor protocols.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from agent.morai.dialect import CameraLayout
from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason
from agent.morai.table import F32, U8, Binding, Field, Several

if TYPE_CHECKING:
    from agent.morai.dialect import Dialect

CHUNK_MARK = b"MOR"
BOX_MARK = b"BOX"
MORE = b"AI"
LAST = b"EI"
PADDED_BYTES = 65_000
_TIMED = struct.Struct("<3siiii")
_UNTIMED = struct.Struct("<3sii")
_TAIL_BYTES = 2


class CameraChunk(msgspec.Struct, frozen=True, gc=False):
    """A part of a JPEG image.

    Attributes:
        sec: Unix seconds, the same in all chunks of an image; `None` before 23.R1.
        nsec: Nanoseconds; `None` before 23.R1.
        index: Position of the chunk, from 0.
        data: The valid bytes.
        last: No chunk follows.
    """

    sec: int | None
    nsec: int | None
    index: int
    data: bytes
    last: bool


class BoundingBox(msgspec.Struct, frozen=True, gc=False):
    """One annotated object.

    Attributes:
        corners: Eight corners of the 3D box, x, y, z each.
        x_min: Left edge in the image.
        y_min: Upper edge in the image.
        x_max: Right edge in the image.
        y_max: Lower edge in the image.
        group: Group number.
        class_id: Class number.
        subclass_id: Subclass number.
    """

    corners: tuple[float, ...]
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    group: int
    class_id: int
    subclass_id: int


class BoundingBoxes(msgspec.Struct, frozen=True, gc=False):
    """The annotations of an image.

    Attributes:
        sec: Unix seconds of the image; `None` before 23.R1.
        nsec: Nanoseconds; `None` before 23.R1.
        index: Position of the datagram.
        declared_size: The size field, whose unit (boxes or bytes) is not documented.
        boxes: The annotated objects.
        last: No datagram follows.
    """

    sec: int | None
    nsec: int | None
    index: int
    declared_size: int
    boxes: tuple[BoundingBox, ...]
    last: bool = True


class CameraFrame(msgspec.Struct, frozen=True, gc=False):
    """A complete image.

    Attributes:
        sec: Unix seconds; `None` before 23.R1.
        nsec: Nanoseconds; `None` before 23.R1.
        jpeg: The file.
    """

    sec: int | None
    nsec: int | None
    jpeg: bytes


_BOX = Binding(
    BoundingBox,
    (
        Field(0, Several(F32, 24), "corners", "", "eight corners x, y, z"),
        Field(96, F32, "x_min", "px"),
        Field(100, F32, "y_min", "px"),
        Field(104, F32, "x_max", "px"),
        Field(108, F32, "y_max", "px"),
        Field(112, U8, "group"),
        Field(113, U8, "class_id"),
        Field(114, U8, "subclass_id"),
    ),
    115,
)


def _is_last(data: bytes) -> bool:
    tail = data[-_TAIL_BYTES:]
    if tail not in (MORE, LAST):
        raise DecodeError(DecodeReason.BAD_TAIL, f"ends with {tail.hex(' ')}, not AI or EI")
    return tail == LAST


def decode_chunk(data: bytes, dialect: Dialect) -> CameraChunk:
    """Read a `MOR` datagram.

    Raises:
        DecodeError: Its size, counts or tail are wrong.
    """
    timed = dialect.camera_layout is CameraLayout.TIMED
    header = _TIMED if timed else _UNTIMED
    if len(data) < header.size + _TAIL_BYTES:
        raise DecodeError(DecodeReason.WRONG_SIZE, f"{len(data)} bytes are too few for a chunk")
    sec: int | None = None
    nsec: int | None = None
    if timed:
        _, sec, nsec, index, size = _TIMED.unpack_from(data)
    else:
        _, index, size = _UNTIMED.unpack_from(data)
    room = len(data) - header.size - _TAIL_BYTES
    if not 0 <= size <= room or index < 0:
        raise DecodeError(
            DecodeReason.BAD_COUNT, f"chunk {index} declares {size} bytes, has room for {room}"
        )
    if size != room and len(data) != PADDED_BYTES:
        raise DecodeError(
            DecodeReason.WRONG_SIZE, f"{len(data)} bytes are neither {PADDED_BYTES} nor unpadded"
        )
    last = _is_last(data)
    return CameraChunk(sec, nsec, index, data[header.size : header.size + size], last)


def encode_chunk(chunk: CameraChunk, dialect: Dialect) -> bytes:
    """Write a `MOR` datagram, padded when the dialect says so.

    Raises:
        EncodeError: The chunk does not fit its datagram or its header.
    """
    header = _open(CHUNK_MARK, chunk, len(chunk.data), dialect)
    room = PADDED_BYTES - len(header) - _TAIL_BYTES
    if len(chunk.data) > room:
        raise EncodeError(
            EncodeReason.BAD_COUNT, f"a chunk of {len(chunk.data)} bytes, at most {room} fit"
        )
    body = header + chunk.data
    if dialect.camera_padded:
        body = body.ljust(PADDED_BYTES - _TAIL_BYTES, b"\0")
    return body + (LAST if chunk.last else MORE)


def _open(mark: bytes, part: CameraChunk | BoundingBoxes, size: int, dialect: Dialect) -> bytes:
    timed = dialect.camera_layout is CameraLayout.TIMED
    if (part.sec is None) is timed or (part.nsec is None) is timed:
        reason = EncodeReason.MISSING_VALUE if timed else EncodeReason.NOT_CARRIED
        raise EncodeError(reason, f"the {dialect.camera_layout.value} camera layout and the stamp")
    if part.index < 0:
        raise EncodeError(EncodeReason.OUT_OF_RANGE, f"index cannot be {part.index}")
    try:
        if timed:
            return _TIMED.pack(mark, part.sec, part.nsec, part.index, size)
        return _UNTIMED.pack(mark, part.index, size)
    except struct.error:
        raise EncodeError(EncodeReason.OUT_OF_RANGE, "stamp, index or size exceed int32") from None


def chunks_of(
    jpeg: bytes, sec: int | None, nsec: int | None, dialect: Dialect
) -> tuple[CameraChunk, ...]:
    """Cut an image into the chunks that carry it; an empty image is one empty chunk."""
    header = _TIMED if dialect.camera_layout is CameraLayout.TIMED else _UNTIMED
    room = PADDED_BYTES - header.size - _TAIL_BYTES
    parts = [jpeg[at : at + room] for at in range(0, len(jpeg), room)] or [b""]
    return tuple(
        CameraChunk(sec, nsec, index, part, index == len(parts) - 1)
        for index, part in enumerate(parts)
    )


def decode_boxes(data: bytes, dialect: Dialect) -> BoundingBoxes:
    """Read a `BOX` datagram.

    Raises:
        DecodeError: It is not a whole number of 115-byte boxes, or a value is refused.
    """
    timed = dialect.camera_layout is CameraLayout.TIMED
    header = _TIMED if timed else _UNTIMED
    count, rest = divmod(len(data) - header.size - _TAIL_BYTES, _BOX.table.size)
    if count < 0 or rest:
        raise DecodeError(
            DecodeReason.WRONG_SIZE, f"{len(data)} bytes are no whole number of 115-byte boxes"
        )
    last = _is_last(data)
    sec: int | None = None
    nsec: int | None = None
    if timed:
        _, sec, nsec, index, size = _TIMED.unpack_from(data)
    else:
        _, index, size = _UNTIMED.unpack_from(data)
    if index < 0:
        raise DecodeError(DecodeReason.BAD_COUNT, f"index {index}")
    boxes = tuple(
        _BOX.read(data, header.size + number * _BOX.table.size, dialect) for number in range(count)
    )
    return BoundingBoxes(sec, nsec, index, size, boxes, last)


def encode_boxes(message: BoundingBoxes, dialect: Dialect) -> bytes:
    """Write a `BOX` datagram.

    Raises:
        EncodeError: A value does not fit.
    """
    header = _open(BOX_MARK, message, message.declared_size, dialect)
    boxes = b"".join(_BOX.write(box, dialect) for box in message.boxes)
    if len(header) + len(boxes) + _TAIL_BYTES > PADDED_BYTES:
        raise EncodeError(EncodeReason.BAD_COUNT, f"{len(message.boxes)} boxes exceed a datagram")
    return header + boxes + (LAST if message.last else MORE)


@dataclass(frozen=True, slots=True)
class CameraLimits:
    """Bounds of the reassembly of one camera.

    Attributes:
        max_pending: Images in progress; the oldest is given up for a new one.
        max_chunks: Chunks of one image.
        max_bytes: Bytes of one image.
    """

    max_pending: int = 2
    max_chunks: int = 256
    max_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        if min(self.max_pending, self.max_chunks, self.max_bytes) < 1:
            raise ValueError("every limit of the camera reassembly must be at least 1")


@dataclass(slots=True)
class _Pending:
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    total: int | None = None


class CameraAssembler:
    """Puts the chunks of one camera together, one camera a port.

    Chunks of a stamped image may arrive in any order. Without stamps they must arrive in order,
    because nothing else says which image they belong to. At most `limits.max_pending` images of
    `limits.max_bytes` are held.

    Attributes:
        frames: Completed images.
        drops: Drops by cause. `incomplete`: an image given up for a newer one; `duplicate`: a
            chunk that was there already; `out_of_order`: an unstamped chunk that does not follow;
            `inconsistent`: a chunk behind the last one; `too_large`: a chunk or image over the
            limits.
    """

    def __init__(self, limits: CameraLimits | None = None) -> None:
        self._limits = limits or CameraLimits()
        self._pending: dict[tuple[int | None, int | None], _Pending] = {}
        self.frames = 0
        self.drops: Counter[str] = Counter()

    def add(self, chunk: CameraChunk) -> CameraFrame | None:
        """Take a chunk; returns the image when it is the one that completes it."""
        if chunk.index >= self._limits.max_chunks:
            self.drops["too_large"] += 1
            return None
        key = (chunk.sec, chunk.nsec)
        pending = self._pending.get(key)
        if pending is not None and self._starts_over(pending, chunk):
            self._give_up(key, "incomplete")
            pending = None
        if pending is not None and pending.chunks.get(chunk.index) == chunk.data:
            self.drops["duplicate"] += 1
            return None
        if chunk.sec is None and chunk.index != (len(pending.chunks) if pending else 0):
            self.drops["out_of_order"] += 1
            self._give_up(key, "incomplete")
            return None
        if pending is None:
            pending = self._begin(key)
        return self._store(key, pending, chunk)

    @staticmethod
    def _starts_over(pending: _Pending, chunk: CameraChunk) -> bool:
        """Stamps repeat, so another chunk with a known index is the next image."""
        held = pending.chunks.get(chunk.index)
        if held is None:
            return False
        return held != chunk.data or (chunk.sec is None and chunk.index == 0)

    def _begin(self, key: tuple[int | None, int | None]) -> _Pending:
        while len(self._pending) >= self._limits.max_pending:
            self._give_up(next(iter(self._pending)), "incomplete")
        pending = self._pending[key] = _Pending()
        return pending

    def _give_up(self, key: tuple[int | None, int | None], cause: str) -> None:
        if self._pending.pop(key, None) is not None:
            self.drops[cause] += 1

    def _store(
        self, key: tuple[int | None, int | None], pending: _Pending, chunk: CameraChunk
    ) -> CameraFrame | None:
        pending.chunks[chunk.index] = chunk.data
        pending.size += len(chunk.data)
        if chunk.last and pending.total is None:
            pending.total = chunk.index + 1
        if pending.size > self._limits.max_bytes:
            self._give_up(key, "too_large")
            return None
        total = pending.total
        if total is None:
            return None
        if (chunk.last and total != chunk.index + 1) or max(pending.chunks) >= total:
            self._give_up(key, "inconsistent")
            return None
        if len(pending.chunks) < total:
            return None
        del self._pending[key]
        self.frames += 1
        jpeg = b"".join(pending.chunks[index] for index in range(total))
        return CameraFrame(chunk.sec, chunk.nsec, jpeg)
