"""The CONNECT of a client, held back and read for its credentials before the broker gets it.

A custom authorizer is asked for what MQTT puts into the first packet. Reads both versions of MQTT
and only the fields an authorizer is shown; the broker judges the packet as a whole later. Total:
any bytes give credentials or None. Knows nothing about authorizers or transports.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from simulator.iotcore.broker.framing import Framer

CONNECT: Final = 0x10
"""First byte of a CONNECT."""

_MQTT_3_1_1: Final = 4
_MQTT_5: Final = 5
_WILL: Final = 0x04
_PASSWORD: Final = 0x40
_USER_NAME: Final = 0x80
_LENGTH_BYTES_MAX: Final = 4


class Credentials(NamedTuple):
    """What a CONNECT says of its sender.

    Attributes:
        client_id: Empty when the broker is to choose one.
        user_name: None when there is none.
        password: None when there is none.
    """

    client_id: str
    user_name: str | None
    password: bytes | None

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r})"


class HeldPacket:
    """The bytes of a connection until its first packet is complete.

    Args:
        packet_bytes_max: Largest packet. What is held never exceeds it by more than one read.

    Attributes:
        data: Everything so far, for the broker.
    """

    __slots__ = ("_framer", "data", "packet")

    def __init__(self, packet_bytes_max: int) -> None:
        self._framer = Framer(packet_bytes_max)
        self.data = b""
        self.packet: bytes | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once there is nothing more to wait for."""
        self.data += data
        if self.packet is None:
            packets = self._framer.feed(data)
            if packets:
                self.packet = packets[0]
        return self.packet is not None or self._framer.fault is not None

    def credentials(self) -> Credentials | None:
        """Those of the packet, or None when it is no CONNECT that can be read."""
        return read_credentials(self.packet) if self.packet is not None else None


def read_credentials(packet: bytes) -> Credentials | None:
    """The credentials in a CONNECT, or None when it is none or is damaged.

    Layout: MQTT 3.1.1 section 3.1, MQTT 5.0 section 3.1.

    Args:
        packet: One whole packet.
    """
    try:
        return _Reader(packet).credentials()
    except (IndexError, UnicodeDecodeError, ValueError):
        return None


class _Reader:
    """Takes fields off a packet; raises IndexError at its end, ValueError when it is no CONNECT."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._position = 1

    def credentials(self) -> Credentials:
        if self._packet[0] != CONNECT:
            raise ValueError("no CONNECT")
        self._variable_integer()
        if self._binary() != b"MQTT":
            raise ValueError("not MQTT")
        level = self._take(1)[0]
        flags = self._take(1)[0]
        if level not in {_MQTT_3_1_1, _MQTT_5}:
            raise ValueError("another version")
        self._take(2)
        self._properties(level)
        client_id = self._binary().decode()
        if flags & _WILL:
            self._properties(level)
            self._binary()
            self._binary()
        user_name = self._binary().decode() if flags & _USER_NAME else None
        password = self._binary() if flags & _PASSWORD else None
        return Credentials(client_id, user_name, password)

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._packet):
            raise IndexError
        taken = self._packet[self._position : end]
        self._position = end
        return taken

    def _binary(self) -> bytes:
        return self._take(int.from_bytes(self._take(2), "big"))

    def _properties(self, level: int) -> None:
        if level == _MQTT_5:
            self._take(self._variable_integer())

    def _variable_integer(self) -> int:
        value = 0
        for shift in range(0, 7 * _LENGTH_BYTES_MAX, 7):
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return value
        raise ValueError("length of five bytes")
