from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench, Client

ConnAck = mqtt5.ConnAckPacket
Disconnect = mqtt5.DisconnectPacket
Publish = mqtt5.PublishPacket
HOUR = {"clean_start": False, "session_expiry_interval": 3600}


def sleeper(bench: Bench, *patterns: str, **options: Any) -> Client:
    """A client with a session and subscriptions."""
    client = bench.join("sleeper", **{**HOUR, **options})
    client.subscribe(*patterns)
    return client


def wake(bench: Bench, **options: Any) -> tuple[Client, bool]:
    """The client comes back; says whether its session was there."""
    client = bench.connect("sleeper", **{**HOUR, **options})
    return client, client.take(ConnAck)[0].session_present


def acknowledge(client: Client) -> list[bytes]:
    """Send PUBACK for everything that arrived, until nothing more comes; gives the payloads."""
    payloads: list[bytes] = []
    while packets := client.take(Publish):
        for packet in packets:
            payloads.append(packet.payload)
            assert packet.duplicate is False
            client.acknowledge(packet)
    return payloads


def test_qos_1_waits_for_a_client_with_a_session(bench: Bench) -> None:
    """Messages for an offline session arrive in order when it comes back, QoS 0 ones do not."""
    sleeper(bench, "t/#").lose()
    speaker = bench.join("speaker")
    for number in range(5):
        speaker.publish("t/a", b"%d" % number, qos=1)
    speaker.publish("t/a", b"lost", qos=0)
    client, present = wake(bench)
    assert present
    assert acknowledge(client) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_session_without_expiry_ends_with_its_connection(bench: Bench) -> None:
    """Session Expiry Interval 0, the default, keeps nothing."""
    client = bench.join("sleeper")
    client.subscribe("t")
    client.lose()
    bench.join("speaker").publish("t", qos=1)
    client, present = wake(bench)
    assert not present
    assert client.messages() == []
    assert len(bench.broker.clients()) == 2


def test_a_session_expires(bench: Bench) -> None:
    """The timer starts at the end of the connection and takes everything with it."""
    sleeper(bench, "t", session_expiry_interval=60).lose()
    bench.wait(59.9)
    assert len(bench.broker.clients()) == 1
    bench.wait(0.2)
    assert bench.broker.clients() == []
    assert wake(bench)[1] is False


def test_coming_back_stops_the_expiry(bench: Bench) -> None:
    """An online session does not expire however long it has been."""
    sleeper(bench, "t", session_expiry_interval=60).lose()
    bench.wait(50)
    client, present = wake(bench, session_expiry_interval=60)
    assert present
    bench.wait(1000)
    assert not client.is_closed
    client.publish("t", qos=1)
    assert client.messages() == [("t", b"x")]


def test_clean_start_forgets_the_old_session(bench: Bench) -> None:
    """Session Present is 0 and the old subscriptions are gone."""
    sleeper(bench, "t").lose()
    client = bench.connect("sleeper", clean_start=True)
    assert client.take(ConnAck)[0].session_present is False
    client.publish("t", qos=1)
    assert client.messages() == []


def test_disconnect_can_change_the_expiry(bench: Bench) -> None:
    """A client may shorten its session when it leaves."""
    client = sleeper(bench, "t")
    client.send(mqtt5.DisconnectPacket(session_expiry_interval=10))
    bench.wait(11)
    assert wake(bench)[1] is False


def test_unacknowledged_messages_are_sent_again_after_a_reconnect(bench: Bench) -> None:
    """At least once: what had no PUBACK comes first, with DUP 0."""
    client = sleeper(bench, "t")
    speaker = bench.join("speaker")
    speaker.publish("t", b"1", qos=1)
    speaker.publish("t", b"2", qos=1)
    first, _ = client.take(Publish)
    client.acknowledge(first)
    client.lose()
    speaker.publish("t", b"3", qos=1)
    client, _ = wake(bench)
    assert acknowledge(client) == [b"2", b"3"]


def test_the_clients_receive_maximum_is_respected(bench: Bench) -> None:
    """No more than three unacknowledged messages at a client that said three."""
    client = sleeper(bench, "t", receive_max=3)
    speaker = bench.join("speaker")
    for number in range(7):
        speaker.publish("t", b"%d" % number, qos=1)
    packets = client.take(Publish)
    assert [packet.payload for packet in packets] == [b"0", b"1", b"2"]
    client.acknowledge(packets[1])
    (fourth,) = client.take(Publish)
    assert fourth.payload == b"3"
    for packet in (packets[0], packets[2], fourth):
        client.acknowledge(packet)
    assert acknowledge(client) == [b"4", b"5", b"6"]


