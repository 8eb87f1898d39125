"""What the broker needs of a version of MQTT: reading a client's packets and answering it.

A connection gets its dialect with its CONNECT. Packets are handed on as values of MQTT 5, which can
say everything that MQTT 3.1.1 can. Application messages are not written here but in `message`, so
that their bytes are shared. Knows nothing about connections, sessions or policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import mqtt5

    from simulator.iotcore.broker.handshake import Refusal, Terms
    from simulator.iotcore.broker.routes import PlainPublish


class Dialect(Protocol):
    """One version of MQTT.

    Attributes:
        level: Protocol level of CONNECT, 4 or 5.
        refuses_filters: Whether SUBACK refuses the filters that policies or rules do not allow.
            Otherwise such a SUBSCRIBE ends the connection.
        plain_publish: Takes a plain PUBLISH apart; see `routes`.
        decode: Decodes one complete packet of a client; raises `MalformedPacket` when it is none.
    """

    level: int
    refuses_filters: bool
    plain_publish: Callable[[bytes], PlainPublish | None]
    decode: Callable[[bytes], mqtt5.Packet]

    def accepted(self, terms: Terms, /, *, session_present: bool) -> bytes:
        """CONNACK for a connection that gets these terms."""
        ...

    def refused(self, refusal: Refusal, /) -> bytes:
        """CONNACK for a CONNECT that is refused; empty when the connection just closes."""
        ...

    def publish_refused(self, packet_id: int, code: int, /) -> bytes:
        """PUBACK with a reason code of MQTT 5; empty when PUBACK cannot refuse."""
        ...

    def subscribed(self, packet_id: int, codes: Sequence[int], /) -> bytes:
        """SUBACK with a reason code of MQTT 5 for each filter."""
        ...

    def unsubscribed(self, packet_id: int, filters: int, /) -> bytes:
        """UNSUBACK for this many filters, all of them a success."""
        ...

    def disconnect(self, code: int, text: str, /) -> bytes:
        """DISCONNECT with a reason code and text of MQTT 5; empty when there is no such packet."""
        ...
