"""One packet of a server as a typed value, totally: a packet or `MalformedPacket`, nothing else.

Knows the packets that a server may send to a client that neither publishes nor subscribes at QoS 2,
never unsubscribes and brings no enhanced authentication; the client takes PUBACK by itself, since
that is every other packet of a fleet. Knows nothing about connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.iotcore.broker.wire import (
    Decoder,
    MalformedPacket,
    PacketType,
    check_properties,
    read_checked,
)

if TYPE_CHECKING:
    import mqtt5

_PUBLISH: Final = 3
_CONTINUES: Final = 0x80
# Packet type to the bytes between its fixed header and its properties.
_PROPERTIES_AT: Final[dict[int, int]] = {
    PacketType.CONNACK: 2,
    PacketType.SUBACK: 2,
    PacketType.DISCONNECT: 1,
}
_DECODER: Final = Decoder()


def decoded(packet: bytes) -> mqtt5.Packet:
    """Decode one complete packet.

    Args:
        packet: One packet as `simulator.iotcore.broker.framing.Framer` cuts it.

    Raises:
        MalformedPacket: It is none, or none that a server may send.
    """
    if packet[0] >> 4 == _PUBLISH:
        return _DECODER.decode(packet)
    return read_checked(packet, _check)


def _check(packet: bytes) -> None:
    """Check what the codec does not survive: text that is not UTF-8."""
    kind = packet[0] >> 4
    if kind == PacketType.PINGRESP:
        return
    properties_at = _PROPERTIES_AT.get(kind)
    if properties_at is None:
        raise MalformedPacket("no packet that a server sends to this client")
    body = 1
    while packet[body] >= _CONTINUES:
        body += 1
    start = body + 1 + properties_at
    # A DISCONNECT may end before its properties.
    if start < len(packet):
        check_properties(packet, start)
