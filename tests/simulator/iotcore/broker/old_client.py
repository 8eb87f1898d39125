"""A client of MQTT 3.1.1 for tests: its packets byte by byte from the tables of the specification.

Shares no code with the product, which reads and writes the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.iotcore.broker.peer import Peer
from tests.simulator.iotcore.conftest import Client

if TYPE_CHECKING:
    from tests.simulator.iotcore.conftest import Bench


class Publish(NamedTuple):
    """A PUBLISH that arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    packet_id: int | None


class Ack(NamedTuple):
    """Any other packet that arrived: its type and its body."""

    kind: int
    body: bytes


CONNACK, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 2, 4, 9, 11, 13, 14
PINGREQ = bytes((0xC0, 0))
GOODBYE = bytes((0xE0, 0))


def packet(first: int, body: bytes) -> bytes:
    """A packet with its Remaining Length (section 2.2.3)."""
    length = b""
    rest = len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([first]) + length + body


def text(value: str | bytes) -> bytes:
    """A string behind its two bytes of length (section 1.5.3)."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def connect(
    client_id: str,
    *,
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str, bytes, int, bool] | None = None,
    username: str | None = None,
    password: bytes | None = None,
) -> bytes:
    """CONNECT (section 3.1); a will is topic, payload, QoS and retain."""
    flags = 0x02 if clean else 0
    tail = text(client_id)
    if will is not None:
        topic, payload, qos, retain = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        tail += text(topic) + text(payload)
    if username is not None:
        flags |= 0x80
        tail += text(username)
    if password is not None:
        flags |= 0x40
        tail += text(password)
    return packet(0x10, text("MQTT") + bytes([4, flags]) + keep_alive.to_bytes(2, "big") + tail)


def publish(
    topic: str, payload: bytes = b"x", qos: int = 0, packet_id: int = 1, *, retain: bool = False
) -> bytes:
    """PUBLISH (section 3.3)."""
    number = packet_id.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1 | retain, text(topic) + number + payload)


def subscribe(*filters: tuple[str, int], packet_id: int = 9) -> bytes:
    """SUBSCRIBE (section 3.8)."""
    tail = b"".join(text(pattern) + bytes([qos]) for pattern, qos in filters)
    return packet(0x82, packet_id.to_bytes(2, "big") + tail)


def unsubscribe(*patterns: str, packet_id: int = 9) -> bytes:
    """UNSUBSCRIBE (section 3.10)."""
    return packet(0xA2, packet_id.to_bytes(2, "big") + b"".join(map(text, patterns)))


def puback(packet_id: int) -> bytes:
    """PUBACK (section 3.4)."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def split(data: bytes) -> list[Publish | Ack]:
    """The packets of a server, one after the other."""
    found: list[Publish | Ack] = []
    while data:
        first, position, length, shift = data[0], 1, 0, 0
        while True:
            length |= (data[position] & 0x7F) << shift
            shift += 7
            position += 1
            if data[position - 1] < 128:
                break
        body, data = data[position : position + length], data[position + length :]
        assert len(body) == length, "the server cut a packet"
        if first >> 4 != 3:
            found.append(Ack(first >> 4, body))
            continue
        qos = first >> 1 & 3
        end = 2 + int.from_bytes(body[:2], "big")
        number = int.from_bytes(body[end : end + 2], "big") if qos else None
        found.append(
            Publish(
                body[2:end].decode(),
                body[end + 2 :] if qos else body[end:],
                qos,
                bool(first & 1),
                bool(first & 8),
                number,
            )
        )
    return found


class OldClient(Client):
    """One connection to a `Bench` that speaks MQTT 3.1.1."""

    def __init__(self, bench: Bench, client_id: str = "old", **options: object) -> None:
        super().__init__(bench, Peer(bench.certificate, "192.0.2.7"))
        self.send(connect(client_id, **options))  # type: ignore[arg-type] # those of `connect`

    def take_in(self, data: bytes) -> None:
        """Make packets of what the broker wrote."""
        self.packets += split(data)

    def accepted(self) -> OldClient:
        """The same client, whose CONNECT was accepted."""
        assert self.acks(CONNACK)[0][1] == 0
        return self

    def acks(self, kind: int) -> list[bytes]:
        """Remove and give the bodies of the packets of one type."""
        found = [p.body for p in self.packets if isinstance(p, Ack) and p.kind == kind]
        self.packets = [p for p in self.packets if not isinstance(p, Ack) or p.kind != kind]
        return found

    def publishes(self) -> list[Publish]:
        """Remove and give the PUBLISH packets."""
        return self.take(Publish)

    def messages(self) -> list[tuple[str, bytes]]:
        """Remove and give topic and payload of the messages."""
        return [(each.topic, each.payload) for each in self.publishes()]

    def granted(self, *filters: tuple[str, int]) -> list[int]:
        """Subscribe and give the codes of the SUBACK."""
        self.send(subscribe(*filters))
        (body,) = self.acks(SUBACK)
        assert body[:2] == b"\x00\x09"
        return list(body[2:])
