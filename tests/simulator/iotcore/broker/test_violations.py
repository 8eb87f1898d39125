"""What the server does on a violation, row by row of the service's behaviour for MQTT 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
PubAck = mqtt5.PubAckPacket
Disconnect = mqtt5.DisconnectPacket

OPEN_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": f"{ARN}topic/open/*",
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/*"},
        {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/secret*"},
    ],
}


def test_denied_publish_at_qos_1_is_answered_and_the_connection_stays(
    make_bench: Callable[..., Bench],
) -> None:
    """PUBACK 0x87."""
    bench = make_bench(OPEN_ONLY)
    client = bench.join("c")
    client.publish("closed/a", qos=1)
    assert client.codes(PubAck) == [0x87]
    client.publish("open/a", qos=1)
    assert client.codes(PubAck) == [0]
    assert not client.is_closed
    assert bench.count("publish_denied") == 1


def test_denied_publish_at_qos_0_ends_the_connection(make_bench: Callable[..., Bench]) -> None:
    """DISCONNECT 0x87."""
    client = make_bench(OPEN_ONLY).join("c")
    client.publish("closed/a")
    assert client.codes(Disconnect) == [0x87]
    assert client.is_closed


def test_denied_subscribe_refuses_that_filter_only(make_bench: Callable[..., Bench]) -> None:
    """SUBACK 0x87 for the filter, the others are granted."""
    client = make_bench(OPEN_ONLY).join("c")
    suback = client.subscribe("open/a", "secret/a", "open/#")
    assert [int(code) for code in suback.reason_codes] == [1, 0x87, 1]


def test_denied_receive_is_silence(make_bench: Callable[..., Bench]) -> None:
    """A message that the policies do not let through simply does not arrive."""
    bench = make_bench(OPEN_ONLY)
    client = bench.join("c")
    client.subscribe("#", qos=0)
    bench.broker.publish(_message("open/a"), bench.now_s)
    bench.broker.publish(_message("closed/a"), bench.now_s)
    bench.collect()
    assert client.messages() == [("open/a", b"m")]
    assert bench.count("receive_denied") == 1


def _message(topic: str) -> Message:
    return Message(topic, b"m", 0, 0.0)


@pytest.mark.parametrize(
    "topic", ["$SYS/x", "$aws/events/presence/connected/c", "x" * 257, "a/b/c/d/e/f/g/h/i"]
)
def test_forbidden_and_oversized_topics(bench: Bench, topic: str) -> None:
    """0x90: in the PUBACK at QoS 1, in DISCONNECT at QoS 0."""
    client = bench.join("c")
    client.publish(topic, qos=1)
    assert client.codes(PubAck) == [0x90]
    assert not client.is_closed
    client.publish(topic)
    assert client.codes(Disconnect) == [0x90]
    assert client.is_closed


@pytest.mark.parametrize(
    "pattern",
    ["$SYS/#", "$aws/#", "x" * 257, "a/b/c/d/e/f/g/h/#", "$share/+/a", "$share/g/$SYS/x"],
)
def test_forbidden_and_oversized_filters(bench: Bench, pattern: str) -> None:
    """SUBACK 0x8F."""
    client = bench.join("c")
    assert [int(code) for code in client.subscribe(pattern).reason_codes] == [0x8F]
    assert not client.is_closed


def test_share_prefixes_do_not_count_as_slashes(bench: Bench) -> None:
    """Seven slashes behind `$share/<name>/` are allowed."""
    client = bench.join("c")
    suback = client.subscribe("$share/g/a/b/c/d/e/f/g/h")
    assert [int(code) for code in suback.reason_codes] == [1]


def test_qos_2_is_not_supported(bench: Bench) -> None:
    """DISCONNECT 0x9B, no PUBREC."""
    client = bench.join("c")
    client.publish("t", qos=2)
    assert client.codes(Disconnect) == [0x9B]
    assert client.take(mqtt5.PubRecPacket) == []


@pytest.mark.parametrize(
    "packet",
    [
        mqtt5.ConnectPacket("c"),
        mqtt5.ConnAckPacket(),
        mqtt5.PubRecPacket(1),
        mqtt5.PubRelPacket(1),
        mqtt5.PubCompPacket(1),
        mqtt5.SubAckPacket(1, []),
        mqtt5.UnsubAckPacket(1, []),
        mqtt5.PingRespPacket(),
        mqtt5.AuthPacket(authentication_method="x"),
        mqtt5.PublishPacket("t", b"", subscription_ids=[1]),
        mqtt5.PublishPacket("", b"", topic_alias=1),
        mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("$share/g/a", no_local=True)]),
        mqtt5.DisconnectPacket(session_expiry_interval=5),
    ],
)
def test_protocol_errors(bench: Bench, packet: Any) -> None:
    """0x82: a second CONNECT, unsupported packets, what only a server sends, broken rules."""
    client = bench.join("c")
    client.send(packet)
    assert client.codes(Disconnect) == [0x82]
    assert client.is_closed


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("3006 0002 fffe 00 78"),
        bytes.fromhex("3209 0003 612f62 0000 00 78"),
        bytes.fromhex("8203 0001 00"),
        bytes.fromhex("30ffffffff01"),
    ],
)
def test_malformed_packets(bench: Bench, data: bytes) -> None:
    """0x81: bad UTF-8, packet id 0, no filter, a length of five bytes."""
    client = bench.join("c")
    client.send(data)
    assert client.codes(Disconnect) == [0x81]
    assert client.is_closed
    assert bench.count("closed_malformed_packet") == 1


def test_wildcards_in_a_topic_name(bench: Bench) -> None:
    """DISCONNECT 0x90 for a PUBLISH to a/#, written by hand: the codec would not write it."""
    client = bench.join("c")
    client.send(bytes.fromhex("3006 0003 612f23 00"))
    assert client.codes(Disconnect) == [0x90]


