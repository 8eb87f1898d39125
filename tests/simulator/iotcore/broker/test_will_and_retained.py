from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench, Client

Publish = mqtt5.PublishPacket


@pytest.fixture
def listener(bench: Bench) -> Client:
    """A client that sees the wills."""
    client = bench.join("listener")
    client.subscribe("will/#")
    return client


def mortal(bench: Bench, **options: Any) -> Client:
    """A client whose will is `gone` on will/c."""
    will = mqtt5.Will("will/c", payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE, **options)
    return bench.join("c", will=will)


def test_the_will_goes_out_when_the_transport_breaks(bench: Bench, listener: Client) -> None:
    """Lost connections are what wills are for."""
    mortal(bench, content_type="text/plain").lose()
    (packet,) = listener.take(Publish)
    assert (packet.topic, packet.payload, packet.content_type) == ("will/c", b"gone", "text/plain")


def test_a_normal_disconnect_discards_the_will(bench: Bench, listener: Client) -> None:
    """DISCONNECT 0x00 is the only end without a will."""
    mortal(bench).send(mqtt5.DisconnectPacket())
    assert listener.messages() == []


def test_disconnect_with_will_sends_it(bench: Bench, listener: Client) -> None:
    """DISCONNECT 0x04."""
    code = mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE
    mortal(bench).send(mqtt5.DisconnectPacket(reason_code=code))
    assert listener.messages() == [("will/c", b"gone")]


@pytest.mark.parametrize("how", ["violation", "keep-alive", "takeover", "api", "shutdown"])
def test_every_other_end_sends_the_will(bench: Bench, listener: Client, how: str) -> None:
    """Whoever ends the connection, unless the client said goodbye, the will goes out once."""
    client = mortal(bench)
    if how == "violation":
        client.send(mqtt5.PubRelPacket(1))
    elif how == "keep-alive":
        for _ in range(4):
            bench.wait(500)
            listener.send(mqtt5.PingReqPacket())
    elif how == "takeover":
        bench.connect("c", clean_start=False)
    elif how == "api":
        bench.broker.disconnect("c", bench.now_s)
        bench.collect()
    else:
        listener.send(mqtt5.PingReqPacket())
        bench.broker.close(bench.now_s)
        bench.collect()
        return  # the listener may be gone before the will; that it does not fail is enough
    assert listener.messages() == [("will/c", b"gone")]
    client.lose()
    assert listener.messages() == []


def test_a_delayed_will_waits_and_then_goes_out(bench: Bench, listener: Client) -> None:
    """Will Delay Interval, as long as the session lives."""
    will = mqtt5.Will("will/c", payload=b"gone", will_delay_interval=30)
    bench.join("c", will=will, session_expiry_interval=100).lose()
    bench.wait(29)
    assert listener.messages() == []
    bench.wait(2)
    assert listener.messages() == [("will/c", b"gone")]
    bench.wait(200)
    assert listener.messages() == []


def test_coming_back_in_time_cancels_a_delayed_will(bench: Bench, listener: Client) -> None:
    """The client continued its session before the delay was over."""
    will = mqtt5.Will("will/c", payload=b"gone", will_delay_interval=30)
    bench.join("c", will=will, session_expiry_interval=100).lose()
    bench.wait(10)
    bench.join("c", clean_start=False, session_expiry_interval=100)
    bench.wait(50)
    assert listener.messages() == []


@pytest.mark.parametrize("how", ["expiry", "clean start"])
def test_a_delayed_will_goes_out_when_its_session_ends(
    bench: Bench, listener: Client, how: str
) -> None:
    """MQTT 5.0 section 3.1.3.2.2: the end of the session ends the delay."""
    will = mqtt5.Will("will/c", payload=b"gone", will_delay_interval=1000)
    bench.join("c", will=will, session_expiry_interval=20).lose()
    if how == "expiry":
        bench.wait(21)
    else:
        bench.join("c", clean_start=True)
    assert listener.messages() == [("will/c", b"gone")]


