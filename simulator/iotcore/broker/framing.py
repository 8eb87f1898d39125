"""Cutting a byte stream into MQTT packets without looking inside them.

Owns the fixed header: the packet type byte and the Remaining Length (MQTT 5.0 section 2.1). Holds
at most one packet of bytes, never more than the bound it was given.
"""

from __future__ import annotations

from enum import Enum, auto

_LENGTH_BYTES_MAX = 4
_CONTINUES = 0x80


class FramingFault(Enum):
    """Why a stream cannot be cut any further."""

    TOO_LARGE = auto()
    """A packet announces more bytes than the bound (MQTT 5.0 reason code 0x95)."""
    MALFORMED_LENGTH = auto()
    """The Remaining Length has five bytes or is not the shortest form (reason code 0x81)."""


def remaining_length(count: int) -> bytes:
    """The bytes of a Remaining Length in its shortest form (MQTT 5.0 section 1.5.5)."""
    encoded = bytearray()
    while count >= _CONTINUES:
        encoded.append(count & 0x7F | _CONTINUES)
        count >>= 7
    encoded.append(count)
    return bytes(encoded)


class Framer:
    """One direction of one connection.

    Args:
        packet_bytes_max: Largest packet, header included.

    Attributes:
        fault: Set once the stream is beyond repair; from then on everything fed is ignored.
    """

    __slots__ = ("_needed", "_packet_bytes_max", "_partial", "fault")

    def __init__(self, packet_bytes_max: int) -> None:
        self._packet_bytes_max = packet_bytes_max
        self._partial = bytearray()
        # Bytes that make the next step possible; 0 when no byte of a packet is held.
        self._needed = 0
        self.fault: FramingFault | None = None

    @property
    def is_between_packets(self) -> bool:
        """Whether no byte of an unfinished packet is held."""
        return not self._needed

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and give the packets they complete, in order.

        Never raises. Packets before a fault are still given; then `fault` is set.
        """
        if self.fault is not None:
            return []
        if not self._needed:
            # Nearly always the data is exactly one packet of less than 16 KB: nothing to cut.
            size = len(data)
            if 2 < size <= self._packet_bytes_max:  # noqa: PLR2004 - the shortest fixed header
                low = data[1]
                if low < _CONTINUES:
                    if low + 2 == size:
                        return [data]
                elif 0 < data[2] < _CONTINUES and (low & 0x7F | data[2] << 7) + 3 == size:
                    return [data]
        else:
            self._partial += data
            if len(self._partial) < self._needed:
                return []
            data = bytes(self._partial)
            self._partial.clear()
            self._needed = 0
        packets: list[bytes] = []
        position = 0
        available = len(data)
        while position < available:
            end = self._end_of_packet(data, position)
            if isinstance(end, FramingFault):
                self.fault = end
                return packets
            if end > available:
                self._needed = end - position
                self._partial += data[position:]
                break
            packets.append(data[position:end])
            position = end
        return packets

    def _end_of_packet(self, data: bytes, start: int) -> int | FramingFault:
        """Where the packet ends; beyond the data when it or its header is incomplete."""
        length = 0
        position = start + 1
        for shift in range(0, 7 * _LENGTH_BYTES_MAX, 7):
            if position >= len(data):
                return position + 1
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < _CONTINUES:
                if byte == 0 and shift:
                    break
                if position - start + length > self._packet_bytes_max:
                    return FramingFault.TOO_LARGE
                return position + length
        return FramingFault.MALFORMED_LENGTH
