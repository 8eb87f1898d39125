"""The frame that most messages share: name, length, twelve spare bytes, payload, CR LF.

    offset 0                L          L+4                L+16               L+16+N
           | '#' Name '$'   | int32 N  | 12 bytes "aux"   | payload N bytes  | 0x0D 0x0A |

Owns the frame's constants, its writing and the finding of the name. Integers and floats are
little-endian, nothing is aligned. The length N counts the payload only and is written but not
trusted: real IMU packets declare another length than they have. The spare bytes are written as
zero and ignored on reading.

Source: MORAI SIM: Drive user manual 24.R2, "UDP communication message"; the structures of
MORAI_UDP_NetworkModule branch 24.R2.0.
"""

from __future__ import annotations

import struct

TAIL = b"\r\n"
LENGTH_BYTES = 4
AUX_BYTES = 12
FRAME_BYTES = LENGTH_BYTES + AUX_BYTES + len(TAIL)
"""Bytes of a datagram that are neither name nor payload."""

LONGEST_NAME = 32
"""A name that does not end within this many bytes is no name."""

_LENGTH = struct.Struct("<i")


def name_of(data: bytes) -> bytes:
    """The `#Name$` at the start of a datagram, or nothing when there is none."""
    if not data.startswith(b"#"):
        return b""
    return data[: data.find(b"$", 1, LONGEST_NAME) + 1]


def payload_offset(name: bytes) -> int:
    """Where the payload of messages with this name begins."""
    return len(name) + LENGTH_BYTES + AUX_BYTES


def opening(name: bytes, data_length: int, up_to: int) -> bytes:
    """Name, length and zero bytes up to the first field.

    Args:
        name: The `#Name$`.
        data_length: The length to declare.
        up_to: Offset of the first field: the end of the spare bytes, or within them for the
            generations that keep fields there.
    """
    return (name + _LENGTH.pack(data_length)).ljust(up_to, b"\0")


def declaring(data: bytes, name: bytes, data_length: int) -> bytes:
    """The same datagram with another declared payload length."""
    return name + _LENGTH.pack(data_length) + data[len(name) + LENGTH_BYTES :]


def declared_length(data: bytes, name: bytes) -> int:
    """The payload length that a datagram declares; it must be longer than its name and length."""
    return int(_LENGTH.unpack_from(data, len(name))[0])


def aux_of(data: bytes, name: bytes) -> bytes:
    """The spare bytes of a datagram."""
    start = len(name) + LENGTH_BYTES
    return data[start : start + AUX_BYTES]
