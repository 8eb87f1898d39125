"""One client connection: its state, what it negotiated, and the bytes waiting to go out.

Which packet is allowed in which state is the table `ADMITTED` and nothing else: a packet type that
is not in the row of the current state is a protocol error. What a packet does is the broker's
business; this module does not know the broker.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.iotcore.broker.framing import Framer
from simulator.iotcore.broker.wire import PacketType

if TYPE_CHECKING:
    from simulator.iotcore.broker.authorization import Authorizer
    from simulator.iotcore.broker.dialect.dialect import Dialect
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.broker.routes import Route
    from simulator.iotcore.broker.session import Session, Will


class State(IntEnum):
    """Where a connection is in its life."""

    AWAITING_CONNECT = 0
    CONNECTED = 1
    CLOSED = 2


class Step(Enum):
    """What the broker does with an admitted packet."""

    CONNECT = auto()
    PUBLISH = auto()
    ACKNOWLEDGE = auto()
    SUBSCRIBE = auto()
    UNSUBSCRIBE = auto()
    PING = auto()
    DISCONNECT = auto()


# PUBREC, PUBREL, PUBCOMP and AUTH are not supported by AWS IoT Core; packets only a server sends
# and a second CONNECT are protocol errors as well (developer guide, "MQTT"; MQTT-3.1.0-2).
ADMITTED: Final[dict[State, dict[PacketType, Step]]] = {
    State.AWAITING_CONNECT: {PacketType.CONNECT: Step.CONNECT},
    State.CONNECTED: {
        PacketType.PUBLISH: Step.PUBLISH,
        PacketType.PUBACK: Step.ACKNOWLEDGE,
        PacketType.SUBSCRIBE: Step.SUBSCRIBE,
        PacketType.UNSUBSCRIBE: Step.UNSUBSCRIBE,
        PacketType.PINGREQ: Step.PING,
        PacketType.DISCONNECT: Step.DISCONNECT,
    },
    State.CLOSED: {},
}


class Ending(Enum):
    """How the transport is to be closed."""

    AFTER_SENDING = auto()
    """Send what is waiting, then close."""
    AT_ONCE = auto()
    """Drop what is waiting and close."""


class Output(NamedTuple):
    """What the shell must do for one connection.

    Attributes:
        connection_id: Which one.
        data: Bytes to write; may be empty.
        ending: Whether and how to close after writing.
        reading: False to read no more from it, True to read again; None changes nothing.
    """

    connection_id: int
    data: bytes
    ending: Ending | None
    reading: bool | None = None


class Connection:
    """State of one transport connection.

    Args:
        connection_id: Unique in the broker's life.
        peer: Certificate and address of the other end.
        packet_bytes_max: Bound of inbound packets.
        now_s: The time now.

    Attributes:
        dialect: Its version of MQTT; there once CONNECT says which.
        is_full: Whether the transport holds more than it likes to.
        is_held: Whether it is ahead of its throughput, and so neither read nor written.
        is_behind: Whether it is not read until the transport takes bytes again.
        is_writable: Neither full nor held. Otherwise nothing is handed to the transport and
            `outgoing` grows up to the broker's bounds.
        reading: What the shell is yet to be told about reading; see `Output`.
        routes: What was learned about plain publishes, by topic bytes.
        client_packet_bytes_max: Larger packets are not sent to this client.
        send_window: QoS 1 deliveries in flight to this client.
        acknowledgements_unsent: PUBACKs produced since the transport became unwritable.
        last_packet_s: When the last complete packet arrived.
        connected_at_s: When CONNECT was accepted.
        publishes_in: PUBLISH packets received.
        publishes_out: PUBLISH packets sent.
    """

    __slots__ = (
        "acknowledgements_unsent",
        "aliases",
        "authorizer",
        "client_id",
        "client_packet_bytes_max",
        "connected_at_s",
        "connection_id",
        "dialect",
        "ending",
        "exclusive_thing",
        "framer",
        "is_behind",
        "is_full",
        "is_held",
        "is_listed",
        "is_writable",
        "keep_alive_s",
        "last_packet_s",
        "outgoing",
        "outgoing_bytes",
        "peer",
        "publishes_in",
        "publishes_out",
        "reading",
        "routes",
        "send_window",
        "session",
        "session_identifier",
        "state",
        "version_number",
        "will",
    )

    dialect: Dialect

    def __init__(self, connection_id: int, peer: Peer, packet_bytes_max: int, now_s: float) -> None:
        self.connection_id = connection_id
        self.peer = peer
        self.state = State.AWAITING_CONNECT
        self.framer = Framer(packet_bytes_max)
        self.client_id = ""
        self.session: Session | None = None
        self.session_identifier = ""
        self.version_number = 0
        self.exclusive_thing: str | None = None
        self.authorizer: Authorizer | None = None
        self.will: Will | None = None
        self.aliases: dict[int, str] = {}
        self.routes: dict[bytes, Route] = {}
        self.keep_alive_s = 0
        self.last_packet_s = now_s
        self.connected_at_s = now_s
        self.client_packet_bytes_max = packet_bytes_max
        self.send_window = 0
        self.acknowledgements_unsent = 0
        self.publishes_in = 0
        self.publishes_out = 0
        self.outgoing: list[bytes] = []
        self.outgoing_bytes = 0
        self.is_behind = False
        self.is_full = False
        self.is_held = False
        self.is_writable = True
        self.reading: bool | None = None
        self.is_listed = False
        self.ending: Ending | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.connection_id} {self.client_id!r} {self.state.name}>"
