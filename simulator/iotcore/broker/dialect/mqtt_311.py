"""MQTT 3.1.1: what it has of the answers of MQTT 5, which is little.

No reason codes in acknowledgements, no DISCONNECT from a server, no properties. The bytes are those
of the tables in "MQTT Version 3.1.1", OASIS Standard, chapter 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.dialect.reading_311 import read
from simulator.iotcore.broker.framing import remaining_length
from simulator.iotcore.broker.handshake import Reason
from simulator.iotcore.broker.routes import plain_publish_311
from simulator.iotcore.broker.wire import MQTT_3_1_1, PacketType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import mqtt5

    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.handshake import Refusal, Terms
    from simulator.iotcore.broker.routes import PlainPublish

UNACCEPTABLE_VERSION: Final = b"\x20\x02\x00\x01"
"""CONNACK with return code 1, "unacceptable protocol version" (section 3.2.2.3)."""

_IDENTIFIER_REJECTED: Final = 2
_BAD_USER_NAME_OR_PASSWORD: Final = 4
_HIGHEST_GRANT: Final = 1
_FAILURE: Final = 0x80


class Mqtt311:
    """See `dialect.Dialect`.

    Args:
        choices: Answers that AWS leaves open.
    """

    __slots__ = ("_choices", "decode", "level", "plain_publish", "refuses_filters")

    def __init__(self, choices: Choices) -> None:
        self.level = MQTT_3_1_1
        self.refuses_filters = False
        self.decode: Callable[[bytes], mqtt5.Packet] = read
        self.plain_publish: Callable[[bytes], PlainPublish | None] = plain_publish_311
        self._choices = choices

    def accepted(self, _terms: Terms, /, *, session_present: bool) -> bytes:
        """CONNACK with return code 0. Nothing in it tells the client what was adjusted."""
        return bytes((PacketType.CONNACK << 4, 2, session_present, 0))

    def refused(self, refusal: Refusal, /) -> bytes:
        """CONNACK with the return code, if there is one for the reason or one was chosen."""
        code = self._return_code(refusal)
        return b"" if code is None else bytes((PacketType.CONNACK << 4, 2, 0, code))

    def _return_code(self, refusal: Refusal) -> int | None:
        if refusal.cause is Cause.CONNECT_DENIED:
            return self._choices.connect_denied_return_code
        if refusal.code == Reason.QUOTA_EXCEEDED:
            return self._choices.connect_throttled_return_code
        if refusal.code == Reason.CLIENT_ID_NOT_VALID:
            return _IDENTIFIER_REJECTED
        if refusal.code == Reason.BAD_USER_NAME_OR_PASSWORD:
            return _BAD_USER_NAME_OR_PASSWORD
        return None

    def publish_refused(self, _packet_id: int, _code: int, /) -> bytes:
        """Nothing: a PUBACK of MQTT 3.1.1 is always a success."""
        return b""

    def subscribed(self, packet_id: int, codes: Sequence[int], /) -> bytes:
        """SUBACK: the granted QoS, or 0x80 "failure" (section 3.9.3)."""
        body = bytes(code if code <= _HIGHEST_GRANT else _FAILURE for code in codes)
        head = PacketType.SUBACK << 4
        return b"%c%b%b%b" % (
            head,
            remaining_length(len(body) + 2),
            packet_id.to_bytes(2, "big"),
            body,
        )

    def unsubscribed(self, packet_id: int, _filters: int, /) -> bytes:
        """UNSUBACK, which has no payload (section 3.11)."""
        return b"%c\x02%b" % (PacketType.UNSUBACK << 4, packet_id.to_bytes(2, "big"))

    def disconnect(self, _code: int, _text: str, /) -> bytes:
        """Nothing: only clients send DISCONNECT (section 3.14)."""
        return b""
