from __future__ import annotations

import contextlib

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.wire import Decoder, MalformedPacket, connect_level


def test_decodes_what_a_client_sends() -> None:
    """A PUBLISH with every property comes out as it went in."""
    sent = mqtt5.PublishPacket(
        "t/é",
        b"\xff\x00",
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=0x8081,
        content_type="a",
        correlation_data=b"\xff",
        user_properties=[("k", "ü")],
        message_expiry_interval=0xFFFFFFFF,
    )
    found = Decoder().decode(sent.write())
    assert isinstance(found, mqtt5.PublishPacket)
    assert (found.topic, found.payload, found.packet_id) == ("t/é", b"\xff\x00", 0x8081)
    assert found.user_properties == [("k", "ü")]


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("topic that is not UTF-8", "3006 0002 fffe 00 78"),
        ("surrogate in a topic", "3007 0003 eda080 00 78"),
        ("U+0000 in a topic", "3006 0003 610062 00"),
        ("packet id 0 in PUBLISH", "3209 0003 612f62 0000 00 78"),
        ("DUP at QoS 0", "3807 0003 612f62 00 78"),
        ("QoS 3", "36080003612f62000100"),
        ("user property that is not UTF-8", "300b 0001 61 07 26 0001 ff 0001 62"),
        ("unknown property", "3006 0001 61 02 7e00"),
        ("PUBLISH cut in the topic", "3003 0009 61"),
        ("PUBLISH cut before the properties", "3003 0001 61"),
        ("empty SUBSCRIBE", "8203000100"),
        ("SUBSCRIBE with packet id 0", "8207 0000 00 0001 61 01"),
        ("SUBSCRIBE with reserved options", "8207 0001 00 0001 61 c0"),
        ("SUBSCRIBE with reserved flags", "8007 0001 00 0001 61 01"),
        ("UNSUBSCRIBE without filters", "a203000100"),
        ("UNSUBSCRIBE of text that is not UTF-8", "a206 0001 00 0001 ff"),
        ("PUBACK with packet id 0", "40020000"),
        ("CONNECT with the reserved flag", "101000044d5154540503003c000003616263"),
        ("CONNECT with will QoS and no will", "101000044d515454050a003c000003616263"),
        ("CONNECT with bytes behind it", "101100044d5154540502003c0000036162637a"),
        ("DISCONNECT with an unknown code", "e0027700"),
        ("DISCONNECT whose reason is not UTF-8", "e006 00 04 1f 0001 ff"),
        ("PINGREQ with a body", "c00100"),
        ("packet type 0", "0000"),
    ],
)
def test_refuses_malformed_packets(what: str, data: str) -> None:
    """Everything MQTT 5.0 calls malformed is one typed error, codec aborts included."""
    packet = bytes.fromhex(data)
    assert packet[1] == len(packet) - 2, what
    with pytest.raises(MalformedPacket):
        Decoder().decode(packet)


def test_does_not_let_the_codec_print(capfd: pytest.CaptureFixture[str]) -> None:
    """Hostile text writes nothing to the operator's terminal."""
    for data in ("30060002fffe0078", "a2060001000001ff", "e00600041f0001ff"):
        with pytest.raises(MalformedPacket):
            Decoder().decode(bytes.fromhex(data))
    assert capfd.readouterr() == ("", "")


@given(st.binary(min_size=2, max_size=80))
def test_random_bytes_decode_or_are_malformed(data: bytes) -> None:
    """Any bytes give a packet or `MalformedPacket`."""
    with contextlib.suppress(MalformedPacket):
        Decoder().decode(data)


_SEED = mqtt5.ConnectPacket(
    "id",
    username="u",
    password=b"p",
    will=mqtt5.Will("w", payload=b"x", content_type="c", user_properties=[("a", "b")]),
    user_properties=[("ab", "cd")],
    receive_max=7,
).write()


@given(st.integers(2, len(_SEED) - 1), st.integers(0, 255))
def test_one_changed_byte_of_a_connect_decodes_or_is_malformed(where: int, value: int) -> None:
    """Damage anywhere in a CONNECT is caught or harmless."""
    data = _SEED[:where] + bytes([value]) + _SEED[where + 1 :]
    with contextlib.suppress(MalformedPacket):
        Decoder().decode(data)


def test_reads_the_protocol_level_before_decoding() -> None:
    """MQTT 3.1, 3.1.1 and 5 are told apart; other packets and names are none of them."""
    assert connect_level(mqtt5.ConnectPacket("c").write()) == 5
    assert connect_level(bytes.fromhex("100f00044d5154540402003c0003616263")) == 4
    assert connect_level(bytes.fromhex("101100064d51497364700302003c0003616263")) == 3
    assert connect_level(bytes.fromhex("100f00044e5154540402003c0003616263")) is None
    assert connect_level(b"\xc0\x00") is None
    assert connect_level(b"\x10\x00") is None