def test_no_more_than_100_messages_are_in_flight(bench: Bench) -> None:
    """The service's own bound holds for a client that allows more."""
    client = sleeper(bench, "t")
    speaker = bench.join("speaker")
    for _ in range(150):
        speaker.publish("t", qos=1)
    assert len(client.take(Publish)) == 100


def test_packet_ids_in_flight_are_never_used_twice(bench: Bench) -> None:
    """Also after the ids have gone once round."""
    client = sleeper(bench, "t", receive_max=2)
    speaker = bench.join("speaker")
    speaker.publish("t", b"held", qos=1)
    (held,) = client.take(Publish)
    seen: set[int] = set()
    for _ in range(65_540):
        speaker.publish("t", qos=1)
        (packet,) = client.take(Publish)
        assert packet.packet_id is not None
        assert packet.packet_id not in {held.packet_id, 0}
        seen.add(packet.packet_id)
        client.acknowledge(packet)
    assert len(seen) == 65_534


def test_a_full_queue_drops_the_newest(make_bench: Callable[..., Bench]) -> None:
    """What is stored stays, what does not fit is dropped and counted."""
    bench = make_bench(limits=Limits(queued_messages=3))
    sleeper(bench, "t").lose()
    speaker = bench.join("speaker")
    for number in range(5):
        speaker.publish("t", b"%d" % number, qos=1)
    assert bench.count("dropped_queue_full") == 2
    assert acknowledge(wake(bench)[0]) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("bound", ["queued_bytes", "queued_bytes_total"])
def test_queues_are_bounded_in_bytes(make_bench: Callable[..., Bench], bound: str) -> None:
    """A few large messages fill a queue as well, and delivery frees the room again."""
    bench = make_bench(limits=Limits(**{bound: 2_500}))
    for _ in range(3):
        sleeper(bench, "t").lose()
        speaker = bench.join("speaker")
        for _ in range(3):
            speaker.publish("t", b"x" * 1000, qos=1)
        client, _ = wake(bench)
        assert len(acknowledge(client)) == 2
        client.lose()
    assert bench.count("dropped_queue_full") == 3


def test_expired_messages_are_not_delivered(bench: Bench) -> None:
    """Message Expiry Interval counts while the message waits; the rest of it is forwarded."""
    sleeper(bench, "t").lose()
    speaker = bench.join("speaker")
    speaker.publish("t", b"short", qos=1, message_expiry_interval=10)
    speaker.publish("t", b"long", qos=1, message_expiry_interval=100)
    bench.wait(30)
    (packet,) = wake(bench)[0].take(Publish)
    assert (packet.payload, packet.message_expiry_interval) == (b"long", 70)
    assert bench.count("dropped_expired") == 1


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (5, 5), (604_801, 604_800)])
def test_message_expiry_is_adjusted(bench: Bench, asked: int, given: int) -> None:
    """0 becomes 1, and a week is the most."""
    client = bench.join("c")
    client.subscribe("t")
    client.publish("t", qos=1, message_expiry_interval=asked)
    (packet,) = client.take(Publish)
    assert packet.message_expiry_interval == given


def test_deliveries_without_puback_are_given_up(bench: Bench) -> None:
    """After 960 s they are dropped, counted, and make room for what waits."""
    client = sleeper(bench, "t", receive_max=1)
    speaker = bench.join("speaker")
    speaker.publish("t", b"1", qos=1)
    speaker.publish("t", b"2", qos=1)
    assert client.messages() == [("t", b"1")]
    for _ in range(11):
        bench.wait(100)
        client.send(mqtt5.PingReqPacket())
    assert client.messages() == [("t", b"2")]
    assert bench.count("dropped_unacknowledged") == 1


def test_the_newer_connection_takes_over(bench: Bench) -> None:
    """The old one gets 0x8E and closes, the new one continues the session."""
    old = sleeper(bench, "t")
    new, present = wake(bench)
    assert old.codes(Disconnect) == [0x8E]
    assert old.is_closed
    assert present
    bench.join("speaker").publish("t", qos=1)
    assert new.messages() == [("t", b"x")]
    assert old.messages() == []
    assert bench.count("closed_taken_over") == 1


def test_losing_the_old_transport_after_a_takeover_harms_nobody(bench: Bench) -> None:
    """The late end of a taken-over connection leaves the new one alone."""
    old = bench.join("c")
    new = bench.join("c")
    old.lose()
    new.subscribe("t")
    new.publish("t", qos=1)
    assert new.messages() == [("t", b"x")]


