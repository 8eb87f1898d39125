"""Datagrams written by hand from the published byte tables, independently of the codec."""

from __future__ import annotations

import struct


def framed(
    name: bytes, payload: bytes, *, length: int | None = None, aux: bytes = bytes(12)
) -> bytes:
    """Name, little-endian length, twelve spare bytes, payload, CR LF."""
    declared = len(payload) if length is None else length
    return name + struct.pack("<i", declared) + aux + payload + b"\r\n"


def poke(data: bytes, offset: int, code: str, *values: object) -> bytes:
    """The same bytes with little-endian values written at an offset."""
    changed = bytearray(data)
    struct.pack_into("<" + code, changed, offset, *values)
    return bytes(changed)


def ego_status_e3() -> bytes:
    """An E3 ego status of 181 bytes in which every field has its own value."""
    data = framed(b"#MoraiInfo$", bytes(152))
    data = poke(data, 27, "ii", 1_700_000_000, 123_000_000)
    data = poke(data, 35, "bb", 2, 4)
    data = poke(data, 37, "f", 36.5)
    data = poke(data, 41, "i", 10_003)
    data = poke(data, 45, "24f", *(float(number) for number in range(1, 25)))
    return poke(data, 141, "38s", b"A2256W001086")
