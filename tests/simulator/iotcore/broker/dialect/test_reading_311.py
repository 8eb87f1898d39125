"""MQTT 3.1.1 packets against the byte tables of the specification and of real clients."""

from __future__ import annotations

import contextlib

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.dialect.reading_311 import read
from simulator.iotcore.broker.wire import MalformedPacket

# What the clients put on the wire for the same session; the user name of the AWS SDK is shortened.
PAHO = {
    "connect": "101e 0004 4d515454 04 ee 003c 0004 7061686f 0001 77 0003 627965 0001 75 0001 70",
    "subscribe": "820c 0001 0003 612f23 01 0001 62 00",
    "publish": "3209 0003 612f62 0002 6869",
    "retained": "3107 0003 612f62 6869",
    "unsubscribe": "a207 0004 0003 612f23",
    "disconnect": "e000",
}
AWSCRT = {
    "connect": "1015 0004 4d515454 04 80 04b0 0003 637274 0004 3f53444b",
    "subscribe": "8208 0001 0003 612f23 01",
    "publish": "3209 0003 612f62 0002 6869",
    "unsubscribe": "a207 0003 0003 612f23",
    "disconnect": "e000",
}


def of(data: str) -> mqtt5.Packet:
    """The packet of some hexadecimal digits."""
    packet = bytes.fromhex(data)
    assert packet[1] == len(packet) - 2, data
    return read(packet)


def test_connect_of_paho() -> None:
    """Clean session, a retained will at QoS 1, user name and password."""
    found = of(PAHO["connect"])
    assert isinstance(found, mqtt5.ConnectPacket)
    assert (found.client_id, found.keep_alive, found.clean_start) == ("paho", 60, True)
    assert (found.username, found.password) == ("u", b"p")
    assert found.session_expiry_interval == 0
    will = found.will
    assert will is not None
    assert (will.topic, will.payload, int(will.qos), will.retain) == ("w", b"bye", 1, True)


def test_connect_of_the_aws_sdk() -> None:
    """A persistent session never expires by itself; the broker lowers that to its limit."""
    found = of(AWSCRT["connect"])
    assert isinstance(found, mqtt5.ConnectPacket)
    assert (found.client_id, found.keep_alive, found.clean_start) == ("crt", 1200, False)
    assert (found.username, found.password, found.will) == ("?SDK", None, None)
    assert found.session_expiry_interval == 0xFFFFFFFF


@pytest.mark.parametrize("client", [PAHO, AWSCRT])
def test_packets_of_real_clients(client: dict[str, str]) -> None:
    """Every packet of a session with each client."""
    subscribe = of(client["subscribe"])
    assert isinstance(subscribe, mqtt5.SubscribePacket)
    first = subscribe.topic_filters[0]
    assert (first.pattern, int(first.max_qos)) == ("a/#", 1)
    assert (first.no_local, first.retain_as_published) == (False, False)
    assert first.retain_handling == mqtt5.RetainHandling.SEND_ALWAYS
    publish = of(client["publish"])
    assert isinstance(publish, mqtt5.PublishPacket)
    assert (publish.topic, publish.payload, publish.packet_id) == ("a/b", b"hi", 2)
    assert (int(publish.qos), publish.retain, publish.duplicate) == (1, False, False)
    unsubscribe = of(client["unsubscribe"])
    assert isinstance(unsubscribe, mqtt5.UnsubscribePacket)
    assert unsubscribe.patterns == ["a/#"]
    goodbye = of(client["disconnect"])
    assert isinstance(goodbye, mqtt5.DisconnectPacket)
    assert int(goodbye.reason_code) == 0