def test_packets_larger_than_the_client_takes_are_not_sent(bench: Bench) -> None:
    """MQTT-3.1.2-24: dropped for that client only, at both QoS, without blocking its window."""
    small = bench.join("small", max_packet_size=512, receive_max=1)
    small.subscribe("t")
    speaker = bench.join("speaker")
    speaker.publish("t", b"x" * 600, qos=1)
    speaker.publish("t", b"x" * 600, qos=0)
    speaker.publish("t", b"fits", qos=1)
    assert small.messages() == [("t", b"fits")]
    assert bench.count("dropped_too_large_for_client") == 2


def test_no_local_keeps_ones_own_messages_away(bench: Bench) -> None:
    """No Local concerns the own client id only."""
    client, other = bench.join("c"), bench.join("o")
    client.subscribe("t", no_local=True)
    client.publish("t", b"mine")
    client.publish("t", b"mine again")
    other.publish("t", b"theirs")
    assert client.messages() == [("t", b"theirs")]


def test_overlapping_filters_give_one_copy(bench: Bench) -> None:
    """One message per client, at the best QoS it subscribed with."""
    client = bench.join("c")
    client.subscribe("t/#", qos=0)
    client.subscribe("t/+", qos=1)
    client.publish("t/a", qos=1)
    (packet,) = client.take(Publish)
    assert packet.qos == mqtt5.QoS.AT_LEAST_ONCE


@pytest.mark.parametrize(
    ("published", "subscribed", "delivered"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)]
)
def test_the_lower_qos_counts(
    bench: Bench, published: int, subscribed: int, delivered: int
) -> None:
    """Delivery is at the lower of the publisher's and the subscriber's QoS."""
    client = bench.join("c")
    client.subscribe("t", qos=subscribed)
    for _ in range(2):
        client.publish("t", qos=published)
        (packet,) = client.take(Publish)
        assert packet.qos == mqtt5.QoS(delivered)


def test_all_properties_are_forwarded(bench: Bench) -> None:
    """What the publisher said about its message reaches the subscriber."""
    client = bench.join("c")
    client.subscribe("t")
    said: dict[str, Any] = {
        "payload_format_indicator": 1,
        "content_type": "application/json",
        "response_topic": "answer/here",
        "correlation_data": b"\x00\xff",
        "user_properties": [("a", "1"), ("a", "2")],
    }
    client.publish("t", qos=1, **said)
    (packet,) = client.take(Publish)
    assert {name: getattr(packet, name) for name in said} == said


def test_a_shared_message_goes_to_one_member(bench: Bench) -> None:
    """Each reaches exactly one of the members, and another one when that one leaves."""
    first, second = bench.join("1"), bench.join("2")
    for member in (first, second):
        member.subscribe("$share/g/t/#")
    speaker = bench.join("speaker")
    for _ in range(4):
        speaker.publish("t/a", qos=1)
    assert (len(first.messages()), len(second.messages())) == (0, 4)
    second.lose()
    speaker.publish("t/a", qos=1)
    # The four without PUBACK, and the new one.
    assert len(first.messages()) == 5


def test_a_shared_group_waits_for_a_member_with_a_session(bench: Bench) -> None:
    """With nobody online QoS 1 is queued for a member that has a session."""
    sleeper(bench, "$share/g/t").lose()
    speaker = bench.join("speaker")
    speaker.publish("t", b"1", qos=1)
    speaker.publish("t", b"0", qos=0)
    assert acknowledge(wake(bench)[0]) == [b"1"]


def test_the_operator_can_end_a_connection(bench: Bench) -> None:
    """DeleteConnection: DISCONNECT 0x98; an unknown client is reported."""
    client = bench.join("c")
    assert bench.broker.disconnect("c", bench.now_s)
    bench.collect()
    assert client.codes(Disconnect) == [0x98]
    assert not bench.broker.disconnect("c", bench.now_s)


def test_shutting_down_tells_everybody(bench: Bench) -> None:
    """DISCONNECT 0x8B."""
    clients = [bench.join("a"), bench.join("b")]
    bench.broker.close(bench.now_s)
    bench.collect()
    assert [client.codes(Disconnect) for client in clients] == [[0x8B], [0x8B]]


def test_direct_messages_need_no_subscription(bench: Bench) -> None:
    """A service reaches a connected client; for one that is not it learns so."""
    client = bench.join("c")
    message = Message("any/topic", b"hi", 1, bench.now_s)
    assert bench.broker.send_direct("c", message, bench.now_s)
    bench.collect()
    assert client.messages() == [("any/topic", b"hi")]
    assert not bench.broker.send_direct("nobody", message, bench.now_s)
