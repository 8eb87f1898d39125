"""Which blocks of a file a GetStream request asks for.

Pure arithmetic. Source: AWS IoT Core developer guide, "Using AWS IoT MQTT-based file delivery in
devices" (fields and ranges, "Build a bitmap for a GetStream request", error codes); AWS IoT Core
quotas (128 KB per request). Knows nothing about topics or streams.

What AWS does not say and was chosen here: `n` of 0 means the same as no `n`; requested blocks
behind the end of the file are left out, and when nothing remains that is ResourceNotFound.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK_BYTES_MIN: Final = 256
BLOCK_BYTES_MAX: Final = 131_072
REQUEST_BYTES_MAX: Final = 131_072
"""Of all blocks one request is answered with."""

BLOCKS_MAX: Final = 98_304
"""Highest offset and number of blocks: 24 MB in blocks of 256 bytes."""

BITMAP_BYTES_BELOW: Final = 12_288
CLIENT_TOKEN_BYTES_MAX: Final = 64
FILE_ID_MAX: Final = 255
VERSION_MAX: Final = 65_535

_HEX: Final = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})*)")


class StreamRefusal(Exception):  # noqa: N818 - not an error of ours: the answer to a request
    """A request that is refused.

    Args:
        code: `o` of the answer.
        message: `m` of the answer.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BlockRequest:
    """A GetStream request, checked.

    Args:
        document: Its members by their one-letter names.

    Attributes:
        version: Stream version the device expects, or None.
        file_id: The file.
        block_bytes: Size of a block.
        offset: First block.
        count: At most this many blocks, or None.
        bitmap: Bit 0 of byte 0 is the block at the offset; None asks for consecutive blocks.

    Raises:
        StreamRefusal: A member is missing, of another type or out of range.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.version = integer(document, "s", "InvalidRequest", 0, VERSION_MAX)
        file_id = integer(document, "f", "InvalidRequest", 0, FILE_ID_MAX)
        block_bytes = integer(
            document, "l", "BlockSizeOutOfBounds", BLOCK_BYTES_MIN, BLOCK_BYTES_MAX
        )
        if file_id is None or block_bytes is None:
            raise StreamRefusal("InvalidRequest", "The file id f and the block size l are required")
        self.file_id = file_id
        self.block_bytes = block_bytes
        self.offset = integer(document, "o", "OffsetOutOfBounds", 0, BLOCKS_MAX) or 0
        self.count = integer(document, "n", "BlockCountLimitExceeded", 0, BLOCKS_MAX) or None
        self.bitmap = _bitmap(document.get("b"))

    def blocks(self, file_bytes: int) -> list[int]:
        """Numbers of the blocks to send, in order, at most 128 KB of them.

        Args:
            file_bytes: Size of the file.

        Raises:
            StreamRefusal: ResourceNotFound when no block that is asked for exists.
        """
        available = -(-file_bytes // self.block_bytes) - self.offset
        most = max(1, REQUEST_BYTES_MAX // self.block_bytes)
        if self.count is not None:
            most = min(most, self.count)
        if self.bitmap is None:
            chosen = list(range(max(0, min(available, most))))
        else:
            chosen = _ones(self.bitmap, available, most)
        if not chosen:
            raise StreamRefusal("ResourceNotFound", "The requested blocks do not exist")
        return [self.offset + position for position in chosen]


def integer(
    document: Mapping[str, Any], name: str, code: str, lowest: int, highest: int
) -> int | None:
    """An integer member, or None when it is absent.

    Raises:
        StreamRefusal: InvalidRequest when it is no integer, `code` when it is out of range.
    """
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise StreamRefusal("InvalidRequest", f"{name} must be an integer")
    if not lowest <= value <= highest:
        raise StreamRefusal(code, f"{name} must be from {lowest} to {highest}")
    return value


def _bitmap(raw: Any) -> bytes | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        found = _HEX.fullmatch(raw)
        if found is None:
            raise StreamRefusal("InvalidRequest", "b must be hexadecimal")
        raw = bytes.fromhex(found[1])
    if not isinstance(raw, bytes):
        raise StreamRefusal("InvalidRequest", "b must be a bitmap")
    if len(raw) >= BITMAP_BYTES_BELOW:
        raise StreamRefusal(
            "BlockBitmapLimitExceeded", f"b must be less than {BITMAP_BYTES_BELOW} bytes"
        )
    return raw


def _ones(bitmap: bytes, below: int, most: int) -> list[int]:
    """Positions of the first `most` bits that are set and lie below a limit."""
    found: list[int] = []
    for index, byte in enumerate(bitmap):
        if byte and index * 8 < below:
            positions = (index * 8 + bit for bit in range(8) if byte >> bit & 1)
            found += [position for position in positions if position < below]
        if len(found) >= most:
            break
    return found[:most]
