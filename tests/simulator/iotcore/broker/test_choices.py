"""Each choice changes the one answer it is about, in the version it is about."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.choices import Choices
from simulator.iotcore.throttling.account import AccountQuotas
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

ConnAck, Disconnect = mqtt5.ConnAckPacket, mqtt5.DisconnectPacket


def subscribe(*patterns: str, **options: Any) -> mqtt5.SubscribePacket:
    """A SUBSCRIBE at QoS 1."""
    entries = [mqtt5.TopicFilter(p, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for p in patterns]
    return mqtt5.SubscribePacket(1, entries, **options)


def test_too_many_filters_can_end_the_connection(make_bench: Callable[..., Bench]) -> None:
    """DISCONNECT 0x97 instead of SUBACK."""
    client = make_bench(choices=Choices(do_too_many_filters_end=True)).join("c")
    client.send(subscribe(*"abcdefghi"))
    assert client.take(mqtt5.SubAckPacket) == []
    assert client.codes(Disconnect) == [0x97]


def test_subscription_identifiers_can_be_answered(make_bench: Callable[..., Bench]) -> None:
    """SUBACK 0xA1 for each filter instead of DISCONNECT; none is granted."""
    bench = make_bench(choices=Choices(does_subscription_identifier_end=False))
    client = bench.join("c")
    client.send(subscribe("a", "b", subscription_id=7))
    (suback,) = client.take(mqtt5.SubAckPacket)
    assert [int(code) for code in suback.reason_codes] == [0xA1, 0xA1]
    assert bench.broker.subscriptions_of("c") == []
    assert not client.is_closed


def test_qos_2_subscriptions_can_be_granted(make_bench: Callable[..., Bench]) -> None:
    """As QoS 1 (MQTT-3.2.2-9)."""
    client = make_bench(choices=Choices(does_qos_2_subscription_end=False)).join("c")
    assert [int(code) for code in client.subscribe("t", qos=2).reason_codes] == [1]


def test_throttled_connects_can_be_closed(make_bench: Callable[..., Bench]) -> None:
    """Without CONNACK 0x97; other refusals still have theirs."""
    quotas = AccountQuotas(table_with({"connects-per-client-id": 1}))
    choices = Choices(is_connect_throttling_answered=False)
    bench = make_bench(quotas=quotas, choices=choices)
    bench.join("c")
    second = bench.connect("c")
    assert (second.raw, second.is_closed) == (b"", True)
    assert bench.connect("x" * 129).codes(ConnAck) == [0x85]


def test_the_announced_packet_size_can_be_that_of_the_other_page(
    make_bench: Callable[..., Bench],
) -> None:
    """131,072 instead of 149,504; what is taken stays the same."""
    client = make_bench(choices=Choices(announced_packet_bytes=131_072)).connect("c")
    assert client.take(ConnAck)[0].max_packet_size == 131_072
    client.publish("t", b"x" * 131_072, qos=1)
    assert client.codes(mqtt5.PubAckPacket) == [0]


@pytest.mark.parametrize(
    ("member", "code", "act", "kind"),
    [
        ("payload_code", 0x95, lambda c: c.publish("t", b"x" * 131_073), Disconnect),
        ("packet_code", 0x97, lambda c: c.send(b"\x30\x80\x80\x40"), Disconnect),
        ("oversized_topic_code", 0x97, lambda c: c.publish("x" * 257), Disconnect),
        ("oversized_topic_code", 0x97, lambda c: c.publish("x" * 257, qos=1), mqtt5.PubAckPacket),
    ],
)
def test_reason_codes_can_be_others(
    make_bench: Callable[..., Bench],
    member: str,
    code: int,
    act: Callable[[Any], object],
    kind: type[Any],
) -> None:
    """Where AWS names several that fit, or none."""
    chosen: dict[str, Any] = {member: code}
    client = make_bench(choices=Choices(**chosen)).join("c")
    act(client)
    assert client.codes(kind) == [code]


def test_other_invalid_topics_keep_their_code(make_bench: Callable[..., Bench]) -> None:
    """The choice is about sizes, not about forbidden topics."""
    choices = Choices(oversized_topic_code=0x97, oversized_filter_code=0x97)
    client = make_bench(choices=choices).join("c")
    client.publish("$SYS/x", qos=1)
    assert client.codes(mqtt5.PubAckPacket) == [0x90]
    suback = client.subscribe("x" * 257, "$SYS/x")
    assert [int(each) for each in suback.reason_codes] == [0x97, 0x8F]


def test_the_code_for_a_small_packet_size(make_bench: Callable[..., Bench]) -> None:
    """CONNACK 0x97 instead of 0x80."""
    bench = make_bench(choices=Choices(small_client_packet_code=0x97))
    assert bench.connect("c", max_packet_size=511).codes(ConnAck) == [0x97]


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_denied_return_code": 6},
        {"connect_throttled_return_code": 0},
        {"oversized_topic_code": 0x8D},
        {"oversized_filter_code": 0x90},
        {"payload_code": 0x77},
        {"packet_code": 0},
        {"small_client_packet_code": 0x94},
        {"announced_packet_bytes": 0},
    ],
)
def test_codes_that_do_not_exist_are_refused(wrong: dict[str, Any]) -> None:
    """Before they could be sent."""
    with pytest.raises(ValueError, match=r"."):
        Choices(**wrong)


def test_every_choice_is_argued() -> None:
    """The docstring has an entry for each member."""
    for field in fields(Choices):
        assert f"\n        {field.name}: " in (Choices.__doc__ or "")
