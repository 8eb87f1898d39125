"""The short way for plain publishes gives exactly what the way through the codec gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.iotcore.broker.dialect import mqtt_5, mqtt_311
from simulator.iotcore.broker.routes import ROUTES_MAX, plain_publish, plain_publish_311
from tests.simulator.iotcore.broker import old_client
from tests.simulator.iotcore.broker.old_client import OldClient
from tests.simulator.iotcore.conftest import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*topic/deny"},
    ],
}
TOPICS = st.sampled_from(["a", "a/b", "é", "deny", "$aws/rules/r/x", "t" * 200])
PUBLISHES = st.builds(
    lambda topic, payload, qos, retain, content_type: mqtt5.PublishPacket(
        topic,
        payload,
        qos=mqtt5.QoS(qos),
        packet_id=300 if qos else None,
        retain=retain,
        content_type=content_type,
    ).write(),
    TOPICS,
    st.binary(max_size=200),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.sampled_from([None, "c"]),
)
DAMAGED = st.builds(
    lambda packet, where, value: (
        packet[: where % len(packet)] + bytes([value]) + packet[where % len(packet) + 1 :]
    ),
    PUBLISHES,
    st.integers(2, 60),
    st.integers(0, 255),
)


OLD_PUBLISHES = st.builds(
    lambda topic, payload, qos, retain: old_client.publish(topic, payload, qos, 300, retain=retain),
    TOPICS,
    st.binary(max_size=200),
    st.sampled_from([0, 1]),
    st.booleans(),
)
OLD_DAMAGED = st.builds(
    lambda packet, where, value: (
        packet[: where % len(packet)] + bytes([value]) + packet[where % len(packet) + 1 :]
    ),
    OLD_PUBLISHES,
    st.integers(2, 60),
    st.integers(0, 255),
)


def play(packets: list[bytes], *, short_way: bool, is_old: bool = False) -> list[Any]:
    """What clients of both versions receive, and what was counted, with or without the short way.

    Args:
        packets: What a speaker sends.
        short_way: Whether there is one.
        is_old: Whether the speaker speaks MQTT 3.1.1.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not short_way:
            patch.setattr(mqtt_5, "plain_publish", lambda _wire: None)
            patch.setattr(mqtt_311, "plain_publish_311", lambda _wire: None)
        bench = Bench(POLICY)
        speaker = OldClient(bench, "s") if is_old else bench.join("s")
        listener = bench.join("l")
        listener.subscribe("#", qos=1)
        OldClient(bench, "o").granted(("#", 0), ("a/#", 1))
        bench.join("m").subscribe("a", qos=0)
        for number, packet in enumerate(packets):
            if number == len(packets) // 2:
                listener.subscribe("deny/#", qos=0)
            speaker.send(packet)
        counters = bench.broker.counters.as_dict()
        return [client.raw for client in bench.clients.values()] + [counters]


@settings(max_examples=60)
@given(st.lists(st.one_of(PUBLISHES, DAMAGED), min_size=1, max_size=12))
def test_both_ways_say_the_same(packets: list[bytes]) -> None:
    """Every byte to every client and every counter agree."""
    # Repeated, so that topics are known the second time.
    assert play(packets * 2, short_way=True) == play(packets * 2, short_way=False)


@settings(max_examples=60)
@given(st.lists(st.one_of(OLD_PUBLISHES, OLD_DAMAGED), min_size=1, max_size=12))
def test_both_ways_say_the_same_of_mqtt_3_1_1(packets: list[bytes]) -> None:
    """Every byte to every client and every counter agree for an old speaker too."""
    twice = packets * 2
    assert play(twice, short_way=True, is_old=True) == play(twice, short_way=False, is_old=True)


@given(st.binary(min_size=1, max_size=40))
def test_looking_for_a_plain_publish_never_fails(data: bytes) -> None:
    """Any bytes are one or are none, in either version."""
    for look in (plain_publish, plain_publish_311):
        found = look(data)
        assert found is None or data.endswith(data[found[2] :])


@pytest.mark.parametrize("length", [120, 125, 126, 127, 128, 16_370, 16_379, 16_380, 20_000])
@pytest.mark.parametrize("qos", [0, 1])
def test_the_parts_of_a_plain_publish(length: int, qos: int) -> None:
    """Topic bytes, packet id and payload, whatever the Remaining Length takes; none from 16 KB."""
    payload = b"p" * length
    new = mqtt5.PublishPacket(
        "a/b", payload, qos=mqtt5.QoS(qos), packet_id=0x8182 if qos else None
    ).write()
    old = old_client.publish("a/b", payload, qos, 0x8182)
    for look, wire in ((plain_publish, new), (plain_publish_311, old)):
        found = look(wire)
        if len(wire) - 3 >= 16_384:
            assert found is None
            continue
        assert found is not None
        assert found[:2] == (b"\x00\x03a/b", 0x8182 if qos else None)
        assert wire[found[2] :] == payload


def test_a_new_subscriber_is_served_at_once(bench: Bench) -> None:
    """A remembered route does not outlive a change of the subscriptions."""
    speaker, listener = bench.join("s"), bench.join("l")
    speaker.publish("a")
    speaker.publish("a")
    listener.subscribe("a")
    speaker.publish("a", b"1")
    assert listener.messages() == [("a", b"1")]
    listener.send(mqtt5.UnsubscribePacket(1, ["a"]))
    speaker.publish("a", b"2")
    assert listener.messages() == []


def test_a_new_policy_holds_at_once(make_bench: Callable[..., Bench]) -> None:
    """A remembered route does not outlive a change of the registry."""
    bench = make_bench()
    speaker = bench.join("s")
    speaker.publish("a", qos=1)
    speaker.publish("a", qos=1)
    bench.registry.detach_policy("test", bench.certificate.certificate_id)
    speaker.publish("a", qos=1)
    assert speaker.codes(mqtt5.PubAckPacket) == [0, 0, 0x87]


def test_the_memory_of_a_connection_is_bounded(bench: Bench) -> None:
    """Publishing on ever new topics does not grow what is remembered."""
    speaker = bench.join("s")
    for number in range(3 * ROUTES_MAX):
        speaker.publish(f"t/{number}")
    assert len(speaker.connection.routes) <= ROUTES_MAX
