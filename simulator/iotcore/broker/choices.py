"""What to answer where AWS says that it refuses, and not how.

One frozen value. Each member is a question that the public documents leave open; its default is
what they come closest to, and the reason stands beside it. Return codes are those of MQTT 3.1.1
section 3.2.2.3, reason codes those of MQTT 5.0 section 2.4. What becomes of a publish above a rate
is chosen where the rates are, in `throttling.account`. Knows nothing about how an answer is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import mqtt5

_FIRST_ERROR: Final = 0x80
_FOUR_BYTES: Final = 0xFFFF_FFFF
_RETURN_CODES: Final = frozenset({None, 1, 2, 3, 4, 5, 7})


@dataclass(frozen=True, slots=True)
class Choices:
    """Answers of one broker.

    Attributes:
        connect_denied_return_code: CONNACK return code for a client of MQTT 3.1.1 whose CONNECT the
            policies refuse; None closes without CONNACK. The default is what people who measured
            the service report. 5 is "not authorized" in MQTT 3.1.1, 7 stood in older developer
            guides.
        connect_throttled_return_code: CONNACK return code for a client of MQTT 3.1.1 whose CONNECT
            is above a quota; None closes without CONNACK. The default, 3 "server unavailable", is
            the only one that asks to come back later.
        is_connect_throttling_answered: Whether a client of MQTT 5 in the same place gets CONNACK
            0x97, which AWS lists for CONNACK, or a close without one.
        do_too_many_filters_end: Whether a SUBSCRIBE with more filters than allowed ends the
            connection, with DISCONNECT 0x97 in MQTT 5. The default answers each filter, with 0x97
            or with 0x80 in MQTT 3.1.1: both codes exist for that, and a client can tell them from a
            broken network.
        does_qos_2_subscription_end: Whether a SUBSCRIBE at QoS 2 ends the connection, with
            DISCONNECT 0x9B in MQTT 5. The default follows the developer guide, "MQTT": for QoS 2
            the broker sends no SUBACK. Otherwise QoS 1 is granted, as MQTT-3.2.2-9 asks of a server
            whose Maximum QoS is 1.
        does_subscription_identifier_end: Whether a SUBSCRIBE with a Subscription Identifier ends
            the connection with DISCONNECT 0xA1, as MQTT 5.0 section 3.2.2.3.12 says. Otherwise each
            filter is answered 0xA1. AWS lists both.
        do_invalid_filters_end: Whether a filter that is invalid, too long or has too many slashes
            ends a connection of MQTT 3.1.1. The default is what is reported of topics. Otherwise
            the filter is answered 0x80.
        oversized_topic_code: Reason code of MQTT 5 for a PUBLISH to a topic that is too long or has
            too many slashes. 0x90 because AWS lists it for PUBACK and for DISCONNECT.
        oversized_filter_code: The same for a filter in a SUBSCRIBE. 0x8F for the same reason.
        payload_code: Reason code of DISCONNECT for a payload above the limit. AWS says that the
            connection is closed; 0x97 is the only code it lists that fits.
        packet_code: Reason code of DISCONNECT for a packet above the limit: 0x95, because MQTT 5.0
            section 3.1.2.11.4 names it. AWS does not list it, so 0x97 is as likely.
        small_client_packet_code: Reason code of CONNACK for a Maximum Packet Size below the least:
            0x80, because none of the others that AWS lists says it.
        announced_packet_bytes: Maximum Packet Size in CONNACK; None announces the limit in force.
            The quotas have 146 KB for a packet; the page about MQTT 5 says at most 128 KB, which is
            131,072. A client that keeps to the latter cannot send the largest payload.
    """

    connect_denied_return_code: int | None = None
    connect_throttled_return_code: int | None = 3
    is_connect_throttling_answered: bool = True
    do_too_many_filters_end: bool = False
    does_qos_2_subscription_end: bool = True
    does_subscription_identifier_end: bool = True
    do_invalid_filters_end: bool = True
    oversized_topic_code: int = 0x90
    oversized_filter_code: int = 0x8F
    payload_code: int = 0x97
    packet_code: int = 0x95
    small_client_packet_code: int = 0x80
    announced_packet_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check that every code exists where it is to be sent.

        Raises:
            ValueError: One does not.
        """
        for member in ("connect_denied_return_code", "connect_throttled_return_code"):
            if getattr(self, member) not in _RETURN_CODES:
                raise ValueError(f"{member}: CONNACK of MQTT 3.1.1 has no return code like that")
        for member, kinds in _CODES.items():
            code = getattr(self, member)
            if code < _FIRST_ERROR:
                raise ValueError(f"{member}: {code:#x} is no error")
            for kind in kinds:
                kind(code)
        if self.announced_packet_bytes is not None and not (
            1 <= self.announced_packet_bytes <= _FOUR_BYTES
        ):
            raise ValueError("announced_packet_bytes: must be from 1 to 4,294,967,295")


_CODES: Final = {
    "oversized_topic_code": (mqtt5.PubAckReasonCode, mqtt5.DisconnectReasonCode),
    "oversized_filter_code": (mqtt5.SubAckReasonCode,),
    "payload_code": (mqtt5.DisconnectReasonCode,),
    "packet_code": (mqtt5.DisconnectReasonCode,),
    "small_client_packet_code": (mqtt5.ConnAckReasonCode,),
}
"""Which packets a code is sent in."""
