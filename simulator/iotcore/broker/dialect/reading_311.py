"""One packet of a client of MQTT 3.1.1 as the value that the broker knows from MQTT 5.

Total: a packet or `MalformedPacket`. Strict where the specification says that the server must close
the connection (MQTT 3.1.1 section 4.8): reserved flags, lengths, UTF-8, U+0000, packet id 0, empty
filter lists, QoS 3. Knows nothing about connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import mqtt5

from simulator.iotcore.broker.wire import MQTT_3_1_1, Cursor, MalformedPacket, PacketType

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_EXPIRES: Final = 0xFFFF_FFFF
"""Session Expiry Interval that stands for Clean Session 0 (MQTT 5.0 section 3.1.2.11.2)."""

_QOS: Final = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE, mqtt5.QoS.EXACTLY_ONCE)
_RESERVED_QOS: Final = 3

_RESERVED_FLAG: Final = 0b0000_0001
_CLEAN_SESSION: Final = 0b0000_0010
_WILL_FLAG: Final = 0b0000_0100
_WILL_RETAIN: Final = 0b0010_0000
_WILL_DETAILS: Final = 0b0011_1000
_PASSWORD_FLAG: Final = 0b0100_0000
_USER_NAME_FLAG: Final = 0b1000_0000


def read(packet: bytes) -> mqtt5.Packet:
    """Decode one complete packet.

    Args:
        packet: One packet as `framing.Framer` cuts it.

    Raises:
        MalformedPacket: It is none that a client may send.
    """
    first = packet[0]
    kind = first >> 4
    flags, reader = _READERS.get(kind, (-1, _publish))
    if first & 0x0F != flags and kind != PacketType.PUBLISH:
        raise MalformedPacket(f"packet type {kind} is not understood (MQTT-2.2.2-2)")
    try:
        return reader(Cursor(packet), first)
    except (ValueError, IndexError) as error:
        # Not UTF-8, a topic that the value does not take, or no end of the Remaining Length.
        raise MalformedPacket(str(error)) from error


def _publish(cursor: Cursor, first: int) -> mqtt5.Packet:
    qos = first >> 1 & 0b11
    duplicate = bool(first & 0b1000)
    if qos == _RESERVED_QOS:
        raise MalformedPacket("QoS 3 (MQTT-3.3.1-4)")
    if duplicate and not qos:
        raise MalformedPacket("DUP must be 0 in QoS 0 (MQTT-3.3.1-2)")
    topic = cursor.text()
    if not topic:
        raise MalformedPacket("a topic name needs a character (MQTT-4.7.3-1)")
    packet_id = cursor.packet_id() if qos else None
    return mqtt5.PublishPacket(
        topic,
        cursor.rest(),
        qos=_QOS[qos],
        retain=bool(first & 1),
        packet_id=packet_id,
        duplicate=duplicate,
    )


def _connect(cursor: Cursor, _first: int) -> mqtt5.Packet:
    if cursor.text() != "MQTT" or cursor.byte() != MQTT_3_1_1:
        raise MalformedPacket("not a CONNECT of MQTT 3.1.1")
    flags = cursor.byte()
    _check_connect_flags(flags)
    keep_alive = cursor.uint16()
    client_id = cursor.text()
    is_clean = bool(flags & _CLEAN_SESSION)
    will = None
    if flags & _WILL_FLAG:
        topic = cursor.text()
        will = mqtt5.Will(
            topic,
            payload=cursor.binary(),
            qos=_QOS[flags >> 3 & 0b11],
            retain=bool(flags & _WILL_RETAIN),
        )
    username = cursor.text() if flags & _USER_NAME_FLAG else None
    password = cursor.binary() if flags & _PASSWORD_FLAG else None
    _check_end(cursor)
    return mqtt5.ConnectPacket(
        client_id,
        username=username,
        password=password,
        clean_start=is_clean,
        will=will,
        keep_alive=keep_alive,
        session_expiry_interval=0 if is_clean else NEVER_EXPIRES,
    )


def _check_connect_flags(flags: int) -> None:
    if flags & _RESERVED_FLAG:
        raise MalformedPacket("the reserved CONNECT flag is set (MQTT-3.1.2-3)")
    if flags & _WILL_DETAILS and not flags & _WILL_FLAG:
        raise MalformedPacket("will QoS or retain without a will (MQTT-3.1.2-13, 3.1.2-15)")
    if flags >> 3 & 0b11 == _RESERVED_QOS:
        raise MalformedPacket("a will at QoS 3 (MQTT-3.1.2-14)")
    if flags & _PASSWORD_FLAG and not flags & _USER_NAME_FLAG:
        raise MalformedPacket("a password without a user name (MQTT-3.1.2-22)")


def _puback(cursor: Cursor, _first: int) -> mqtt5.Packet:
    packet_id = cursor.packet_id()
    _check_end(cursor)
    return mqtt5.PubAckPacket(packet_id)


def _subscribe(cursor: Cursor, _first: int) -> mqtt5.Packet:
    packet_id = cursor.packet_id()
    filters: list[mqtt5.TopicFilter] = []
    while cursor.remaining:
        pattern = cursor.text()
        qos = cursor.byte()
        if qos >= _RESERVED_QOS:
            raise MalformedPacket("a requested QoS above 2 (MQTT-3.8.3-4)")
        filters.append(mqtt5.TopicFilter(pattern, max_qos=_QOS[qos], retain_as_published=False))
    if not filters:
        raise MalformedPacket("no topic filter (MQTT-3.8.3-3)")
    return mqtt5.SubscribePacket(packet_id, filters)


def _unsubscribe(cursor: Cursor, _first: int) -> mqtt5.Packet:
    packet_id = cursor.packet_id()
    patterns: list[str] = []
    while cursor.remaining:
        patterns.append(cursor.text())
    if not patterns:
        raise MalformedPacket("no topic filter (MQTT-3.10.3-2)")
    return mqtt5.UnsubscribePacket(packet_id, patterns)


def _pingreq(cursor: Cursor, _first: int) -> mqtt5.Packet:
    _check_end(cursor)
    return mqtt5.PingReqPacket()


def _disconnect(cursor: Cursor, _first: int) -> mqtt5.Packet:
    _check_end(cursor)
    return mqtt5.DisconnectPacket()


def _check_end(cursor: Cursor) -> None:
    if cursor.remaining:
        raise MalformedPacket("bytes after the end of the packet")


_READERS: Final[dict[int, tuple[int, Callable[[Cursor, int], mqtt5.Packet]]]] = {
    PacketType.CONNECT: (0b0000, _connect),
    PacketType.PUBACK: (0b0000, _puback),
    PacketType.SUBSCRIBE: (0b0010, _subscribe),
    PacketType.UNSUBSCRIBE: (0b0010, _unsubscribe),
    PacketType.PINGREQ: (0b0000, _pingreq),
    PacketType.DISCONNECT: (0b0000, _disconnect),
}
"""Fixed-header flags and reader by packet type (MQTT 3.1.1 table 2.2); PUBLISH has its own."""
