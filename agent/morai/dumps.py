"""Datagrams written down as hexadecimal text, the way people paste them.

Owns the recognition of such text and its division into datagrams. It must not know files.
"""

from __future__ import annotations

import re

from agent.morai.catalogue import decode
from agent.morai.dialect import Dialect
from agent.morai.errors import DecodeError
from agent.morai.lidar import VELODYNE_BYTES, VELODYNE_MARK

_WITH_TAIL = Dialect(refuse_non_finite=False)
_HEX_TEXT = re.compile(rb"[0-9A-Fa-fxX\s,:]*")
_DECORATION = re.compile(r"0[xX]|[\s,:]")
_OPENING = re.compile(
    rb"#[A-Z][A-Za-z0-9]"  # the common frame
    rb"|\$[A-Z]{2}[A-Z0-9]{3},"  # NMEA
    rb"|MOR|BOX"  # camera
)


class HexTextError(ValueError):
    """Text that looks hexadecimal but is not a whole number of bytes."""


def is_hex_text(data: bytes) -> bool:
    """Whether bytes are hexadecimal text. No datagram of the protocol consists of such bytes."""
    return _HEX_TEXT.fullmatch(data) is not None and bool(data.strip())


def split_hex_text(text: str) -> list[bytes]:
    """Divide hexadecimal text into datagrams.

    A datagram may be spread over lines. A new one begins behind an empty line, behind a complete
    datagram, and on a line that opens like a datagram of the protocol. Spaces, commas, colons and
    `0x` are ignored.

    Args:
        text: Text that `is_hex_text` accepts.

    Raises:
        HexTextError: A line is not a whole number of bytes.
    """
    datagrams: list[bytearray] = []
    current: bytearray | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        digits = _DECORATION.sub("", line)
        if not digits:
            current = None
            continue
        try:
            data = bytes.fromhex(digits)
        except ValueError:
            raise HexTextError(
                f"line {number} is not a whole number of hexadecimal bytes"
            ) from None
        if current is None or _opens(data, current) or _is_complete(bytes(current)):
            current = bytearray()
            datagrams.append(current)
        current += data
    return [bytes(datagram) for datagram in datagrams]


def _is_complete(data: bytes) -> bool:
    try:
        decode(data, dialect=_WITH_TAIL)
    except DecodeError:
        return False
    return True


def _opens(line: bytes, before: bytearray) -> bool:
    if line.startswith(VELODYNE_MARK):
        # Every block inside a Velodyne packet begins with the same mark.
        return not before.startswith(VELODYNE_MARK) or len(before) >= VELODYNE_BYTES
    return _OPENING.match(line) is not None