def test_a_retained_will_is_stored(bench: Bench, listener: Client) -> None:
    """Later subscribers of the exact topic see it."""
    mortal(bench, retain=True).lose()
    assert listener.messages() == [("will/c", b"gone")]
    late = bench.join("late")
    late.subscribe("will/c")
    (packet,) = late.take(Publish)
    assert (packet.payload, packet.retain) == (b"gone", True)


def test_a_retained_message_reaches_later_subscribers_of_the_exact_topic(bench: Bench) -> None:
    """With RETAIN 1 at subscribing, with RETAIN 0 live; wildcards and shares never get it."""
    live, speaker = bench.join("live"), bench.join("speaker")
    live.subscribe("t/a")
    speaker.publish("t/a", b"kept", qos=1, retain=True)
    (packet,) = live.take(Publish)
    assert (packet.payload, packet.retain) == (b"kept", False)
    late = bench.join("late")
    late.subscribe("t/a")
    (packet,) = late.take(Publish)
    assert (packet.payload, packet.retain, int(packet.qos)) == (b"kept", True, 1)
    for pattern in ("t/#", "t/+", "#", "$share/g/t/a"):
        late.subscribe(pattern)
        assert late.messages() == []


def test_retain_as_published_keeps_the_flag(bench: Bench) -> None:
    """The subscription option of MQTT 5."""
    client = bench.join("c")
    client.subscribe("t", retain_as_published=True)
    client.publish("t", qos=1, retain=True)
    client.publish("t", qos=0, retain=True)
    assert [packet.retain for packet in client.take(Publish)] == [True, True]


def test_an_empty_retained_message_deletes_and_is_delivered(bench: Bench) -> None:
    """Current subscribers see the deletion, later ones see nothing."""
    client = bench.join("c")
    client.publish("t", b"kept", retain=True)
    client.subscribe("t")
    client.publish("t", b"", retain=True)
    assert client.messages() == [("t", b"kept"), ("t", b"")]
    late = bench.join("late")
    late.subscribe("t")
    assert late.messages() == []


@pytest.mark.parametrize(
    ("handling", "first", "again"),
    [("SEND_ALWAYS", 1, 1), ("SEND_IF_SUBSCRIPTION_NOT_EXISTS", 1, 0), ("SEND_NEVER", 0, 0)],
)
def test_retain_handling(bench: Bench, handling: str, first: int, again: int) -> None:
    """MQTT 5.0 section 3.8.3.1: always, only for a new subscription, never."""
    client = bench.join("c")
    client.publish("t", b"kept", retain=True)
    option = getattr(mqtt5.RetainHandling, handling)
    client.subscribe("t", retain_handling=option)
    assert len(client.messages()) == first
    client.subscribe("t", retain_handling=option)
    assert len(client.messages()) == again


def test_a_retained_message_expires(bench: Bench) -> None:
    """Its expiry goes on while it is stored."""
    client = bench.join("c")
    client.publish("t", b"kept", retain=True, message_expiry_interval=60)
    bench.wait(20)
    client.subscribe("t")
    (packet,) = client.take(Publish)
    assert packet.message_expiry_interval == 40
    bench.wait(41)
    client.subscribe("t")
    assert client.messages() == []


@pytest.mark.parametrize("limits", [Limits(retained_messages=2), Limits(retained_bytes=22)])
def test_a_full_store_takes_no_new_topics(make_bench: Callable[..., Bench], limits: Limits) -> None:
    """Stored topics can still be replaced; what is not stored is delivered and counted."""
    bench = make_bench(limits=limits)
    client = bench.join("c")
    for topic in ("a", "b", "d"):
        client.publish(topic, b"0123456789", retain=True)
    client.publish("a", b"replaced", retain=True)
    assert bench.count("retained_store_full") == 1
    for topic, expected in (("a", [("a", b"replaced")]), ("d", [])):
        client.subscribe(topic)
        assert client.messages() == expected