def test_malformed_packet_on_a_known_topic(bench: Bench) -> None:
    """Packet id 0 is malformed also on a topic the connection has used before."""
    client = bench.join("c")
    client.publish("a/b", qos=1)
    client.send(bytes.fromhex("3209 0003 612f62 0000 00 78"))
    assert client.codes(Disconnect) == [0x81]


def test_payload_of_128_kb_is_taken_and_one_byte_more_is_not(bench: Bench) -> None:
    """131,072 bytes are the limit; above it the connection ends."""
    client = bench.join("c")
    client.publish("t", b"x" * 131_072, qos=1)
    assert client.codes(PubAck) == [0]
    client.publish("t", b"x" * 131_073, qos=1)
    assert client.codes(PubAck) == []
    assert client.codes(Disconnect) == [0x97]


def test_a_packet_above_the_maximum_is_refused_by_its_announcement(bench: Bench) -> None:
    """0x95 as soon as the length is known, without waiting for the bytes."""
    client = bench.join("c")
    client.send(b"\x30\x80\x80\x40")
    assert client.codes(Disconnect) == [0x95]
    assert bench.count("quota:packet-bytes") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"user_properties": [("k", "v" * 8_192)]},
        {"correlation_data": b"x" * 8_193},
        {"content_type": "x" * 257},
    ],
)
def test_oversized_properties(bench: Bench, options: dict[str, Any]) -> None:
    """0x97: in the PUBACK at QoS 1, in DISCONNECT at QoS 0."""
    client = bench.join("c")
    client.publish("t", qos=1, **options)
    assert client.codes(PubAck) == [0x97]
    client.publish("t", **options)
    assert client.codes(Disconnect) == [0x97]


def test_wildcards_in_a_response_topic_are_a_protocol_error(bench: Bench) -> None:
    """MQTT-3.3.2-14."""
    client = bench.join("c")
    # PUBLISH to t with Response Topic r/#, written by hand: the codec would not write it.
    client.send(bytes.fromhex("300a 0001 74 06 08 0003 722f23"))
    assert client.codes(Disconnect) in ([0x82], [0x81])


def test_nine_filters_in_one_subscribe_are_refused(bench: Bench) -> None:
    """Eight are granted, nine get 0x97 each."""
    client = bench.join("c")
    eight = client.subscribe(*(f"t/{n}" for n in range(8)))
    assert [int(code) for code in eight.reason_codes] == [1] * 8
    nine = client.subscribe(*(f"u/{n}" for n in range(9)))
    assert [int(code) for code in nine.reason_codes] == [0x97] * 9