def test_the_other_packets() -> None:
    """PUBACK, PINGREQ, a retained PUBLISH without a payload, one that was sent before."""
    puback = of("4002 8081")
    assert isinstance(puback, mqtt5.PubAckPacket)
    assert puback.packet_id == 0x8081
    assert isinstance(of("c000"), mqtt5.PingReqPacket)
    empty = of("3105 0003 612f62")
    assert isinstance(empty, mqtt5.PublishPacket)
    assert (empty.payload, empty.retain) == (b"", True)
    again = of("3a07 0003 612f62 0001")
    assert isinstance(again, mqtt5.PublishPacket)
    assert again.duplicate


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("CONNECT with flags in its header (2.2.2-2)", "110f 0004 4d515454 04 02 003c 0003 616263"),
        ("CONNECT with another name (3.1.2-1)", "100f 0004 4d515458 04 02 003c 0003 616263"),
        ("CONNECT with another level", "100f 0004 4d515454 03 02 003c 0003 616263"),
        ("CONNECT with the reserved flag (3.1.2-3)", "100f 0004 4d515454 04 03 003c 0003 616263"),
        ("will QoS without a will (3.1.2-13)", "100f 0004 4d515454 04 0a 003c 0003 616263"),
        ("will retain without a will (3.1.2-15)", "100f 0004 4d515454 04 22 003c 0003 616263"),
        (
            "will QoS 3 (3.1.2-14)",
            "1014 0004 4d515454 04 1e 003c 0003 616263 0001 77 0000",
        ),
        (
            "password without user name (3.1.2-22)",
            "1012 0004 4d515454 04 42 003c 0003 616263 0001 70",
        ),
        ("will flag without a will", "100f 0004 4d515454 04 06 003c 0003 616263"),
        ("user name flag without a user name", "100f 0004 4d515454 04 82 003c 0003 616263"),
        ("CONNECT with bytes behind it", "1010 0004 4d515454 04 02 003c 0003 616263 00"),
        ("CONNECT that ends early", "100a 0004 4d515454 04 02 003c"),
        ("client id that is not UTF-8 (1.5.3-1)", "100e 0004 4d515454 04 02 003c 0002 fffe"),
        ("U+0000 in a client id (1.5.3-2)", "100f 0004 4d515454 04 02 003c 0003 610062"),
        ("surrogate in a client id (1.5.3-1)", "100f 0004 4d515454 04 02 003c 0003 eda080"),
        ("PUBLISH at QoS 3 (3.3.1-4)", "3607 0003 612f62 0001"),
        ("DUP at QoS 0 (3.3.1-2)", "3805 0003 612f62"),
        ("packet id 0 in PUBLISH (2.3.1-1)", "3207 0003 612f62 0000"),
        ("PUBLISH without a topic (4.7.3-1)", "3002 0000"),
        ("PUBLISH to a wildcard (3.3.2-2)", "3005 0003 612f23"),
        ("topic that is not UTF-8", "3004 0002 fffe"),
        ("U+0000 in a topic", "3005 0003 610062"),
        ("PUBLISH cut in the topic", "3003 0009 61"),
        ("PUBLISH cut in the packet id", "3206 0003 612f62 01"),
        ("SUBSCRIBE with other flags (3.8.1-1)", "8008 0001 0003 612f23 01"),
        ("SUBSCRIBE without filters (3.8.3-3)", "8202 0001"),
        ("SUBSCRIBE with packet id 0", "8208 0000 0003 612f23 01"),
        ("SUBSCRIBE at QoS 3 (3.8.3-4)", "8208 0001 0003 612f23 03"),
        ("SUBSCRIBE with options of MQTT 5", "8208 0001 0003 612f23 05"),
        ("SUBSCRIBE without a QoS", "8207 0001 0003 612f23"),
        ("SUBSCRIBE with # in the middle (4.7.1-2)", "820a 0001 0005 612f232f62 01"),
        ("SUBSCRIBE of MQTT 5", "8209 0001 00 0003 612f23 01"),
        ("UNSUBSCRIBE with other flags (3.10.1-1)", "a007 0004 0003 612f23"),
        ("UNSUBSCRIBE without filters (3.10.3-2)", "a202 0004"),
        ("PUBACK with packet id 0", "4002 0000"),
        ("PUBACK with a reason code", "4003 0001 00"),
        ("PUBACK with flags", "4202 0001"),
        ("PINGREQ with a body", "c001 00"),
        ("DISCONNECT with a body", "e001 00"),
        ("DISCONNECT with flags (3.14.1-1)", "e100"),
        ("PUBREC", "5002 0001"),
        ("PUBREL", "6202 0001"),
        ("AUTH", "f000"),
        ("packet type 0", "0000"),
        ("CONNACK", "2002 0000"),
    ],
)
def test_refuses_malformed_packets(what: str, data: str) -> None:
    """Where the specification makes the server close the connection (section 4.8)."""
    with pytest.raises(MalformedPacket):
        of(data)
    assert what


_SEEDS = [bytes.fromhex(data) for client in (PAHO, AWSCRT) for data in client.values()]


@given(st.binary(min_size=2, max_size=80))
def test_random_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    """Total."""
    with contextlib.suppress(MalformedPacket):
        read(data)


@given(st.sampled_from(_SEEDS), st.integers(2, 80), st.integers(0, 255))
def test_one_changed_byte_is_a_packet_or_malformed(seed: bytes, where: int, value: int) -> None:
    """Damage anywhere is caught or harmless."""
    where = where % len(seed)
    with contextlib.suppress(MalformedPacket):
        read(seed[:where] + bytes([value]) + seed[where + 1 :])


@given(st.sampled_from(_SEEDS[:5]), st.data())
def test_a_cut_packet_is_malformed(seed: bytes, data: st.DataObject) -> None:
    """Whatever is missing at the end, unless it is payload or a whole filter."""
    cut = seed[: data.draw(st.integers(2, len(seed) - 1))]
    if seed[0] >> 4 in {3, 8}:
        with contextlib.suppress(MalformedPacket):
            read(cut)
        return
    with pytest.raises(MalformedPacket):
        read(cut)
