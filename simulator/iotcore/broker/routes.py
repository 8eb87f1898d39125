"""The short way for the packet that telemetry is made of: a plain PUBLISH on a known topic.

Plain means less than 16 KB, QoS 0 or 1, no RETAIN, no DUP, no properties. MQTT 3.1.1 has the same
packet without the byte that says so of the properties. Once a connection has
published on a topic, everything about its next plain PUBLISH there is known from the topic bytes:
that they are valid text and a valid topic, that the policies allow it, and who gets it. A `Route`
remembers that until the registry or the subscriptions change. Whatever is not plain or not known
takes the full way through the codec, with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simulator.iotcore.broker.session import Session
    from simulator.iotcore.broker.subscriptions import Match

ROUTES_MAX = 64
"""Routes per connection. Full: all are forgotten and learned anew."""

_QOS_0 = 0x30
_QOS_1 = 0x32
_CONTINUES = 0x80
_SHORTEST = 6
_SHORTEST_311 = 5


class Route(NamedTuple):
    """What is known about one topic of one connection.

    Attributes:
        topic: The topic.
        registry_revision: Registry for which the policies allow it.
        subscriptions_version: Subscriptions for which `match` holds.
        match: Who gets the message; None when nobody does.
    """

    topic: str
    registry_revision: int
    subscriptions_version: int
    match: Match[Session] | None


PlainPublish = tuple[bytes, int | None, int]
"""The topic with the two bytes of its length as they stand in the packet; the packet id, None at
QoS 0; the offset of the payload. A bare tuple, because one is made for every message."""


def plain_publish(wire: bytes) -> PlainPublish | None:
    """The parts of a plain PUBLISH of MQTT 5, or None when the packet is none.

    Nothing is checked: the topic may be any bytes, so it must be compared with one that went
    through the codec, and the packet id may be 0.
    """
    first = wire[0]
    if (first != _QOS_0 and first != _QOS_1) or len(wire) < _SHORTEST:  # noqa: PLR1714 - hot path
        return None
    if wire[1] < _CONTINUES:
        start = 2
    elif wire[2] < _CONTINUES:
        start = 3
    else:
        return None
    end = start + 2 + (wire[start] << 8 | wire[start + 1])
    if first == _QOS_0:
        if end >= len(wire) or wire[end]:
            return None
        return wire[start:end], None, end + 1
    if end + 2 >= len(wire) or wire[end + 2]:
        return None
    return wire[start:end], wire[end] << 8 | wire[end + 1], end + 3


def plain_publish_311(wire: bytes) -> PlainPublish | None:
    """The same of a PUBLISH of MQTT 3.1.1."""
    first = wire[0]
    if (first != _QOS_0 and first != _QOS_1) or len(wire) < _SHORTEST_311:  # noqa: PLR1714 - hot path
        return None
    if wire[1] < _CONTINUES:
        start = 2
    elif wire[2] < _CONTINUES:
        start = 3
    else:
        return None
    end = start + 2 + (wire[start] << 8 | wire[start + 1])
    if first == _QOS_0:
        if end > len(wire):
            return None
        return wire[start:end], None, end
    if end + 2 > len(wire):
        return None
    return wire[start:end], wire[end] << 8 | wire[end + 1], end + 2