def test_the_51st_subscription_is_refused(bench: Bench) -> None:
    """0x97 for the filter beyond 50; replacing one of the 50 is no new one."""
    client = bench.join("c")
    for number in range(50):
        assert [int(code) for code in client.subscribe(f"t/{number}").reason_codes] == [1]
    assert [int(code) for code in client.subscribe("t/50", "t/7").reason_codes] == [0x97, 1]
    client.send(mqtt5.UnsubscribePacket(3, ["t/7"]))
    assert [int(code) for code in client.subscribe("t/50").reason_codes] == [1]


def test_subscription_identifiers_are_not_supported(bench: Bench) -> None:
    """DISCONNECT 0xA1."""
    client = bench.join("c")
    client.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("t")], subscription_id=1))
    assert client.codes(Disconnect) == [0xA1]


def test_a_subscription_at_qos_2_ends_the_connection(bench: Bench) -> None:
    """No SUBACK (developer guide, "MQTT"), but DISCONNECT 0x9B."""
    client = bench.join("c")
    client.send(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("t", max_qos=mqtt5.QoS(2))]))
    assert client.codes(Disconnect) == [0x9B]
    assert client.take(mqtt5.SubAckPacket) == []


def test_topic_aliases(bench: Bench) -> None:
    """Aliases 1 to 8 stand for a topic; 9 is refused with 0x94."""
    client, listener = bench.join("c"), bench.join("l")
    listener.subscribe("#", qos=0)
    client.publish("t/a", b"1", topic_alias=8)
    client.publish("", b"2", topic_alias=8)
    client.publish("t/b", b"3", topic_alias=8)
    client.publish("", b"4", topic_alias=8)
    assert listener.messages() == [("t/a", b"1"), ("t/a", b"2"), ("t/b", b"3"), ("t/b", b"4")]
    client.publish("t/c", topic_alias=9)
    assert client.codes(Disconnect) == [0x94]


def test_a_denied_topic_cannot_hide_behind_an_alias(make_bench: Callable[..., Bench]) -> None:
    """The policy sees the topic, not the alias."""
    client = make_bench(OPEN_ONLY).join("c")
    client.publish("closed/a", qos=1, topic_alias=1)
    client.publish("", qos=1, topic_alias=1)
    assert client.codes(PubAck) == [0x87, 0x87]


def test_retain_needs_its_own_permission(make_bench: Callable[..., Bench]) -> None:
    """`iot:RetainPublish` beside `iot:Publish`; on `$` topics RETAIN is refused."""
    bench = make_bench(OPEN_ONLY)
    client = bench.join("c")
    client.publish("open/a", qos=1, retain=True)
    assert client.codes(PubAck) == [0x87]


def test_retain_on_reserved_topics_is_refused(bench: Bench) -> None:
    """0x90."""
    client = bench.join("c")
    client.publish("$aws/things/t/shadow/update", qos=1, retain=True)
    assert client.codes(PubAck) == [0x90]


def test_a_publish_without_subscribers_succeeds(bench: Bench) -> None:
    """PUBACK 0, not 0x10."""
    client = bench.join("c")
    client.publish("t", qos=1)
    assert client.codes(PubAck) == [0]


def test_a_repeated_packet_id_is_a_new_message(bench: Bench) -> None:
    """Ids are free again as soon as PUBACK is sent, so both messages go out."""
    client, listener = bench.join("c"), bench.join("l")
    listener.subscribe("t")
    client.publish("t", b"1", qos=1, packet_id=5)
    client.publish("t", b"2", qos=1, packet_id=5)
    assert client.codes(PubAck) == [0, 0]
    assert listener.messages() == [("t", b"1"), ("t", b"2")]


def test_unsubscribing_is_a_success_known_or_not(bench: Bench) -> None:
    """AWS lists no 0x11 for UNSUBACK; afterwards nothing arrives."""
    client = bench.join("c")
    client.subscribe("t")
    client.send(mqtt5.UnsubscribePacket(3, ["t", "never"]))
    (unsuback,) = client.take(mqtt5.UnsubAckPacket)
    assert [int(code) for code in unsuback.reason_codes] == [0, 0]
    client.publish("t")
    assert client.messages() == []


def test_nothing_is_read_after_the_end(bench: Bench) -> None:
    """Packets behind the one that ended the connection have no effect."""
    client, listener = bench.join("c"), bench.join("l")
    listener.subscribe("#")
    bad = bytes.fromhex("8203 0001 00")
    client.send(bad + mqtt5.PublishPacket("t", b"x").write())
    client.send(mqtt5.PublishPacket("t", b"x"))
    assert listener.messages() == []
